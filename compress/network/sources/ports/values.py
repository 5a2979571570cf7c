"""Examples as a file's ports take them, and its answers as one array. Free of torch.

Legend: N examples, P parts, L length, K outputs, D numbers of all outputs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compress.network.signature import Port, Signature, is_stacked

_NHWC = (0, 2, 3, 1)


def taken(x_NCHW: NDArray[np.float32], signature: Signature) -> Mapping[str, NDArray[Any]]:
    """Return a batch of examples as every input takes them, by its name.

    Images of one input have their channels where its layout has them. Ports that are made of ids
    are made.
    """
    ports = signature.taken
    if len(ports) == 1:
        values = x_NCHW.transpose(_NHWC) if ports[0].layout == "NHWC" else x_NCHW
        found = {ports[0].name: _typed(values, ports[0])}
    else:
        parts = _cut(x_NCHW, signature)
        found = {port.name: _typed(part, port) for port, part in zip(ports, parts, strict=True)}
    return found | {port.name: _made(x_NCHW, port) for port in signature.inputs if port.made}


def _cut(x: NDArray[np.float32], signature: Signature) -> Sequence[NDArray[np.float32]]:
    if is_stacked(signature.parts):
        return [x[:, place] for place in range(len(signature.parts))]
    found, begin = [], 0
    for shape in signature.parts:
        end = begin + prod(shape)
        found.append(x[:, begin:end].reshape(len(x), *shape))
        begin = end
    return found


def _made(x: NDArray[np.float32], port: Port) -> NDArray[Any]:
    """Return the values of a port that follow from the ids ``(N, L)``."""
    values = (x != 0).astype(np.float32) if port.made == "mask" else np.zeros_like(x)
    return _typed(values, port)


def _typed(values: NDArray[np.float32], port: Port) -> NDArray[Any]:
    return np.ascontiguousarray(values.astype(port.dtype, copy=False))


def answered(found: Sequence[NDArray[Any]], signature: Signature) -> NDArray[np.float32]:
    """Return a batch of answers as the working form has them.

    ``(N, K)``, ``(N, L, K)``, or every output flat beside the others, ``(N, D)``.
    """
    if signature.has_plain_answer:
        return found[0].astype(np.float32, copy=False)
    flat = [each.reshape(len(each), -1).astype(np.float32, copy=False) for each in found]
    return flat[0] if len(flat) == 1 else np.concatenate(flat, axis=1)
