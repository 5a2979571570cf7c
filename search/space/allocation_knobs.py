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
from compress.targets import registry as targets
from compress.values.knobs import Scalar
from featherweight.specs.job import JobSpec
from search.allocation.allotment import FLOAT_BITS, Allotment, Allotter, Axis, Choices
from search.errors import InvalidSpace, ProfileDoesNotFit
from search.space import validation
from search.space.knobs import Domain, Knob

ALLOCATION = "allocation"
"""The technique name of the knobs that allocate."""
RATIOS = "filter_pruning.ratios"
BITS = "quantization.weight_bits"
SHARES: Mapping[Axis, str] = {"bytes": "allocation.bytes", "macs": "allocation.macs"}
PRUNING = "allocation.pruning"
SHARPNESS = "allocation.sharpness"
MOST_BITS = 8
_LEAST_CODED = 0.7
"""Least share of its width that a weight takes in a file: three levels, most of them zero."""
_OF_A_REAL_RANGE = 9
_MOST_TEXT = 4000
"""Most characters that ``quantization.layer_bits`` may have."""
_OF_BYTES = frozenset(
    {"size_bytes", "download_bytes", "package_bytes", "peak_memory_bytes", "parameters"}
)
_OF_MACS = frozenset({"macs", "latency_ms"})
_NEEDED: Mapping[tuple[str, str], tuple[Scalar, str]] = {
    ("filter_pruning", "scope"): ("stage", "stages are what a profile knows"),
    ("filter_pruning", "target"): ("channels", "ratios are shares of channels in a profile"),
    ("filter_pruning", "exclude"): ("", "a profile knows stages as a whole"),
    ("quantization", "allocation"): ("uniform", "the profile says which layers need more bits"),
    ("quantization", "exclude"): ("", "every layer gets its bits from the profile"),
}
"""Fields that a job with a profile may not vary, the value that each must have, and why."""


@dataclass(frozen=True, kw_only=True)
class Allocation:
    """The meaning of a job's allocation knobs, which is known once there is a profile.

    ``replaced`` are the knobs that the allocation knobs stand in for.
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
        """Return the same with the profile by which it allocates."""
        return replace(self, profile=profile, _known={})

    @property
    def allotter(self) -> Allotter:
        """The allotter of the profile. Raises ProfileDoesNotFit if there is no profile yet."""
        if self.profile is None:
            raise ProfileDoesNotFit("the model is not profiled yet: nothing can be allocated")
        return Allotter(profile=self.profile, choices=self.choices)

    def fields(
        self, params: Mapping[str, Scalar], *, edges_8bit: bool
    ) -> dict[str, dict[str, Any]]:
        """Return, by technique, the fields that these values of the allocation knobs decide."""
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
            edges = self.allotter.edges if edges_8bit else frozenset[str]()
            result["quantization"] = _in_words(found.bits, edges)
        return result


def profiled(
    spec: JobSpec, knobs: tuple[Knob, ...], outline: Outline
) -> tuple[tuple[Knob, ...], Allocation | None]:
    """Return the knobs of a job, and the allocation if the job asks for one.

    Raises InvalidSpace for a field that cannot be varied together with a profile.
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
    """Return what may be allocated in a job with these knobs.

    Raises InvalidSpace for a field whose value a profile does not allow.
    """
    _check(spec, knobs)
    stages = [_ratios(knob) for knob in knobs if knob.path == RATIOS]
    bits = (FLOAT_BITS,)
    if "quantization" in spec.techniques:
        found = sorted(int(each) for each in validation.values_of(knobs)(BITS))
        bits = tuple(each for each in found if each <= MOST_BITS) or (found[-1],)
        if _has_own_bits(knobs):
            bits = bits[-1:]
    return Choices(
        ratios=tuple(stages), bits=bits, axis=_axis(spec), whole_bits=_whole_bits(spec, knobs)
    )


def _whole_bits(spec: JobSpec, knobs: Sequence[Knob]) -> int | None:
    """Return what a weight takes if the target packs none; None: few bits take few bytes.

    Few bits do so in downloads, in any form.
    """
    is_packed = targets.find(spec.target).counted.packs
    if is_packed or ("download_bytes" in spec.compared and "size_bytes" not in spec.compared):
        return None
    is_integer = multiplies_integers(knobs)
    return MOST_BITS if is_integer else FLOAT_BITS


def multiplies_integers(knobs: Sequence[Knob]) -> bool:
    """Return whether candidates of these knobs may have 8-bit activations."""
    has_grid = any(knob.technique == "quantization" for knob in knobs)
    return has_grid and "int8" in validation.values_of(knobs)("quantization.activations")


def allocation(spec: JobSpec, knobs: Sequence[Knob]) -> tuple[tuple[Knob, ...], Allocation]:
    """Replace the knobs that an allocation decides by knobs that allocate.

    Returns the new knobs and the allocation. Raises InvalidSpace if there is nothing to allocate,
    or for a bit-width that no allocation has.
    """
    found = choices(spec, knobs)
    if not found.chooses_ratios and not found.chooses_bits:
        raise InvalidSpace(
            f"profile.allocate: there is nothing to allocate, because neither {RATIOS} nor {BITS} "
            "has several values that affect the job's objectives: widen one of them, or set "
            "allocate to false"
        )
    if found.chooses_bits and any(width > MOST_BITS for width in validation.values_of(knobs)(BITS)):
        raise InvalidSpace(
            f"{BITS} can be more than {MOST_BITS}, for which there is no grid of bits: leave it "
            "out, or set profile.allocate to false"
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
    """Raise ProfileDoesNotFit for a profile of another network, or without a single probe."""
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
    """Raise InvalidSpace if a config has no room for the bits of every layer."""
    names = validation.layer_names(outline, technique="quantization")
    needed = sum(len(f"{name}=8,") for name in names)
    if needed > _MOST_TEXT:
        raise InvalidSpace(
            f"profile.allocate: the names of the network's {len(names)} layers are too long for "
            "quantization.layer_bits: set allocate to false"
        )


def _own(found: Choices) -> tuple[Knob, ...]:
    """The knobs that allocate. If the edges keep 8 bits, the lowest share is out of reach."""
    narrowest = found.bits[0] if found.axis == "bytes" else FLOAT_BITS
    most = max((values[-1] for values in found.ratios), default=0.0)
    coded = narrowest * (_LEAST_CODED if found.axis == "bytes" else 1.0)
    if found.axis == "bytes" and found.whole_bits is not None:
        coded = found.whole_bits
    low = round(max(1e-4, (1.0 - most) ** 2 * coded / FLOAT_BITS), 6)
    share = _knob(found.axis, Domain(kind="float", low=low, high=found.most, log=True))
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
    """The axis is MACs if the job names metrics that follow from them and none that follow bytes.

    Latency is taken to be proportional to MACs.
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
    """Return whether the job itself names the bits of some layers."""
    return any(text != "" for text in validation.values_of(knobs)("quantization.layer_bits"))


def _in_words(bits: Mapping[str, int], edges: frozenset[str]) -> dict[str, Any]:
    """Write the bits as fields of a config: the usual width, and the layers that have another.

    ``edges`` keep 8 bits whatever the config says.
    """
    counts = Counter(width for name, width in bits.items() if name not in edges)
    usual = max(counts, key=lambda width: (counts[width], width), default=MOST_BITS)
    odd = [f"{name}={width}" for name, width in bits.items() if name not in edges]
    odd = [text for text in odd if not text.endswith(f"={usual}")]
    return {"weight_bits": usual, "layer_bits": ",".join(odd)}
