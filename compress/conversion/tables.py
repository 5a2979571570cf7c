"""Large tables of words in files of other forms: packed again, and laid out whole. Torch-free.

Legend: E numbers of a word, N rows of a table.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set

import numpy as np
import onnxruntime
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from compress.conversion import running
from compress.conversion.grids import Grid
from compress.conversion.running import Array
from compress.export.weight_encoding import rows
from compress.export.weight_encoding.rows import PackedTable
from compress.network.stored_weight import SparseFloat, StoredWeight
from compress.values.errors import TargetParityError

_MATRIX = 2
_ROWS = 4096
"""Rows that are decoded at once to compare them, or to lay them out."""


def pack(model: ModelProto, grids: Mapping[str, Grid]) -> None:
    """Let large tables on a grid, or of float16, be decoded by rows, in place.

    ``grids`` are those of float constants by name. Raises TargetParityError if a row is not the
    same to the bit.
    """
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    outputs = {port.name for port in model.graph.output}
    gone: set[str] = set()
    for name, readers in _read_by_rows(model, tensors).items():
        stored = _stored(numpy_helper.to_array(tensors[name]), grids.get(name))
        if stored is None or name in outputs or not rows.stays_packed(stored):
            continue
        for output in [node.output[0] for node in readers]:
            reader = next(node for node in model.graph.node if output in node.output)
            _pack(model, reader, stored)
        gone.add(name)
    _keep(model, {tensor.name for tensor in model.graph.initializer} - gone)


def lay_out(model: ModelProto) -> None:
    """Hold every table that is decoded by rows as float32 instead, in place.

    Raises TargetParityError if ONNX Runtime cannot decode it.
    """
    for table in list(rows.packed(model)):
        whole_NE = np.concatenate(list(_decoded(model, table)))
        name = f"{table.output}.table"
        model.graph.initializer.append(numpy_helper.from_array(whole_NE, name))
        _exchange(
            model, table.nodes, [helper.make_node("Gather", [name, table.ids], [table.output])]
        )
    read = {name for node in model.graph.node for name in node.input}
    _keep(model, read | {port.name for port in model.graph.output})


def _read_by_rows(
    model: ModelProto, tensors: Mapping[str, TensorProto]
) -> dict[str, list[NodeProto]]:
    """Return the matrices of float32 that nothing but lookups of words reads, with these."""
    readers: dict[str, list[tuple[int, NodeProto]]] = {}
    for node in model.graph.node:
        for place, name in enumerate(node.input):
            readers.setdefault(name, []).append((place, node))
    return {
        name: [node for _, node in found]
        for name, found in readers.items()
        if _is_table(tensors.get(name)) and all(_picks(p, n, tensors) for p, n in found)
    }


def _is_table(tensor: TensorProto | None) -> bool:
    if tensor is None or tensor.data_type != TensorProto.FLOAT:
        return False
    return len(tensor.dims) == _MATRIX


def _picks(place: int, node: NodeProto, tensors: Mapping[str, TensorProto]) -> bool:
    if node.op_type != "Gather" or place or node.input[1] in tensors:
        return False
    return not any(each.name == "axis" and each.i for each in node.attribute)


def _stored(table_NE: Array, grid: Grid | None) -> StoredWeight | SparseFloat | None:
    """Return what holds a table ``(N, E)`` as the weight ``(E, N)`` of a layer."""
    if grid is None:
        is_finite = bool(np.isfinite(table_NE).all())
        return SparseFloat(values_OI=np.ascontiguousarray(table_NE.T)) if is_finite else None
    if grid.transposed:
        return grid.stored
    if grid.stored.groups:
        return None
    turned_EN = np.ascontiguousarray(grid.stored.integers_OI.T)
    return StoredWeight(integers_OI=turned_EN, scale=grid.stored.scale)


def _pack(model: ModelProto, node: NodeProto, stored: StoredWeight | SparseFloat) -> None:
    (table, ids), (output,) = node.input, node.output
    expected_NE = next(
        numpy_helper.to_array(each) for each in model.graph.initializer if each.name == table
    )
    made = rows.lookup(stored, ids=ids, output=output, prefix=f"{output}.rows.")
    model.graph.initializer.extend(made.tensors.values())
    _exchange(model, [node], made.nodes)
    codes = next(each for each in made.tensors.values() if len(each.dims) == _MATRIX)
    found = _decoded(model, PackedTable(codes=codes, ids=ids, nodes=made.nodes))
    for start, rows_NE in zip(range(0, len(expected_NE), _ROWS), found, strict=True):
        if rows_NE.tobytes() != expected_NE[start : start + _ROWS].tobytes():
            raise TargetParityError(
                f"rows of the table {table[:80]!r} are not decoded to the bit in onnxruntime "
                f"{onnxruntime.__version__}: take the file in plain form"
            )


def _decoded(model: ModelProto, table: PackedTable) -> Iterator[Array]:
    """Yield the rows of a table in pieces."""
    alone = ModelProto()
    alone.CopyFrom(model)
    alone.graph.ClearField("value_info")
    read = {name for node in table.nodes for name in node.input}
    for ports in (alone.graph.node, alone.graph.input, alone.graph.output):
        del ports[:]
    alone.graph.node.extend(table.nodes)
    _keep(alone, read)
    ids, output = table.ids, table.output
    alone.graph.input.append(helper.make_tensor_value_info(ids, TensorProto.INT64, [None]))
    alone.graph.output.append(helper.make_tensor_value_info(output, TensorProto.FLOAT, None))
    count = table.codes.dims[0]
    pieces = [np.arange(i, min(i + _ROWS, count)) for i in range(0, count, _ROWS)]
    given = [{ids: piece.astype(np.int64)} for piece in pieces]
    yield from (found for (found,) in running.run_all(alone, [output], given))


def _exchange(model: ModelProto, old: Sequence[NodeProto], new: Sequence[NodeProto]) -> None:
    every = list(model.graph.node)
    place = every.index(old[0])
    kept = [*every[:place], *new, *every[place + len(old) :]]
    copies = [NodeProto.FromString(node.SerializeToString()) for node in kept]
    del model.graph.node[:]
    model.graph.node.extend(copies)


def _keep(model: ModelProto, names: Set[str]) -> None:
    kept = [tensor for tensor in model.graph.initializer if tensor.name in names]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
