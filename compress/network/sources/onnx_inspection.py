"""Look into a stranger's ONNX file: a process of its own, bounded by whoever starts it.

    python -m compress.network.sources.onnx_inspection [CxHxW] < network.onnx

It answers an ``InspectionVerdict`` on stdout. Nothing outside the file is opened, its operators run
only in ONNX Runtime, and torch is not loaded.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Mapping

import numpy as np

from compress.network.graph import read, roles, shapes
from compress.network.graph.values import Graph, GraphPort
from compress.network.signature import ExampleShape, Signature
from compress.network.sources import onnx_form, onnx_outline, onnx_trial
from compress.network.sources.onnx_info import (
    InspectedNetwork,
    InspectionVerdict,
    OnnxInfo,
    OnnxPart,
    OnnxPort,
    RefusedNetwork,
)
from compress.network.sources.ports import made, onnx_ports, padding, values
from compress.network.sources.ports.onnx_ports import ExamplePorts
from compress.values.errors import CompressError, InvalidNetwork
from compress.values.shown import some

_IMAGES, _SEED = 4, 0
_LEAST_IDS, _LONGEST = 2, 32
"""Ids other than 0 that a table needs, and the longest rows, where padding is looked at."""
_NO_MEMORY = (
    "the file takes more memory than an inspection may have: export a smaller network, or let who "
    "runs the service raise inspection_memory_bytes"
)


def inspect(data: bytes, *, input_shape: ExampleShape | None = None) -> InspectedNetwork:
    """Read the file and describe the network in it. Raises InvalidNetwork."""
    graph = read.read(data)
    _check_computed(graph)
    ports = onnx_ports.example_ports(graph, input_shape=input_shape)
    bound = shapes.bind(graph, ports.sizes())
    several = [shapes.bind(graph, ports.sizes(size)) for size in onnx_ports.BATCHES]
    answer = onnx_ports.answer(ports, several)
    error = _differs(data, graph, ports)
    working, signature = onnx_form.inner(graph, ports, bound)
    unproven, num_ids = onnx_trial.unproven(working), _num_ids(graph, ports)
    found = onnx_outline.described(working, signature, unproven)
    info = OnnxInfo(
        inputs=tuple(map(_port, graph.inputs)),
        outputs=tuple(map(_port, graph.outputs)),
        layout=ports.layout,
        input_shape=ports.input_shape,
        num_classes=answer.width,
        answer=answer.form,
        parameters=found.parameters,
        macs=found.macs,
        layers=found.layers,
        operators=dict(Counter(node.op for node in graph.nodes)),
        notes=(
            f"read, it answers as its file does, within {error:.1g} of the answers' spread",
            *made.notes(ports.made),
            *_staying(unproven),
        ),
        num_ids=num_ids,
        warnings=_padded(data, signature, num_ids),
        parts=() if ports.has_one_input else tuple(_parts(graph, ports)),
    )
    return InspectedNetwork(info=info, outline=found)


def _num_ids(graph: Graph, ports: ExamplePorts) -> int | None:
    """The rows of the shortest table that any of the inputs picks from; None if none does."""
    found = [onnx_trial.num_ids(graph, port) for port in ports.taken]
    return min((rows for rows in found if rows is not None), default=None)


def _parts(graph: Graph, ports: ExamplePorts) -> Iterator[OnnxPart]:
    for port, shape in zip(ports.taken, ports.parts, strict=True):
        yield OnnxPart(name=port.name, shape=shape, num_ids=onnx_trial.num_ids(graph, port))


def _padded(data: bytes, signature: Signature, num_ids: int | None) -> tuple[str, ...]:
    """Warn if answers to rows of ids change with padding."""
    if num_ids is None or num_ids < _LEAST_IDS or not padding.applies(signature, num_ids):
        return ()
    shape = (*signature.example_shape[:-1], min(signature.example_shape[-1], _LONGEST))
    random = np.random.default_rng(_SEED)
    x = padding.rows(random.integers(1, num_ids, (_IMAGES, *shape)).astype(np.float32))
    try:
        found = padding.change(
            lambda some: onnx_trial.answers(data, values.taken(some, signature)), x
        )
    except InvalidNetwork:
        return ()  # it runs at no other length, whatever its ports say
    return (padding.changes(found),) if found > padding.INVARIANT else ()


def _staying(unproven: Mapping[str, str]) -> Iterator[str]:
    """Say which channels are never removed though the graph has groups of them, once a reason."""
    for why in dict.fromkeys(unproven.values()):
        roots = [root for root, reason in unproven.items() if reason == why]
        yield f"filter_pruning leaves the channels of {some(roots)}: {why}"


def _check_computed(graph: Graph) -> None:
    """Raise InvalidNetwork for what would fail in torch, which is not there to ask."""
    for node in graph.nodes:
        if node.op not in roles.COMPUTED:
            raise InvalidNetwork(
                f"{node.op} (node {node.name!r}) cannot be computed where networks are "
                "compressed: compose it of other operators, or export the network up to it"
            )


def _differs(data: bytes, graph: Graph, ports: ExamplePorts) -> float:
    """The error of the graph that was read, against its file in ONNX Runtime, on random images."""
    given = onnx_trial.drawn(graph, ports.sizes(_IMAGES), seed=_SEED)
    return onnx_trial.check_parity(data, graph, given)


def verdict(data: bytes, *, input_shape: ExampleShape | None = None) -> InspectionVerdict:
    """Inspect the file; what it is refused for becomes words."""
    try:
        return InspectionVerdict(found=inspect(data, input_shape=input_shape))
    except CompressError as error:
        return InspectionVerdict(found=RefusedNetwork(reasons=(str(error),)))
    except MemoryError:
        return InspectionVerdict(found=RefusedNetwork(reasons=(_NO_MEMORY,)))


def _port(port: GraphPort) -> OnnxPort:
    return OnnxPort(name=port.name, dtype=port.file_dtype or port.dtype, shape=port.shape)


def main() -> None:
    """Answer for the file on stdin, whose examples have the axes that the argument says."""
    asked = [tuple(map(int, text.split("x"))) for text in sys.argv[1:]]
    input_shape = asked[0] if asked else None
    found = verdict(sys.stdin.buffer.read(), input_shape=input_shape)
    sys.stdout.write(found.model_dump_json())


if __name__ == "__main__":
    main()
