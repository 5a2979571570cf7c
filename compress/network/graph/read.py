"""An uploaded ONNX file as a graph: bounded, refused with words, normalised. Torch-free.

Files come from strangers. Nothing in them is executed, nothing outside them is opened, and every
size is looked at before the memory is taken. Read them in a child process with a memory limit all
the same: parsing runs C++ on a stranger's bytes.
"""

from __future__ import annotations

from google.protobuf.message import DecodeError
from onnx import ModelProto

from compress.network.graph.reading import (
    batch,
    checks,
    conversion,
    folding,
    newer,
    normalising,
    probing,
    verification,
    wire,
)
from compress.network.graph.reading.limits import FileLimits
from compress.network.graph.values import Graph
from compress.values.errors import InvalidNetwork


def read(data: bytes, limits: FileLimits = FileLimits()) -> Graph:  # noqa: B008
    """Read a file; the graph speaks the one opset and holds float32 weights.

    Raises InvalidNetwork naming the operator, the node and the way out.
    """
    model = _parse(data, limits)
    checks.check(model, limits)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    outputs = conversion.ports(model.graph.output, named=False)
    is_fixed = batch.free_batch(model)
    folded = folding.fold(newer.composed(model), limits)
    converted = folding.fold(conversion.convert(folded), limits)
    graph = normalising.normalise(conversion.to_graph(converted, outputs, metadata))
    verification.check_operators(graph)
    graph = batch.settled_free(graph) if is_fixed else probing.settled(graph)
    verification.check_weights(graph)
    return normalising.untied(graph)


def _parse(data: bytes, limits: FileLimits) -> ModelProto:
    if len(data) > limits.file_bytes:
        raise InvalidNetwork(
            f"the file has {len(data)} bytes, at most {limits.file_bytes} are read: upload a "
            "smaller network"
        )
    wire.check(data, limits)
    model = ModelProto()
    try:
        model.ParseFromString(data)
    except DecodeError as error:
        raise InvalidNetwork("the file is not an ONNX model: export the network again") from error
    if not model.HasField("graph"):
        raise InvalidNetwork("the file holds no graph: export the network again")
    return model
