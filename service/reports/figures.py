"""The metrics of a job's files, one by one, as the table of metrics lists them."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence

from compress.values.measurement import METRICS, Measurement, Metric
from featherweight.specs.job import JobSpec
from featherweight.specs.objective import FigureSchema, MetricSchema, SpreadSchema


def compared(spec: JobSpec) -> tuple[MetricSchema, ...]:
    """The metrics of the job's objectives, constraints and targets."""
    return tuple(MetricSchema.of(metric) for metric in spec.compared)


def of(measurement: Measurement) -> dict[str, float]:
    """Every metric that was measured, as the search compares it."""
    read = {metric: measurement.known(metric) for metric in METRICS}
    return {metric: float(value) for metric, value in read.items() if value is not None}


def of_report(baseline: Measurement | None, taken: Measurement | None) -> Iterator[FigureSchema]:
    """Every metric that was measured of the baseline or of the recommended file."""
    for metric in METRICS:
        before, now = _known(baseline, metric), _known(taken, metric)
        if before is not None or now is not None:
            yield FigureSchema(
                metric=MetricSchema.of(metric),
                baseline=before,
                recommended=now,
                baseline_on_test=_on_test(baseline, metric),
                recommended_on_test=_on_test(taken, metric),
            )


def spreads(measured: Sequence[Measurement], spec: JobSpec) -> dict[str, SpreadSchema]:
    """Mean and spread over the files, of each metric of the job that all of them have."""
    found: dict[str, SpreadSchema] = {}
    for metric in spec.compared:
        values = [value for one in measured if (value := one.known(metric)) is not None]
        if values and len(values) == len(measured):
            std = statistics.stdev(values) if len(values) > 1 else 0.0
            found[metric] = SpreadSchema(mean=statistics.fmean(values), std=std)
    return found


def _known(measurement: Measurement | None, metric: Metric) -> float | None:
    return None if measurement is None else measurement.known(metric)


def _on_test(measurement: Measurement | None, metric: Metric) -> float | None:
    if measurement is None or not measurement.has_score("test"):
        return None
    return measurement.seen_on("test").known(metric) if METRICS[metric].is_quality else None
