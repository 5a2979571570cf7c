"""What a candidate costs, counted from its knobs: without torch, and before anything is built.

``parameters`` and ``macs`` are **exact**, that is equal to what is counted in the exported file
(``compress.export.counting``), where no candidate of the space prunes channels or splits layers
(``is_exact``): then they follow from the member of the family and from the views alone, since a
grid, a codebook or a zero changes no count, and BatchNorm folds into a weight and a bias. With
``filter_pruning`` or ``low_rank`` among the techniques they are **estimates**: every stage keeps
its share of channels on both sides of a layer, though groups span stages and counts are rounded; a
rank is guessed.

``size_bytes`` is **always an estimate**: weights times bits, without entropy coding, scales, names
and the graph. It is meant as a regressor for the measured size, never as a replacement.

Where knobs allot by a profile (``space.allocation``) nothing is said here: see
``search.study.allocation_table``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any

from compress.network.families import layout
from compress.network.families.layout import Layer
from compress.network.member import Shape
from compress.techniques.mirroring.config import VIEWS
from compress.techniques.rules import canonical
from compress.values.knobs import Scalar
from compress.values.measurement import Metric
from search.space import points
from search.space.feasibility import Network
from search.space.space import Space

_MEMBER, _PRUNING, _LOW_RANK = "family_member", "filter_pruning", "low_rank"
_QUANTIZATION = "quantization"
_COUNTING = (
    _MEMBER,
    _PRUNING,
    _LOW_RANK,
    "sparsity",
    "weight_sharing",
    _QUANTIZATION,
    "mirroring",
)
"""Techniques whose fields are looked at."""
_MOST_COUNTED = 20_000
"""Candidates whose counts are remembered: a sampler asks for the same ones again and again."""
COUNTED: tuple[Metric, ...] = ("parameters", "macs")
_GUESSED: tuple[Metric, ...] = ("size_bytes",)
_ORDER: tuple[Metric, ...] = (*COUNTED, *_GUESSED)
_FLOAT_BITS = 32
_SHAPES = frozenset(Shape.__dataclass_fields__) - {"cell"}
_OPERATION = re.compile(r"\.edges\.(\d+)\.(\w+?)(?:\.|$)")
"""Where a layer of a cell says its edge and its operation."""
_ENERGY_POWER = 8
"""A guess: factors that keep a share ``e`` of the squared norm hold ``e**8`` of the weights."""

Fields = Mapping[str, Mapping[str, Any]]
"""Technique to its fields, of those that have a knob."""


def is_exact(space: Space) -> bool:
    """Whether ``parameters`` and ``macs`` of every candidate are known and not only estimated."""
    return space.allocation is None and not {_PRUNING, _LOW_RANK} & set(space.techniques)


@dataclass(frozen=True, kw_only=True)
class _Place:
    """A knob, the field that it sets or is a part of, and its value where a candidate has none."""

    name: str
    technique: str
    field: str
    is_part: bool
    otherwise: Any


@dataclass(frozen=True, kw_only=True)
class _Part:
    """Layers that share a stage, and in a cell an edge and its operation."""

    stage: int | None
    edge: int | None
    operation: str
    weights: int
    biases: int
    macs: int


@dataclass(frozen=True, kw_only=True)
class KnownCosts:
    """Counts for one job's space. Layers of a member are laid out once and remembered."""

    space: Space
    network: Network
    _members: dict[Shape, tuple[_Part, ...]] = field(
        default_factory=dict, repr=False, compare=False
    )
    _counts: dict[tuple[Any, ...], tuple[float, float, float]] = field(
        default_factory=dict, repr=False, compare=False
    )

    @cached_property
    def _places(self) -> tuple[_Place, ...]:
        """Where the values of the knobs go that change a count; thousands are counted at a time."""
        every = [(knob, *knob.name.split(".")) for knob in self.space.knobs]
        found = [each for each in every if each[1] in _COUNTING]
        return tuple(
            _Place(
                name=knob.name,
                technique=technique,
                field=name,
                is_part=bool(part),
                otherwise=knob.choices[0] if knob.choices else None,
            )
            for knob, technique, name, *part in found
        )

    @property
    def exact(self) -> frozenset[Metric]:
        """Metrics whose value ``of`` knows; MACs only where the images' size is known."""
        return self._counted if is_exact(self.space) else frozenset()

    @property
    def estimated(self) -> frozenset[Metric]:
        """Metrics of which ``of`` has a guess only."""
        if self.space.allocation is not None:
            return frozenset()
        return self._counted.union(_GUESSED) - self.exact

    def column(self, metric: Metric, candidates: Sequence[Mapping[str, Any]]) -> list[float]:
        """One metric of many candidates, each given by the values of the turning knobs."""
        wanted = _ORDER.index(metric)
        keys = points.rows(candidates, *self._names)
        return [self._counts_of(key)[wanted] for key in keys]

    def of(self, params: Mapping[str, Scalar]) -> dict[Metric, float]:
        """Parameters, MACs and bytes of one candidate; see ``exact`` for what they are worth."""
        (key,) = points.rows([params], *self._names)
        return dict(zip(_ORDER, self._counts_of(key), strict=True))

    @cached_property
    def _names(self) -> tuple[Sequence[str], Sequence[Any]]:
        """The knobs that change a count, and their values where a candidate has none."""
        return [p.name for p in self._places], [p.otherwise for p in self._places]

    def _counts_of(self, key: tuple[Any, ...]) -> tuple[float, float, float]:
        found = self._counts.get(key)
        if found is None:
            if len(self._counts) >= _MOST_COUNTED:
                self._counts.clear()
            found = self._counts[key] = self._count(_fields(self._places, key))
        return found

    def _count(self, fields: Fields) -> tuple[float, float, float]:
        bits = _bits(fields)
        parameters = macs = size_bits = 0.0
        kept: dict[int | None, float] = {}
        for part in self._parts(fields.get(_MEMBER, {})):
            if part.stage not in kept:
                kept[part.stage] = _kept(part.stage, fields)
            share = kept[part.stage]
            parameters += share * (part.weights + part.biases)
            macs += share * part.macs
            size_bits += share * (part.weights * bits + part.biases * _FLOAT_BITS)
        views = len(VIEWS[_value(fields, "mirroring.flip")])
        return parameters, views * macs, max(1.0, size_bits / 8)

    @property
    def _counted(self) -> frozenset[Metric]:
        return frozenset(COUNTED if self._has_size else COUNTED[:1])

    @property
    def _has_size(self) -> bool:
        return all(self.network.input_shape[1:])

    def _parts(self, member: Mapping[str, Any]) -> Sequence[_Part]:
        """The parts of a member: of a cell those of its operations that its answer depends on."""
        cell = tuple(member.get("cell", ()))
        cell = cell and self.space.architecture.least([(name,) for name in cell])
        shape = Shape(**{name: member[name] for name in _SHAPES & set(member)})
        if shape not in self._members:
            self._members[shape] = self._laid_out(shape)
        parts = self._members[shape]
        return (
            [p for p in parts if p.edge is None or cell[p.edge] == p.operation] if cell else parts
        )

    def _laid_out(self, shape: Shape) -> tuple[_Part, ...]:
        channels, *image = self.network.input_shape
        rows = layout.layers(
            self.space.architecture.member(shape),
            in_channels=channels,
            num_classes=self.network.num_classes,
            image=(image[0], image[1]) if self._has_size else None,
        )
        found: dict[tuple[int | None, int | None, str], list[Layer]] = {}
        for row in rows:
            place = _OPERATION.search(row.name)
            edge, operation = (int(place[1]), place[2]) if place else (None, "")
            found.setdefault((row.stage, edge, operation), []).append(row)
        return tuple(_part(*key, layers) for key, layers in found.items())


def estimates(space: Space, network: Network, params: Mapping[str, Scalar]) -> dict[Metric, float]:
    """Parameters, MACs and bytes of one candidate; see the module for which of them are exact.

    Empty where knobs allot by a profile. Without the images' size there are no MACs.
    """
    known = KnownCosts(space=space, network=network)
    there = known.exact | known.estimated
    return {m: value for m, value in known.of(params).items() if m in there} if there else {}


def _fields(places: Sequence[_Place], values: Sequence[Any]) -> Fields:
    found: dict[str, dict[str, Any]] = {}
    for place, value in zip(places, values, strict=True):
        fields = found.setdefault(place.technique, {})
        fields[place.field] = (*fields.get(place.field, ()), value) if place.is_part else value
    return found


def _value(fields: Fields, name: str) -> Any:
    """The value of ``technique.field``: the knob's, the default, or as if the technique was off."""
    technique, wanted, default, rest = _known(name)
    if technique not in fields:
        return rest
    return fields[technique].get(wanted, default)


@cache
def _known(name: str) -> tuple[str, str, Any, Any]:
    """Technique, field, its default, and what it is while the technique is off."""
    technique, _, wanted = name.partition(".")
    return technique, wanted, canonical.default(name), canonical.rest_of(name)


def _part(stage: int | None, edge: int | None, operation: str, rows: Sequence[Layer]) -> _Part:
    return _Part(
        stage=stage,
        edge=edge,
        operation=operation,
        weights=sum(_weights(row) for row in rows),
        biases=sum(_biases(row) for row in rows),
        macs=sum(row.macs or 0 for row in rows),
    )


def _weights(row: Layer) -> int:
    return 0 if row.kind == "norm" else math.prod(row.shape)


def _biases(row: Layer) -> int:
    """Of the file: a bias, or a BatchNorm folded into one; a norm by itself is no layer."""
    return row.shape[0] if row.kind != "norm" and row.parameters > _weights(row) else 0


def _kept(stage: int | None, fields: Fields) -> float:
    """The share of a stage's weights that pruning and splitting leave: 1 without them."""
    share = 1.0
    if _PRUNING in fields:
        share *= _unpruned(stage, fields)
    if _LOW_RANK in fields:
        size, energy = _value(fields, "low_rank.size_ratio"), _value(fields, "low_rank.energy")
        share *= min(float(size), float(energy) ** _ENERGY_POWER)
    return share


def _unpruned(stage: int | None, fields: Fields) -> float:
    scope, target = (_value(fields, f"filter_pruning.{name}") for name in ("scope", "target"))
    ratio = float(_value(fields, "filter_pruning.ratio"))
    if target != "channels":
        return 1.0 - ratio
    if scope == "stage":
        ratios = tuple(_value(fields, "filter_pruning.ratios"))
        ratio = ratios[stage or 0] if (stage or 0) < len(ratios) else 0.0
    # Stem and head have one side that pruning leaves alone: the image, and the classes.
    return (1.0 - ratio) ** (1 if stage is None else 2)


def _bits(fields: Fields) -> float:
    """Of a weight, on average; zeros take none."""
    bits = float(_FLOAT_BITS)
    if _QUANTIZATION in fields:
        wanted = float(_value(fields, "quantization.weight_bits"))
        bits = wanted + float(_value(fields, "quantization.extra_bits"))
    index_bits = int(_value(fields, "weight_sharing.index_bits"))
    bits = min(bits, index_bits) if index_bits > 0 else bits
    return bits * (1.0 - float(_value(fields, "sparsity.sparsity")))
