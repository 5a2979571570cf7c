"""Simple candidates that every search must beat: what a person would try without one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from compress.techniques.registry import BY_NAME, TECHNIQUES
from compress.values.knobs import Scalar
from search.space import grid
from search.space.knobs import Knob

Wishes = Mapping[str, Scalar]
_UNTOUCHED: Wishes = {
    f"{technique.name}.{field}": value
    for technique in TECHNIQUES
    for field, value in technique.disabled.items()
    if technique.acts_on != {"training"}
} | {"allocation.bytes": 1.0, "allocation.macs": 1.0, "allocation.pruning": 0.0}
"""As little as possible of everything but training: a control recovers as candidates usually do."""
_ALLOTTED: Wishes = {"allocation.bytes": 0.3, "allocation.macs": 0.3, "allocation.pruning": 1.0}
"""Shares of the most that may be allocated: every stage loses half of its channels."""
# What a person would try first is a matter of single techniques, so they are named here.
_CONTROLS: tuple[tuple[str, frozenset[str], Wishes], ...] = (
    ("uniform 8-bit", frozenset({"quantization"}), {"quantization.weight_bits": 8}),
    (
        "uniform pruning",
        frozenset({"filter_pruning"}),
        {
            "filter_pruning.ratios": 0.5,
            "filter_pruning.ratio": 0.5,
            "quantization.weight_bits": 8,
            **_ALLOTTED,
        },
    ),
    (
        "narrower member",
        frozenset({"family_member"}),
        {"family_member.width": 0.5, "quantization.weight_bits": 8},
    ),
)


def named(
    knobs: tuple[Knob, ...], *, techniques: frozenset[str], seed: int, num_random: int = 1
) -> tuple[tuple[str, dict[str, Scalar]], ...]:
    """Return the name of each control that the techniques allow, and its values of turning knobs.

    Each knob takes its nearest value to the one that is wished for. The last ``num_random``
    controls are uniform random points of the space, the same for the same seed.
    """
    found = [
        (name, _params(knobs, {**_UNTOUCHED, **wishes}))
        for name, needs, wishes in _CONTROLS
        if needs <= techniques
    ]
    random = np.random.default_rng([seed, len(_CONTROLS)])
    for _ in range(num_random):
        found.append(("random", {k.name: grid.draw(k, random) for k in _turning(knobs)}))
    return tuple(found)


def untouched(knobs: Sequence[Knob]) -> dict[str, Scalar]:
    """Return the values of the turning knobs that change as little as the ranges allow."""
    return _params(knobs, _UNTOUCHED)


def _params(knobs: Sequence[Knob], wishes: Wishes) -> dict[str, Scalar]:
    return {knob.name: grid.snap(knob, _wish(knob, wishes)) for knob in _turning(knobs)}


def _wish(knob: Knob, wishes: Wishes) -> Scalar:
    wished = wishes.get(knob.path)
    if knob.technique == "allocation":
        # Only bytes and macs have a largest value other than 1; nothing is allotted unevenly.
        return float(wished or 0.0) * grid.bounds(knob)[1]
    if wished is not None:
        return wished
    return BY_NAME[knob.technique].config.model_fields[knob.field].default


def _turning(knobs: Sequence[Knob]) -> list[Knob]:
    return [knob for knob in knobs if knob.kind != "fixed"]
