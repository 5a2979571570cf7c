"""Choose, for all weights of a file together, the forms that take the fewest bytes.

Three forms compete for every group of tensors with alphabets of about one size: initializers of
their own (int8, or INT4 with a Cast), digits of words, and optimal prefix codes. Groups are joined
if one stream for both is smaller. Bytes are those of the serialised nodes and tensors under names
of two letters, not an estimate. Everything is lossless and made of operators that ONNX Runtime
evaluates once, as it loads the file. What it computes meanwhile stays in memory until all constants
are folded, so a form is only taken if its share of ``most_bytes`` allows.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations, count
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from onnx import FunctionProto, ModelProto, NodeProto, TensorProto, helper

from compress.export.weight_encoding import floats, half_floats, initializers, layout, streams
from compress.export.weight_encoding.building import Building
from compress.export.weight_encoding.floats import Vector
from compress.export.weight_encoding.integer_spelling import DOMAIN, INTEGERS
from compress.export.weight_encoding.layout import EncodedWeight
from compress.export.weight_encoding.spelling import Spelling
from compress.export.weight_encoding.streams import Stream
from compress.network.stored_weight import SparseFloat, StoredWeight

Form = Literal["int8", "float"]
_Streaming = Callable[[Building, NDArray[np.int8], Spelling], Stream | None]
_FloatStreaming = Callable[[Building, NDArray[np.float32], Spelling], Stream | None]
MOST_BYTES = 2**29
# Bytes of temporaries per weight below which no prefix code fits: it is not even tried.
_LEAST_FOR_CODES = 40
# A Cast and a Gather with a codebook of its own; what a function of a model declares around it.
_PALETTE_BYTES = 100
_DECLARED = 12


@dataclass(frozen=True, kw_only=True)
class Decoding:
    """Nodes and constants that yield the weights; ``names`` maps each weight to its tensor.

    ``nodes`` are in topological order and read only ``tensors``: put them before every reader.
    ``temporary_bytes`` is what ONNX Runtime holds while it folds them.
    """

    names: dict[str, str]
    nodes: list[NodeProto]
    tensors: dict[str, TensorProto]
    functions: list[FunctionProto]
    temporary_bytes: int

    def declare(self, model: ModelProto) -> None:
        """Add, in place, the functions that ``nodes`` call. Opset 21 and IR version 10 suffice."""
        if not self.functions:
            return
        model.functions.extend(self.functions)
        model.opset_import.append(helper.make_opsetid(DOMAIN, 1))


def encode(
    weights: Mapping[str, StoredWeight | SparseFloat],
    *,
    form: Mapping[str, Form],
    transposed: Collection[str] = (),
    vectors: Mapping[str, Vector] | None = None,
    most_bytes: int = MOST_BYTES,
    spelling: Spelling = INTEGERS,
) -> Decoding:
    """Return the smallest decoding of all ``weights``, and of scales and biases as ``vectors``.

    ``form`` is "int8" for a tensor of integers, which the caller puts through DequantizeLinear,
    and "float" for the float32 weight; a SparseFloat is always "float". Tensors have the weight's
    own shape ``(O, I, ...)``, or ``(I, O)`` for the matrices named in ``transposed``. ``vectors``
    are float32 or int32 with one axis; their names join those of the weights. Equal weights share
    a tensor. ``most_bytes`` bounds what loading may compute at once, and ``spelling`` says which
    operators may.

    Raises ValueError for a name without a form, an int8 SparseFloat, a transposed weight that is
    not a matrix or a vector that is not one, and NumericalError for a vector that is not finite.
    """
    every = [_item(name, weight, form, name in transposed) for name, weight in weights.items()]
    first: dict[tuple[object, ...], EncodedWeight] = {}
    twins = {item.name: first.setdefault(item.content, item).name for item in every}
    items = list(first.values())
    share = most_bytes / max(1, sum(item.size for item in items))
    numbers = count()
    digits = tuple(partial(streams.radix, word=word) for word in spelling.words)
    coded = [(*digits, streams.planes, streams.huffman)] if share >= _LEAST_FOR_CODES else []
    plans = [
        _plan(variant, _Choice(forms=forms, share=share, numbers=numbers, spelling=spelling))
        for variant in _variants(items)
        for forms in ((), digits, *coded)
    ]
    extra = Building(prefix=f"stored.{next(numbers)}.")
    own = _Piece(building=extra, names=floats.pooled(extra, vectors or {}), items=())
    joined = (_joined([*plan, own], numbers, spelling) for plan in plans)
    best, names = min(joined, key=lambda plan: _bytes(plan[0]))
    return Decoding(
        names=names | {name: names[twin] for name, twin in twins.items()},
        nodes=best.nodes,
        tensors=best.tensors,
        functions=list(best.functions.values()),
        temporary_bytes=int(best.temporaries),
    )


def add_weights(
    model: ModelProto,
    weights: Mapping[str, StoredWeight | SparseFloat],
    *,
    form: Mapping[str, Form],
    transposed: Collection[str] = (),
) -> dict[str, str]:
    """Encode into a model, in place, before its other nodes; return the tensor of each weight."""
    decoding = encode(weights, form=form, transposed=transposed)
    others = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*decoding.nodes, *others])
    model.graph.initializer.extend(decoding.tensors.values())
    decoding.declare(model)
    return decoding.names


@dataclass(frozen=True, kw_only=True)
class _Piece:
    building: Building
    names: dict[str, str]
    items: tuple[EncodedWeight, ...]


def _item(
    name: str, weight: StoredWeight | SparseFloat, form: Mapping[str, Form], transposed: bool
) -> EncodedWeight:
    if name not in form:
        raise ValueError(f"the weight {name} has no form")
    item = EncodedWeight(
        name=name, weight=weight, is_float=form[name] == "float", transposed=transposed
    )
    if isinstance(weight, SparseFloat) and not item.is_float:
        raise ValueError(f"the weight {name} is float: it cannot be stored as int8")
    if item.transposed and len(item.shape) != 2:
        raise ValueError(f"the weight {name} of shape {item.shape} cannot be transposed")
    return item


def _variants(items: list[EncodedWeight]) -> list[list[EncodedWeight]]:
    """Return all weights as they are, and with codebooks of their own if few integers spread."""
    with_palettes = [replace(item, has_palette=_is_spread(item)) for item in items]
    return [items, with_palettes] if with_palettes != items else [items]


def _is_spread(item: EncodedWeight) -> bool:
    """Whether an index among the integers that occur takes fewer bits than the integer itself."""
    if isinstance(item.weight, SparseFloat):
        return False
    places = len(item.codebook)
    is_worth = item.size > _PALETTE_BYTES + places
    return is_worth and _width(places) < _width(int(np.ptp(item.codebook.astype(np.int16))) + 1)


def _plan(items: list[EncodedWeight], choose: _Choice) -> list[_Piece]:
    """Return pieces that hold all items, in streams if they help."""
    integers = [item for item in items if isinstance(item.weight, StoredWeight)]
    by_width: dict[int, list[EncodedWeight]] = {}
    for item in integers:
        by_width.setdefault(_width(int(np.ptp(item.codes.astype(np.int16))) + 1), []).append(item)
    pieces = [choose.integers(group) for _, group in sorted(by_width.items())]
    while len(pieces) > 1 and choose.forms:
        trials = [(choose.integers([*a.items, *b.items]), a, b) for a, b in combinations(pieces, 2)]
        joint, a, b = min(trials, key=lambda trial: _gain(*trial))
        if _gain(joint, a, b) >= 0:
            break
        pieces = [*(piece for piece in pieces if piece not in (a, b)), joint]
    floats = [item for item in items if isinstance(item.weight, SparseFloat)]
    return [*pieces, *choose.floats(floats)]


@dataclass(frozen=True, kw_only=True)
class _Choice:
    """Chooses the smallest piece among the allowed forms, within a limit of temporary bytes."""

    forms: Sequence[_Streaming]
    share: float
    numbers: Iterator[int]
    spelling: Spelling

    def integers(self, items: Sequence[EncodedWeight]) -> _Piece:
        own = self._initializers(items)
        pieces = [self._streamed(items, form) for form in self.forms]
        fitting = [piece for piece in pieces if piece is not None and self._fits(piece)]
        return min([own, *fitting], key=lambda piece: piece.building.size_bytes)

    def floats(self, items: Sequence[EncodedWeight]) -> list[_Piece]:
        """Return pieces of one item or of many: those of float16 and of float32 share nothing."""
        kinds: dict[tuple[bool, bool], list[EncodedWeight]] = {}
        for item in items:
            kinds.setdefault((item.is_half, _is_sparse(item)), []).append(item)
        return [self._floats(kinds[kind], *kind) for kind in sorted(kinds)]

    def _floats(self, items: Sequence[EncodedWeight], is_half: bool, is_sparse: bool) -> _Piece:
        forms: list[_FloatStreaming] = [streams.sparse] * is_sparse
        forms += [half_floats.whole] * is_half
        forms += [half_floats.coded] * (is_half and streams.huffman in self.forms)
        pieces = [self._float_stream(items, form) for form in forms if self.forms]
        fitting = [piece for piece in pieces if piece is not None and self._fits(piece)]
        own = self._initializers(items)
        return min([own, *fitting], key=lambda piece: piece.building.size_bytes)

    def _streamed(self, items: Sequence[EncodedWeight], form: _Streaming) -> _Piece | None:
        building, members = self._new(), layout.ordered(items)
        stream = form(building, np.concatenate([item.codes for item in members]), self.spelling)
        if stream is None:
            return None
        names = layout.lay_out(building, stream, members, self.spelling)
        return _Piece(building=building, names=names, items=tuple(items))

    def _float_stream(self, items: Sequence[EncodedWeight], form: _FloatStreaming) -> _Piece | None:
        building, members = self._new(), layout.ordered(items)
        values = np.concatenate([item.weight.values().ravel() for item in members])
        stream = form(building, values, self.spelling)
        if stream is None:
            return None
        names = layout.lay_out(building, stream, members, self.spelling)
        return _Piece(building=building, names=names, items=tuple(items))

    def _initializers(self, items: Sequence[EncodedWeight]) -> _Piece:
        building = self._new()
        names = {item.name: initializers.own(building, item, self.spelling) for item in items}
        return _Piece(building=building, names=names, items=tuple(items))

    def _fits(self, piece: _Piece) -> bool:
        return piece.building.temporaries <= self.share * sum(item.size for item in piece.items)

    def _new(self) -> Building:
        return Building(prefix=f"stored.{next(self.numbers)}.")


def _joined(
    pieces: Sequence[_Piece], numbers: Iterator[int], spelling: Spelling
) -> tuple[Building, dict[str, str]]:
    whole = Building(prefix=f"stored.{next(numbers)}.")
    names: dict[str, str] = {}
    for piece in pieces:
        whole.include(piece.building)
        names |= piece.names
    return streams.unpacked(whole, spelling), names


def _bytes(building: Building) -> int:
    functions = [function.ByteSize() + _DECLARED for function in building.functions.values()]
    return building.size_bytes + sum(functions)


def _gain(joint: _Piece, a: _Piece, b: _Piece) -> int:
    return joint.building.size_bytes - a.building.size_bytes - b.building.size_bytes


def _is_sparse(item: EncodedWeight) -> bool:
    """Whether the zeros outnumber the bits that would mark them."""
    values = item.weight.values()
    return 32 * int((values == 0).sum()) > values.size


def _width(levels: int) -> int:
    return max(1, (levels - 1).bit_length())
