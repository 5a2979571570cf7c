"""Lists that count the words that stay, held as one bit a word. Torch-free.

A table that has lost words is read by way of such a list (``vocabulary_pruning``): the first word
that stays has a 1, the next one a 2, and whoever leaves has a 0. A runtime counts as it loads the
file.

Legend: V words.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, numpy_helper

from compress.export.weight_encoding import streams
from compress.export.weight_encoding.building import Building, shortest_form
from compress.export.weight_encoding.integer_spelling import INTEGERS
from compress.export.weight_encoding.spelling import Spelling


def pack(model: ModelProto, spelling: Spelling = INTEGERS) -> None:
    """Let the model count, in place, every list that takes fewer bytes so."""
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    for number, name in enumerate(list(_lists(model, tensors))):
        places_V = numpy_helper.to_array(tensors[name])
        if not _counts(places_V):
            continue
        building = Building(prefix=f"counted.{number}.")
        bits = spelling.plane(building, places_V > 0)
        made = spelling.kept(building, bits)
        _put(model, tensors[name], streams.unpacked(building, spelling), made)


def _lists(model: ModelProto, tensors: dict[str, TensorProto]) -> Iterator[str]:
    """Yield lists of int32 of which nodes pick places, and do nothing else."""
    picked = {node.input[0] for node in model.graph.node if node.op_type == "Gather"}
    other = {port.name for port in model.graph.output}
    for node in model.graph.node:
        other.update(node.input[1:] if node.op_type == "Gather" else node.input)
    for name in sorted(picked - other):
        tensor = tensors.get(name)
        if tensor and tensor.data_type == TensorProto.INT32 and len(tensor.dims) == 1:
            yield name


def _counts(places_V: NDArray[np.int32]) -> bool:
    stays_V = places_V > 0
    return bool((places_V == np.where(stays_V, np.cumsum(stays_V), 0)).all())


def _put(model: ModelProto, old: TensorProto, building: Building, made: str) -> None:
    if building.size_bytes >= shortest_form(old).ByteSize():
        return
    for node in model.graph.node:
        if node.op_type == "Gather" and node.input[0] == old.name:
            node.input[0] = made
    others = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*building.nodes, *others])
    model.graph.initializer.remove(old)
    model.graph.initializer.extend(building.tensors.values())
