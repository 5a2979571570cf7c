"""Simple candidates every search must beat: what a person would try without a search."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from compress.applies import OFF
from compress.catalog import BY_NAME
from compress.knobs import Scalar
from featherweight.specs.schemas import KnobSchema
from search import grid

Wishes = Mapping[str, Scalar]
_RECOVERING = "distillation"
"""How a control recovers is left as it is usually done."""
_UNTOUCHED: Wishes = {
    f"{technique}.{field}": value
    for technique, fields in OFF.items()
    for field, value in fields.items()
    if technique != _RECOVERING
}
_CONTROLS: tuple[tuple[str, frozenset[str], Wishes], ...] = (
    ("uniform 8-bit", frozenset({"quantization"}), {"quantization.weight_bits": 8}),
    (
        "uniform pruning",
        frozenset({"filter_pruning"}),
        {
            "filter_pruning.ratios": 0.5,
            "filter_pruning.ratio": 0.5,
            "quantization.weight_bits": 8,
        },
    ),
    (
        "narrower member",
        frozenset({"family_member"}),
        {"family_member.width": 0.5, "quantization.weight_bits": 8},
    ),
)


def named(
    knobs: tuple[KnobSchema, ...], *, techniques: frozenset[str], seed: int
) -> tuple[tuple[str, dict[str, Scalar]], ...]:
    """Name and values (of the knobs that can turn) of each control that the techniques allow.

    Every wish is met by the knob's nearest value. The last control is one random point of the
    space, the same for the same seed.
    """
    found = [
        (name, _params(knobs, {**_UNTOUCHED, **wishes}))
        for name, needs, wishes in _CONTROLS
        if needs <= techniques
    ]
    random = np.random.default_rng([seed, len(_CONTROLS)])
    found.append(("random", {k.name: grid.draw(k, random) for k in _turning(knobs)}))
    return tuple(found)


def _params(knobs: tuple[KnobSchema, ...], wishes: Wishes) -> dict[str, Scalar]:
    return {knob.name: grid.snap(knob, _wish(knob.name, wishes)) for knob in _turning(knobs)}


def _wish(name: str, wishes: Wishes) -> Scalar:
    technique, field = name.split(".")[:2]
    if f"{technique}.{field}" in wishes:
        return wishes[f"{technique}.{field}"]
    return BY_NAME[technique].config.model_fields[field].default


def _turning(knobs: tuple[KnobSchema, ...]) -> list[KnobSchema]:
    return [knob for knob in knobs if knob.kind != "fixed"]
