"""The answers of a network as the targets of data that have none.

Legend: N examples, M numbers of an example's outputs.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod

import torch

from compress.network.network import Network, ShouldStop, never
from compress.tasks.images import ImageData, Images
from compress.training import inference
from compress.values.errors import InvalidData, NumericalError

MOST_BYTES = 2 * 2**30
"""Of all answers of a split."""
_FLOAT_BYTES = 4


def answered(
    data: ImageData, network: Network, *, device: torch.device, should_stop: ShouldStop = never
) -> ImageData:
    """Return the data with the network's outputs ``(N, M)`` as targets of every split.

    Raises InvalidData if they are too large to be held, NumericalError for outputs that are not
    finite, and Stopped.
    """

    def of_split(images: Images) -> Images:
        _check_size(images, network)
        found = inference.logits(network, images.x_NCHW, device=device, should_stop=should_stop)
        if not bool(torch.isfinite(found).all()):
            raise NumericalError("the network answers with a NaN or an infinity")
        return replace(images, y_N=found.flatten(1))

    return replace(
        data,
        train=of_split(data.train),
        validation=of_split(data.validation),
        test=None if data.test is None else of_split(data.test),
        num_classes=network.num_classes,
    )


def _check_size(images: Images, network: Network) -> None:
    numbers = sum(prod(port.shape[1:]) for port in network.signature.outputs)
    size = len(images) * numbers * _FLOAT_BYTES
    if size > MOST_BYTES:
        raise InvalidData(
            f"the outputs of {len(images):,} examples have {size:,} bytes, {numbers:,} numbers "
            f"each, and at most {MOST_BYTES:,} are held: give fewer examples"
        )
