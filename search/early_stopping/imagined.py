"""Made-up candidates for simulating a stopping rule.

Their costs lie up to one and a half decades below the baseline's and are correlated. The cheaper a
candidate, the more accuracy it loses; some lose more than others of their size, and training brings
each closer to what it can reach. On the sample job (``examples/digits.yaml``) about as many of them
climb as of the real candidates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from compress.values.latency.latency import Latency
from compress.values.measurement import FIRST_PRIMARY, METRICS, QUALITY, Measurement, Parity
from featherweight.rung_context import RungContext
from featherweight.specs.job import JobSpec
from featherweight.specs.objective import Objective
from featherweight.specs.states import Phase
from search.front import comparison

DECADES = 1.5
"""The largest distance of a candidate's costs below the baseline's, in decades."""
_APART = 0.05
"""Standard deviation of each cost of a candidate about its common level, in decades."""
_LOSS, _RECOVERS = 0.35, 3.5
"""Share of accuracy that the cheapest candidates lose, and the decay of the loss with costs."""
_LUCK = 0.02
"""Standard deviation of a further loss, as a share; luck never adds accuracy."""
_UNTRAINED, _LEARNS = 0.5, 1.2
"""Share of its accuracy that an untrained candidate lacks, and the power of its decay."""
_APART_FROM = (FIRST_PRIMARY, QUALITY)
_QUALITY = [name for name, info in METRICS.items() if info.is_quality and name not in _APART_FROM]
_NOMINAL = Measurement(
    accuracy={"validation": 0.95},
    quality={"validation": dict.fromkeys(_QUALITY, 0.95)},
    size_bytes=1_000_000,
    download_bytes=1_000_000,
    peak_memory_bytes=10_000_000,
    load_ms=10.0,
    parameters=250_000,
    macs=10_000_000,
    latency=Latency(median_ms=1.0, p95_ms=1.0, threads=1, batch=1),
    parity=Parity(max_abs_error=0.0, agreement=1.0, images=1),
)
_COUNTS = ("size_bytes", "download_bytes", "peak_memory_bytes", "parameters", "macs")


@dataclass(frozen=True, kw_only=True)
class Curve:
    """The measurements of a candidate at every rung."""

    measured: Sequence[Measurement]

    def accuracies(self, rung: int) -> list[float]:
        """Return the accuracies from the first rung to this one."""
        return [each.score() for each in self.measured[: rung + 1]]


def arrival(
    spec: JobSpec, baseline: Measurement, rung: int, own: Curve, others: Sequence[Curve]
) -> RungContext:
    """Return the context of a candidate that reaches a rung after ``others``, without a limit."""
    context = RungContext(
        spec=spec,
        phase=Phase.SEARCH,
        rung=rung,
        rungs=spec.early_stopping.rungs,
        measurement=own.measured[rung],
        baseline=baseline,
        peers=[other.measured[rung] for other in others],
    )
    if not spec.early_stopping.extrapolate:
        return context
    curves = [other.accuracies(rung) for other in others]
    return replace(context, curve=own.accuracies(rung), peer_curves=curves)


def anchor(baseline: Measurement | None) -> Measurement:
    """Return a baseline with every metric: its own numbers if it has them, or nominal ones."""
    if baseline is None:
        return _NOMINAL
    latency = {"median_ms": baseline.latency.compared_ms}
    return _NOMINAL.model_copy(
        update={
            "accuracy": {"validation": baseline.score()},
            "quality": {"validation": {**_NOMINAL.quality["validation"], **_quality(baseline)}},
            "latency": _NOMINAL.latency.model_copy(update=latency),
            "load_ms": baseline.load_ms or _NOMINAL.load_ms,
            **{name: getattr(baseline, name) or getattr(_NOMINAL, name) for name in _COUNTS},
        }
    )


def curve(baseline: Measurement, rungs: Sequence[int], random: np.random.Generator) -> Curve:
    """Draw a random candidate, whose costs and accuracies are relative to a baseline's."""
    place = random.uniform()
    kept = 10 ** (DECADES * (place - 1) + _APART * random.standard_normal(len(_COUNTS) + 1))
    costs = {
        name: max(1, round(getattr(baseline, name) * share))
        for name, share in zip(_COUNTS, kept[1:].tolist(), strict=True)
    }
    latency = {"median_ms": baseline.latency.median_ms * float(kept[0])}
    # What a file takes to load, it takes in memory and in time.
    loading = costs["peak_memory_bytes"] / (baseline.peak_memory_bytes or 1)
    times = {
        "latency": baseline.latency.model_copy(update=latency),
        "load_ms": (baseline.load_ms or 0.0) * loading,
    }
    compressed = baseline.model_copy(update=costs | times)
    lost = _LOSS * np.exp(-_RECOVERS * place) + _LUCK * abs(random.standard_normal())
    kept_at_last = 1 - min(float(lost), 1.0)
    return Curve(measured=[_trained(compressed, kept_at_last, epochs) for epochs in rungs])


def _trained(compressed: Measurement, reached: float, epochs: int) -> Measurement:
    """The measurement after ``epochs``; it ends at the share ``reached`` of its accuracy."""
    learnt = 1 - _UNTRAINED / (1 + epochs) ** _LEARNS
    accuracy = compressed.accuracy["validation"] * reached * learnt
    quality = {
        name: _lessened(name, value, reached * learnt)
        for name, value in _quality(compressed).items()
    }
    return compressed.model_copy(
        update={"accuracy": {"validation": accuracy}, "quality": {"validation": quality}}
    )


def _lessened(metric: str, value: float, kept: float) -> float:
    """A figure of which a share is kept; errors grow as others shrink."""
    return value / max(kept, 1e-6) if METRICS[metric].unit == "error" else value * kept


def _quality(measurement: Measurement) -> dict[str, float]:
    return measurement.quality.get("validation", {})


def known_objectives(objectives: Sequence[Objective]) -> tuple[Objective, ...]:
    """Return the objectives that made-up candidates have numbers for, or quality."""
    known = [each for each in objectives if _NOMINAL.known(each.metric) is not None]
    return tuple(known) or (comparison.objective(QUALITY),)
