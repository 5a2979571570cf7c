"""The knobs that allocate: a few in place of a ratio per stage and one width for all layers.

A profile measures what pruning and narrower weights do to each layer, so the fields of these two
techniques are named here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from compress.network.outline import Outline
from compress.sensitivity.document import ProfileDocument
from compress.values.knobs import Scalar
from featherweight.specs.job import JobSpec
from search.allocation.allotment import FLOAT_BITS, Allotment, Allotter, Axis, Choices
from search.errors import InvalidSpace, ProfileDoesNotFit
from search.space import validation
from search.space.knobs import Domain, Knob

ALLOCATION = "allocation"
"""The technique that knobs of an allocation belong to."""
RATIOS = "filter_pruning.ratios"
BITS = "quantization.weight_bits"
SHARES: Mapping[Axis, str] = {"bytes": "allocation.bytes", "macs": "allocation.macs"}
PRUNING = "allocation.pruning"
SHARPNESS = "allocation.sharpness"
MOST_BITS = 8
_LEAST_CODED = 0.7
"""Of its width a weight takes at least so much in a file: three levels, most of them zero."""
_OF_A_REAL_RANGE = 9
_MOST_TEXT = 4000
"""Of ``quantization.layer_bits``."""
_OF_BYTES = frozenset({"size_bytes", "download_bytes", "peak_memory_bytes", "parameters"})
_OF_MACS = frozenset({"macs", "latency_ms"})
_NEEDED: Mapping[tuple[str, str], tuple[Scalar, str]] = {
    ("filter_pruning", "scope"): ("stage", "stages are what a profile knows"),
    ("filter_pruning", "target"): ("channels", "ratios are shares of channels in a profile"),
    ("filter_pruning", "exclude"): ("", "a profile knows stages as a whole"),
    ("quantization", "allocation"): ("uniform", "the profile says which layers need more bits"),
    ("quantization", "exclude"): ("", "every layer gets its bits from the profile"),
}
"""What a job with a profile may not turn, the one value it must have, and why."""


@dataclass(frozen=True, kw_only=True)
class Allocation:
    """What the job's allocation knobs mean. Without a profile it cannot say yet.

    ``replaced`` are the knobs whose place they took.
    """

    choices: Choices
    replaced: tuple[Knob, ...]
    stages_allotted: bool
    bits_allotted: bool
    profile: ProfileDocument | None = None
    _known: dict[tuple[float, float, float, bool], Allotment] = field(
        default_factory=dict, compare=False, repr=False
    )

    def on(self, profile: ProfileDocument) -> Allocation:
        """The same, able to allot."""
        return replace(self, profile=profile, _known={})

    @property
    def allotter(self) -> Allotter:
        """Allots by the profile. Raises ProfileDoesNotFit where there is none yet."""
        if self.profile is None:
            raise ProfileDoesNotFit("the model is not profiled yet: nothing can be allotted")
        return Allotter(profile=self.profile, choices=self.choices)

    def fields(
        self, params: Mapping[str, Scalar], *, edges_8bit: bool
    ) -> dict[str, dict[str, Any]]:
        """Technique to the fields that the allocation knobs decide, for values of these knobs."""
        share = float(params[SHARES[self.choices.axis]])
        key = (share, float(params.get(PRUNING, 1.0)), float(params[SHARPNESS]), edges_8bit)
        if key not in self._known:
            self._known[key] = self.allotter.allot(
                share, pruning=key[1], sharpness=key[2], edges_8bit=edges_8bit
            )
        found, result = self._known[key], dict[str, dict[str, Any]]()
        if self.stages_allotted:
            result["filter_pruning"] = {"ratios": found.ratios}
        if self.bits_allotted:
            result["quantization"] = _in_words(found.bits, edges_8bit=edges_8bit)
        return result


def profiled(
    spec: JobSpec, knobs: tuple[Knob, ...], outline: Outline
) -> tuple[tuple[Knob, ...], Allocation | None]:
    """The knobs that a job has with the profile it asks for, and what those that allot mean.

    Raises InvalidSpace for what cannot stand beside a profile.
    """
    if spec.profile is None:
        return knobs, None
    if not spec.profile.allocate:
        choices(spec, knobs)
        return knobs, None
    found, allotted = allocation(spec, knobs)
    if allotted.bits_allotted:
        _check_names(outline)
    return found, allotted


def choices(spec: JobSpec, knobs: Sequence[Knob]) -> Choices:
    """What may be allotted in a job with these knobs.

    Raises InvalidSpace for a field that has to be another way where there is a profile.
    """
    _check(spec, knobs)
    stages = [_ratios(knob) for knob in knobs if knob.path == RATIOS]
    bits = (FLOAT_BITS,)
    if "quantization" in spec.techniques:
        found = sorted(int(each) for each in validation.values_of(knobs)(BITS))
        bits = tuple(each for each in found if each <= MOST_BITS) or (found[-1],)
        if _has_own_bits(knobs):
            bits = bits[-1:]
    return Choices(ratios=tuple(stages), bits=bits, axis=_axis(spec))


def allocation(spec: JobSpec, knobs: Sequence[Knob]) -> tuple[tuple[Knob, ...], Allocation]:
    """The knobs with those that allot in the place of what they decide, and what they mean.

    Raises InvalidSpace where there is nothing to allot, or a width that no allotment has.
    """
    found = choices(spec, knobs)
    if not found.chooses_ratios and not found.chooses_bits:
        raise InvalidSpace(
            f"profile.allocate: there is nothing to allot, neither {RATIOS} nor {BITS} has several "
            "values that count for the job's objectives: widen one of them, or let allocate be "
            "false"
        )
    if found.chooses_bits and any(width > MOST_BITS for width in validation.values_of(knobs)(BITS)):
        raise InvalidSpace(
            f"{BITS} can be more than {MOST_BITS}, which has no grid to allot bits on: leave it "
            "out, or let profile.allocate be false"
        )
    taken = (RATIOS,) if found.chooses_ratios else ()
    taken += (BITS,) if found.chooses_bits else ()
    replaced = tuple(knob for knob in knobs if knob.path in taken)
    kept = tuple(knob for knob in knobs if knob not in replaced)
    allotted = Allocation(
        choices=found,
        replaced=replaced,
        stages_allotted=found.chooses_ratios,
        bits_allotted=found.chooses_bits,
    )
    return (*_own(found), *kept), allotted


def check_profile(profile: ProfileDocument, outline: Outline) -> None:
    """Raises ProfileDoesNotFit for a profile of another network, or without any probe."""
    if profile.probes == 0:
        raise ProfileDoesNotFit(
            f"{profile.allowed_seconds or 0.0:.2g} s were not enough for a single probe, so "
            "nothing is known of the model: raise profile.share or budget.seconds, or leave "
            "profile out"
        )
    names = validation.layer_names(outline, technique="quantization")
    count = len(outline.blocks)
    stages = {stage.stage for stage in profile.stages}
    known = {layer.name for layer in profile.layers}
    if known != set(names) or not stages <= set(range(count)):
        raise ProfileDoesNotFit(
            f"the profile is of {len(known)} layers and the stages {sorted(stages)}, the network "
            f"has {len(names)} layers, not all of them the same, and {count} stages: "
            "start the job again without profile"
        )


def _check_names(outline: Outline) -> None:
    """Raises InvalidSpace where a config has no room for the bits of every layer."""
    names = validation.layer_names(outline, technique="quantization")
    needed = sum(len(f"{name}=8,") for name in names)
    if needed > _MOST_TEXT:
        raise InvalidSpace(
            f"profile.allocate: the names of the network's {len(names)} layers are too long for "
            "quantization.layer_bits: let allocate be false"
        )


def _own(found: Choices) -> tuple[Knob, ...]:
    """The knobs that allot; the lowest share is out of reach where edges keep 8 bits."""
    widest = found.bits[-1] if found.axis == "bytes" else FLOAT_BITS
    narrowest = found.bits[0] if found.axis == "bytes" else FLOAT_BITS
    most = max((values[-1] for values in found.ratios), default=0.0)
    high = widest / FLOAT_BITS
    coded = narrowest * (_LEAST_CODED if found.axis == "bytes" else 1.0)
    low = round(max(1e-4, (1.0 - most) ** 2 * coded / FLOAT_BITS), 6)
    share = _knob(found.axis, Domain(kind="float", low=low, high=high, log=True))
    sharpness = _knob("sharpness", Domain(kind="float", low=0.0, high=1.0, step=0.25))
    if not (found.chooses_bits and found.chooses_ratios):
        return share, sharpness
    pruning = _knob("pruning", Domain(kind="float", low=0.0, high=1.0, step=0.1))
    return share, pruning, sharpness


def _knob(field: str, domain: Domain) -> Knob:
    return Knob(technique=ALLOCATION, field=field, domain=domain)


def _check(spec: JobSpec, knobs: Sequence[Knob]) -> None:
    for (technique, own), (wanted, why) in _NEEDED.items():
        if technique not in spec.techniques:
            continue
        name = f"{technique}.{own}"
        odd = [value for value in validation.values_of(knobs)(name) if value != wanted]
        if odd:
            raise InvalidSpace(
                f"{name} can be {odd[0]!r}, and with a profile it must be {wanted!r}: {why}. "
                "Change that, or leave profile out"
            )


def _axis(spec: JobSpec) -> Axis:
    """Bytes, unless the job only speaks of what multiply-accumulates cost.

    Latency is taken to be in proportion to them.
    """
    spoken = {wanted.metric for wanted in (*spec.objectives, *spec.constraints)}
    return "macs" if spoken & _OF_MACS and not spoken & _OF_BYTES else "bytes"


def _ratios(knob: Knob) -> tuple[float, ...]:
    ends = [float(value) for value in validation.values(knob)]
    if knob.kind == "float" and knob.step is None:
        low, high = ends[0], ends[-1]
        steps = _OF_A_REAL_RANGE - 1
        ends = [low + (high - low) * step / steps for step in range(steps + 1)]
    return tuple(sorted(round(ratio, 6) for ratio in ends))


def _has_own_bits(knobs: Sequence[Knob]) -> bool:
    """Whether the job itself says the bits of some layers."""
    return any(text != "" for text in validation.values_of(knobs)("quantization.layer_bits"))


def _in_words(bits: Mapping[str, int], *, edges_8bit: bool) -> dict[str, Any]:
    """The bits as fields of a config: one width, and the layers that have another."""
    names = list(bits)
    edges = {names[0], names[-1]} if edges_8bit else set[str]()
    counts = Counter(width for name, width in bits.items() if name not in edges)
    usual = max(counts, key=lambda width: (counts[width], width), default=MOST_BITS)
    odd = [f"{name}={width}" for name, width in bits.items() if name not in edges]
    odd = [text for text in odd if not text.endswith(f"={usual}")]
    return {"weight_bits": usual, "layer_bits": ",".join(odd)}
