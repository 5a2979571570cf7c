"""Count what a candidate costs from its knobs: without torch, and before anything is built.

Each technique describes what it changes (``compress.techniques.description.costs``). If the widths
that all techniques of the space leave are known (``is_exact``), ``parameters`` and ``macs`` are
**exact**: they equal what is counted in the exported file (``compress.export.counting``). They
follow from the member of the family, from the groups of channels in its outline and from the number
of views alone, because a grid, a codebook or a zero changes no count, and BatchNorm folds into a
weight and a bias. If one technique only estimates what it leaves of a layer (low rank, a global
ranking of channels), they are **estimates**. So they are if members lose channels and there are
more than ``MOST_NARROWED`` of them, or their cells differ: each has groups of its own.

``size_bytes`` is **always an estimate**: weights times bits, without entropy coding, scales, names
and the graph. It is meant as a regressor for the measured size, never as a replacement.

A space whose knobs allocate by a profile (``space.allocation``) has no counts here; see
``search.study.allocation_table``.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compress.network.member import Shape
from compress.network.outline import LayerInfo, Outline
from compress.network.structure.narrowing import Narrowing, biases_of_output, weights
from compress.targets.target import ByteModel
from compress.techniques.description.conditions import ValuesOf
from compress.techniques.description.costs import BYTE_BITS, FLOAT_BITS, Costs
from compress.techniques.registry import BY_NAME, TECHNIQUES
from compress.techniques.rules import canonical
from compress.values.errors import InvalidCandidate
from compress.values.knobs import Scalar
from compress.values.measurement import Metric
from search.space import grid, points, validation
from search.space.knobs import Knob
from search.space.space import Space

MOST_NARROWED = 100
"""Number of members whose groups of channels are looked for: each costs some 10 to 60 ms."""
_MOST_COUNTED = 20_000
"""Number of candidates whose counts are remembered: samplers ask for the same ones again."""
COUNTED: tuple[Metric, ...] = ("parameters", "macs")
_CELL = "cell"
_TABLE = "embedding"
_GUESSED: tuple[Metric, ...] = ("size_bytes",)
_ORDER: tuple[Metric, ...] = (*COUNTED, *_GUESSED)

Fields = Sequence[tuple[Costs, Mapping[str, Any]]]
"""The costs of each technique, in the order of the techniques, with all of its fields."""


def is_exact(space: Space) -> bool:
    """Return whether ``parameters`` and ``macs`` are exact for every candidate of the space."""
    if space.allocation is not None:
        return False
    values = validation.values_of(space.knobs)
    costs = {name: BY_NAME[name].costs for name in space.techniques}
    if not all(own.knows_widths(partial(_own, values, n)) for n, own in costs.items()):
        return False
    if not any(own.loses_channels for own in costs.values()):
        return True
    if _chooses_members(space):
        return _has_few_members(space)
    narrowing = narrowing_of(space.outline)
    return narrowing is not None and narrowing.is_exact


def narrowing_of(outline: Outline) -> Narrowing | None:
    """Return what counts a network without channels; None if nobody has looked for its groups."""
    coupled = outline.coupled
    return None if coupled is None else Narrowing(outline, coupled)


def _chooses_members(space: Space) -> bool:
    return any(BY_NAME[name].needs_members for name in space.techniques)


def _has_few_members(space: Space) -> bool:
    """Whether the groups of every member may be looked for: members of a cell are too many."""
    own = [knob for knob in space.knobs if BY_NAME[knob.technique].needs_members]
    has_cell = any(knob.field == _CELL for knob in own)
    return not has_cell and math.prod(grid.size(knob) for knob in own) <= MOST_NARROWED


def _own(values: ValuesOf, technique: str, field: str) -> Sequence[Any]:
    return values(f"{technique}.{field}")


@dataclass(frozen=True, kw_only=True)
class _Part:
    """The layers of one stage, or in a cell of one operation on one edge, added up.

    ``tables`` are the weights and the words of each table among them.
    """

    stage: int | None
    edge: int | None
    operation: str
    weights: int
    biases: int
    macs: int
    tables: tuple[tuple[int, int], ...] = ()

    def lost(self, fields: Fields) -> int:
        """Return the weights of the words that leave its tables."""
        return sum(
            weights - weights // words * _rows(fields, words) for weights, words in self.tables
        )


class _Narrowed:
    """A network that may lose channels of its groups, added up by stages."""

    def __init__(self, narrowing: Narrowing) -> None:
        self.narrowing = narrowing
        self._places: defaultdict[int | None, list[int]] = defaultdict(list)
        for place, layer in enumerate(narrowing.outline.layers):
            self._places[layer.stage].append(place)

    def without(self, widths: Mapping[str, int]) -> Sequence[_Part]:
        """Return the parts of the network when so many channels stay of its groups."""
        left = self.narrowing.without(widths)
        return [
            _Part(
                stage=stage,
                edge=None,
                operation="",
                weights=int(left.weights_L[places].sum()),
                biases=int(left.biases_L[places].sum()),
                macs=int(left.macs_L[places].sum()),
                tables=self._tables(places, left.weights_L),
            )
            for stage, places in self._places.items()
        ]

    def _tables(
        self, places: Sequence[int], left: NDArray[np.int64]
    ) -> tuple[tuple[int, int], ...]:
        layers = self.narrowing.outline.layers
        return tuple(
            (int(left[place]), layers[place].weight_shape[1])
            for place in places
            if layers[place].kind == _TABLE
        )


@dataclass(frozen=True, kw_only=True)
class KnownCosts:
    """Counts for one job's space. A member is outlined once and remembered."""

    space: Space
    _members: dict[Shape, tuple[_Part, ...]] = field(
        default_factory=dict, repr=False, compare=False
    )
    _narrowings: dict[Shape, _Narrowed | None] = field(
        default_factory=dict, repr=False, compare=False
    )
    _counts: dict[tuple[Any, ...], tuple[float, float, float]] = field(
        default_factory=dict, repr=False, compare=False
    )

    @cached_property
    def _counting(self) -> tuple[Knob, ...]:
        """The knobs that change a count."""
        counting = {technique.name for technique in TECHNIQUES if technique.has_costs}
        return tuple(knob for knob in self.space.knobs if knob.technique in counting)

    @cached_property
    def exact(self) -> frozenset[Metric]:
        """The metrics that are counted exactly."""
        return frozenset(COUNTED if is_exact(self.space) else ())

    @property
    def estimated(self) -> frozenset[Metric]:
        """The metrics that are only estimated."""
        if self.space.allocation is not None:
            return frozenset()
        return frozenset(_ORDER) - self.exact

    def column(self, metric: Metric, candidates: Sequence[Mapping[str, Any]]) -> list[float]:
        """Return one metric of many candidates, each given by the values of its turning knobs."""
        wanted = _ORDER.index(metric)
        keys = points.rows(candidates, *self._names)
        return [self._counts_of(key)[wanted] for key in keys]

    def of(self, params: Mapping[str, Scalar]) -> dict[Metric, float]:
        """Return parameters, MACs and bytes of one candidate; ``exact`` names those to rely on."""
        (key,) = points.rows([params], *self._names)
        return dict(zip(_ORDER, self._counts_of(key), strict=True))

    @cached_property
    def _names(self) -> tuple[Sequence[str], Sequence[Any]]:
        """The names of the knobs that change a count, and their values if a candidate has none."""
        return [k.name for k in self._counting], [_default(k) for k in self._counting]

    def _counts_of(self, key: tuple[Any, ...]) -> tuple[float, float, float]:
        found = self._counts.get(key)
        if found is None:
            if len(self._counts) >= _MOST_COUNTED:
                self._counts.clear()
            found = self._counts[key] = self._count(_fields(self._counting, key))
        return found

    def _count(self, fields: Fields) -> tuple[float, float, float]:
        bits, member = _bits(fields, self.space.target.counted), _member(fields)
        narrowing = self._narrowing(member)
        known = _widths(fields, narrowing)
        estimating = [own for own, widths in zip(fields, known, strict=True) if widths is None]
        lost = {root: count for widths in known if widths for root, count in widths.items()}
        narrowed = narrowing.without(lost) if narrowing and lost else None
        parts = self._parts(member) if narrowed is None else narrowed
        parameters = macs = size_bits = 0.0
        kept: dict[int | None, float] = {}
        for part in parts:
            if part.stage not in kept:
                kept[part.stage] = math.prod(c.share(own, part.stage) for c, own in estimating)
            share = kept[part.stage]
            own_weights = part.weights - part.lost(fields)
            parameters += share * (own_weights + part.biases)
            macs += share * part.macs
            size_bits += share * (own_weights * bits + part.biases * FLOAT_BITS)
        runs = math.prod(costs.runs(own) for costs, own in fields)
        return parameters, runs * macs, max(1.0, size_bits / 8)

    @cached_property
    def _narrows(self) -> bool:
        """Whether a technique removes channels of groups that may be looked for."""
        loses = any(BY_NAME[name].costs.loses_channels for name in self.space.techniques)
        return loses and (not _chooses_members(self.space) or _has_few_members(self.space))

    def _narrowing(self, member: Shape) -> _Narrowed | None:
        """What counts a member without channels; None where nothing loses any, or is estimated."""
        if not self._narrows:
            return None
        if member not in self._narrowings:
            found = narrowing_of(self.space.outline.member(member))
            self._narrowings[member] = None if found is None else _Narrowed(found)
        return self._narrowings[member]

    def _parts(self, member: Shape) -> Sequence[_Part]:
        """The parts of a member; of a cell only the operations that its answer depends on."""
        shape, whole = replace(member, cell=()), self.space.outline.elastic
        if shape not in self._members:
            self._members[shape] = _parts_of(self.space.outline.member(shape))
        parts = self._members[shape]
        if not member.cell or whole is None:
            return parts
        cell = whole.least([(name,) for name in member.cell])
        return [p for p in parts if p.edge is None or cell[p.edge] == p.operation]


def _widths(fields: Fields, narrowed: _Narrowed | None) -> list[Mapping[str, int] | None]:
    """The channels that stay of groups, by technique; None where they are estimated.

    A candidate that excludes a layer which its member does not have will be refused: its counts are
    those of the member.
    """
    if narrowed is None:
        return [{} if costs.is_exact else None for costs, _ in fields]
    try:
        return [costs.kept(own, narrowed.narrowing) for costs, own in fields]
    except InvalidCandidate:
        return [{} for _ in fields]


def _default(knob: Knob) -> Any:
    """The value of the knob for a candidate that names none."""
    return knob.choices[0] if knob.choices else None


def _fields(knobs: Sequence[Knob], values: Sequence[Any]) -> Fields:
    found: dict[str, dict[str, Any]] = {}
    for knob, value in zip(knobs, values, strict=True):
        fields, is_whole = found.setdefault(knob.technique, {}), knob.part is None
        fields[knob.field] = value if is_whole else (*fields.get(knob.field, ()), value)
    return [(BY_NAME[name].costs, {**_defaults(name), **own}) for name, own in found.items()]


@cache
def _defaults(technique: str) -> Mapping[str, Any]:
    fields = BY_NAME[technique].config.model_fields
    return {field: canonical.default(f"{technique}.{field}") for field in fields}


def _member(fields: Fields) -> Shape:
    """The member that the candidate begins from; the network itself if it names none."""
    members = (costs.member(own) for costs, own in fields)
    return next((member for member in members if member is not None), Shape())


def _parts_of(outline: Outline) -> tuple[_Part, ...]:
    found: dict[tuple[int | None, int | None, str], list[LayerInfo]] = {}
    for layer in outline.layers:
        found.setdefault((layer.stage, layer.edge, layer.operation), []).append(layer)
    return tuple(_part(*key, layers) for key, layers in found.items())


def _part(
    stage: int | None, edge: int | None, operation: str, layers: Sequence[LayerInfo]
) -> _Part:
    return _Part(
        stage=stage,
        edge=edge,
        operation=operation,
        weights=sum(weights(layer) for layer in layers),
        biases=sum(layer.weight_shape[0] * biases_of_output(layer) for layer in layers),
        macs=sum(layer.macs for layer in layers),
        tables=tuple(
            (weights(layer), layer.weight_shape[1]) for layer in layers if layer.kind == _TABLE
        ),
    )


def _rows(fields: Fields, words: int) -> int:
    """Return the rows that stay of a table of so many words, behind all techniques."""
    for costs, own in fields:
        words = costs.rows(own, words)
    return words


def _bits(fields: Fields, counted: ByteModel) -> float:
    """Return the average bits of a weight in the form of a target; packed zeros take none."""
    if not counted.packs:
        in_integers = any(costs.multiplies_integers(own) for costs, own in fields)
        return BYTE_BITS if in_integers else FLOAT_BITS
    bits = min((costs.bits(own) for costs, own in fields), default=FLOAT_BITS)
    return bits * math.prod(costs.nonzero(own) for costs, own in fields)
