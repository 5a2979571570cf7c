"""The jobs: small, seeded, and together of every technique, phase and kind of candidate.

No objective or constraint is a time, and one trial runs at once: which candidates are tried,
stopped and recommended then depends on nothing that another run could change.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

DATA = "digits"
UPLOADED = "network"
"""Name of the model that is uploaded: the baseline of the first job."""
Steps = list[dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """A job, the candidates that are proposed to it, and the jobs that come before it."""

    name: str
    spec: Mapping[str, Any]
    candidates: tuple[Steps, ...] = ()
    after: tuple[str, ...] = ()
    warm_from: str | None = None


@dataclass(frozen=True, kw_only=True)
class _Step:
    """A step of a candidate, written as ``_Step("sparsity")(sparsity=0.5)``."""

    technique: str
    always: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, **fields: Any) -> dict[str, Any]:
        return {"technique": self.technique, **self.always, **fields}


_prune = _Step(technique="filter_pruning")
_sparsify = _Step(technique="sparsity")
_split = _Step(technique="low_rank")
_quantize = _Step(technique="quantization", always={"calibration_images": 64})
_share = _Step(technique="weight_sharing")
_distil = _Step(technique="distillation")
_mirror = _Step(technique="mirroring")
_member = _Step(technique="family_member", always={"weights": "supernet"})

_NETWORK = {"family": "residual", "widths": [8, 16], "depths": [1, 1]}
_BASE: dict[str, Any] = {
    "data": DATA,
    "model": {"architecture": _NETWORK, "epochs": 12},
    "objectives": ["maximise accuracy", "minimise size_bytes"],
    "recovery": {"learning_rate": 0.005},
    "early_stopping": {"rungs": [0, 1], "eta": 2},
    "finish": {"trials": 0},
    "seed": 7,
}
_PROPOSED: dict[str, Any] = {"sampler": "random", "controls": False}
TECHNIQUES: tuple[Steps, ...] = (
    [_prune(ratios=[0.25, 0.5])],
    [_prune(scope="uniform", ratio=0.3, importance="taylor", calibration_images=64)],
    [_prune(scope="global", ratio=0.4, importance="lamp", steps=2, step_epochs=1)],
    [_prune(scope="same_number", ratio=0.3, importance="fpgm", target="macs")],
    [_prune(scope="uniform", ratio=0.3, importance="batchnorm", slimming_epochs=1)],
    [_sparsify(sparsity=0.6)],
    [_sparsify(pattern="2:4", criterion="wanda", calibration_images=64)],
    [_sparsify(sparsity=0.7, scope="layer", criterion="lamp", schedule="gradual")],
    [_split(energy=0.9)],
    [_split(energy=0.8, method="spatial", weighting="none")],
    [_quantize(weight_bits=8)],
    [_quantize(weight_bits=4)],
    [_quantize(weight_bits=3, rounding="gptq", scheme="affine")],
    [_quantize(weight_bits=8, activations="float")],
    [_quantize(weight_bits=4, activations="float", granularity="group", group_size=8)],
    [_quantize(weight_bits=16, activations="float")],
    [_quantize(weight_bits=4, rounding="adaround", short_scales=False, scale_bits=16)],
    [_quantize(weight_bits=3, training="noise", allocation="sensitivity", extra_bits=0.5)],
    [_share(index_bits=3)],
    [_share(index_bits=4, normalise="layer", centroids="reclustered", weighting="activation")],
    [_distil(temperature=2.0, weight=0.7)],
    [_distil(loss="decoupled", features="hints", weight=0.3)],
    [_distil(teacher="self", weight=0.5)],
    [_mirror()],
    [_mirror(flip="both")],
    [_prune(ratios=[0.25, 0.25]), _quantize(weight_bits=4)],
    [_prune(ratios=[0.0, 0.5]), _split(energy=0.9), _distil(), _quantize(weight_bits=8)],
    [_sparsify(sparsity=0.5), _share(index_bits=4), _mirror()],
    [_split(energy=0.95), _sparsify(sparsity=0.5), _quantize(weight_bits=4, layer_bits="conv1=8")],
    [_prune(ratios=[0.25, 0.25]), _distil(), _share(index_bits=3), _quantize(weight_bits=8)],
)
"""Candidates of the first job, beside the baseline."""
MEMBERS: tuple[Steps, ...] = (
    [_member(width=0.5)],
    [_member(width=0.5, depth=1), _quantize(weight_bits=4)],
    [_member(width=1.0, depth=1), _distil(weight=0.5), _quantize(weight_bits=8)],
    [_member(width=1.0, depth=1, weights="fresh"), _distil(weight=0.5)],
)
"""Candidates of the job that trains a supernet first."""

_PROPOSALS = Scenario(
    name="techniques",
    spec=_BASE
    | _PROPOSED
    | {
        "name": "techniques",
        "techniques": {
            "filter_pruning": {},
            "low_rank": {},
            "distillation": {},
            "sparsity": {},
            "weight_sharing": {},
            "quantization": {},
            "mirroring": {},
        },
        "early_stopping": {"rungs": [2]},
        "budget": {"trials": 1 + len(TECHNIQUES), "parallel_trials": 1},
    },
    candidates=TECHNIQUES,
)
_SUPERNET = Scenario(
    name="members",
    spec=_BASE
    | _PROPOSED
    | {
        "name": "members",
        "student": {"family": "residual", "widths": [8, 16], "depths": [2, 2]},
        "supernet": {"epochs": 6},
        "techniques": {
            "family_member": {"width": [0.5, 1.0], "weights": ["supernet", "fresh"]},
            "distillation": {},
            "quantization": {},
        },
        "budget": {"trials": 2 + len(MEMBERS), "parallel_trials": 1},
    },
    candidates=MEMBERS,
)
_SEARCH_SPACE: dict[str, Any] = {
    "filter_pruning": {"ratios": {"low": 0.0, "high": 0.6, "step": 0.1}},
    "distillation": {},
    "quantization": {"weight_bits": [8, 4, 3]},
}
_SEARCH = Scenario(
    name="search",
    spec=_BASE
    | {
        "name": "search",
        "model": UPLOADED,
        "profile": {"images": 64, "allocate": False},
        "techniques": _SEARCH_SPACE,
        "constraints": ["accuracy >= baseline - 20 points"],
        "early_stopping": {"rungs": [0, 1, 2], "eta": 2},
        "budget": {"trials": 16, "parallel_trials": 1},
        "finish": {"trials": 2, "finalists": 2, "epochs": 2},
    },
    after=("techniques",),
)
_WARM = Scenario(
    name="warm",
    spec=_BASE
    | {
        "name": "warm",
        "model": UPLOADED,
        "techniques": _SEARCH_SPACE,
        "budget": {"trials": 6, "parallel_trials": 1},
        "seed": 8,
    },
    after=("search",),
    warm_from="search",
)
_ALLOCATION = Scenario(
    name="allocation",
    spec=_BASE
    | {
        "name": "allocation",
        "model": UPLOADED,
        "profile": {"images": 64},
        "techniques": {"filter_pruning": {}, "quantization": {}},
        "budget": {"trials": 8, "parallel_trials": 1},
    },
    after=("techniques",),
)
_FAMILY = Scenario(
    name="family",
    spec=_BASE
    | {
        "name": "family",
        "model": {
            "architecture": {
                "family": "ds_cnn",
                "channels": 12,
                "depth": 2,
                "stem_kernel": [3, 3],
                "stem_stride": [1, 1],
            },
            "epochs": 20,
        },
        "techniques": {
            "family_member": {"width": [0.5, 1.0], "depth": [1, 2]},
            "filter_pruning": {},
            "sparsity": {},
            "quantization": {},
            "mirroring": {},
        },
        "objectives": ["maximise accuracy", "minimise macs"],
        "sampler": "known_cost",
        "budget": {"trials": 8, "parallel_trials": 1},
        "finish": {"trials": 1, "finalists": 1, "epochs": 1},
    },
)
SCENARIOS = (_PROPOSALS, _SUPERNET, _SEARCH, _WARM, _ALLOCATION, _FAMILY)
HALF_DONE: dict[str, Any] = {
    **_SEARCH.spec,
    "name": "half-done",
    "model": _BASE["model"],
    "budget": {"trials": 14, "parallel_trials": 1, "seconds": 100_000},
}
"""The job that is left in its middle and ended by another checkout.

The seconds are so many that the profile, which may take a tenth of them, is always whole.
"""


def chosen(only: str | None) -> list[Scenario]:
    """All scenarios in their order, or the one of this name with those that it comes after."""
    if only is None:
        return list(SCENARIOS)
    by_name = {scenario.name: scenario for scenario in SCENARIOS}
    wanted, missing = {only}, [only]
    while missing:
        before = by_name[missing.pop()].after
        missing += before
        wanted |= set(before)
    return [scenario for scenario in SCENARIOS if scenario.name in wanted]
