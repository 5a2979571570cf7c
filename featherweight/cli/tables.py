"""Format jobs, fronts, reports and reasons as text for people."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from rich.console import Group, RenderableType
from rich.markup import escape

from compress.values.measurement import Measurement
from featherweight.cli import places
from featherweight.cli.columns import FittedTable
from featherweight.cli.layout import meter_tables
from featherweight.cli.output import short, table
from featherweight.specs.cluster import WorkerSchema
from featherweight.specs.jobs.candidates import ProposedSchema
from featherweight.specs.objective import FigureSchema, MetricSchema
from featherweight.specs.schemas import (
    ClassSchema,
    DatasetSchema,
    FinalistSchema,
    FrontPoint,
    FrontSchema,
    JobSchema,
    ModelSchema,
    QualitySchema,
    ReportSchema,
    TokenSchema,
    TrialSchema,
    WhySchema,
)

_MOST_NOTES = 5
_UPLOADED = ("id", "name", ">bytes", "created (UTC)", "owner")
_SPARE_OF_UPLOADS = ("owner", "created (UTC)", "id")
_MOST_CLASSES = 10
_SPARE_OF_FRONT = ("memory", "download", "phase", "x baseline", "ms (p95)", "test (95 %)", "ratio")
_SHOWN = frozenset(
    {"accuracy", "quality", "size_bytes", "download_bytes", "peak_memory_bytes", "latency_ms"}
)
"""Metrics that have a column in every table of files."""


def percent(value: float | None) -> str:
    """Return an accuracy of 0 to 1 in percent."""
    return "-" if value is None else f"{100 * value:.2f} %"


def with_interval(found: QualitySchema | None) -> str:
    """Return a quality and its 95 % interval; shares in percent."""
    if found is None:
        return "-"
    if found.metric.unit == "share":
        return f"{percent(found.value)} ({100 * found.low:.1f} to {100 * found.high:.1f})"
    return f"{found.words} ({found.low:.3g} to {found.high:.3g})"


def jobs(found: Sequence[JobSchema]) -> FittedTable:
    """Return one line per job."""
    rows = [
        (
            short(job.id),
            escape(job.name),
            job.state,
            job.phase or "",
            trials(job),
            f"{job.created_at:%F %T}",
            escape(job.owner or "-"),
        )
        for job in found
    ]
    columns = ["job", "name", "state", "phase", ">trials", "created (UTC)", "owner"]
    return table(columns, rows, spare=["owner", "created (UTC)", "phase"])


def models(found: Sequence[ModelSchema]) -> FittedTable:
    """Return one line per model."""
    rows = [(*_uploaded(one), one.format, one.state) for one in found]
    return table([*_UPLOADED, "format", "state"], rows, spare=_SPARE_OF_UPLOADS)


def datasets(found: Sequence[DatasetSchema]) -> FittedTable:
    """Return one line per dataset."""
    return table(_UPLOADED, [_uploaded(one) for one in found], spare=_SPARE_OF_UPLOADS)


def _uploaded(one: ModelSchema | DatasetSchema) -> tuple[str, ...]:
    name, owner = escape(one.name), escape(one.owner or "-")
    return one.id, name, f"{one.size_bytes:,}", f"{one.created_at:%F %T}", owner


def trials(job: JobSchema) -> str:
    """Return how many trials have ended, and of how many."""
    counts = job.trials
    of = max(counts.total, job.spec.budget.trials)
    return f"{counts.complete + counts.stopped + counts.failed}/{of}"


def trial_list(found: Sequence[TrialSchema]) -> FittedTable:
    """Return one line per trial: its state, figures, and what was done or went wrong."""
    rows = [
        (
            str(one.number),
            one.phase,
            one.state if one.feasible is not False else f"{one.state}, infeasible",
            "-" if one.epochs is None else str(one.epochs),
            "-" if one.measurement is None else percent(one.measurement.score()),
            "-" if one.measurement is None else f"{one.measurement.size_bytes:,}",
            escape(one.description),
            escape(one.reason),
        )
        for one in found
    ]
    columns = [
        ">trial",
        "phase",
        "state",
        ">epochs",
        ">validation",
        ">bytes",
        "what was done",
        "why",
    ]
    return table(columns, rows, spare=["why", "phase", "epochs"])


def job(found: JobSchema) -> str:
    """Return one job in a line."""
    said = found.stop_reason or found.pause_reason
    reason = f", {escape(found.stop_detail or said)}" if said else ""
    said = f"job {found.id} ({escape(found.name)}): {found.state}, {trials(found)} trials{reason}"
    return "\n".join([said, *(escape(f"warning: {warning}") for warning in found.warnings)])


def front(found: FrontSchema) -> RenderableType:
    """Return the baseline and every file of the front, largest last.

    A metric that the job compares has a column.
    """
    baseline = [found.baseline] if found.baseline else []
    points = [*baseline, *(point for point in found.points if point not in baseline)]
    metered = meter_tables.columns(points)
    columns = [
        ">trial", "phase", ">test (95 %)", ">validation", ">bytes", ">ratio", ">download",
        ">memory", ">ms (p95)", ">x baseline", *(f">{info.name}" for info in _others(found)),
        *map(meter_tables.header, metered), "what was done",
    ]  # fmt: skip
    rows = [_row(point, found, metered) for point in points]
    lines: list[RenderableType] = [table(columns, rows, spare=_SPARE_OF_FRONT)]
    lines += [escape(line) for line in places.said(points)]
    lines += [escape(line) for line in meter_tables.notes(points)]
    if found.nearest is not None:
        lines.append(f"nothing meets the constraints; in the way: {escape(str(found.blocked_by))}")
        nearest = [_row(found.nearest, found, metered)]
        lines.append(table(columns, nearest, spare=_SPARE_OF_FRONT))
    lines += [escape(line) for line in (*_images(points), *_said(found))]
    lines += [escape(f"warning: {warning}") for warning in found.warnings]
    return Group(*lines)


def _images(points: Sequence[FrontPoint]) -> list[str]:
    """Return of how many images the accuracies are shares."""
    counts = {
        split: f"{images.images:,} {images.examples}"
        for point in points
        for split, images in (("test", point.test), ("validation", point.validation))
        if images is not None
    }
    said = ", ".join(f"{split} of {count}" for split, count in sorted(counts.items()))
    return [f"accuracies: {said}"] if said else []


def _said(found: FrontSchema | ReportSchema) -> list[str]:
    """Return which file to take, and what its figures are worth."""
    said = [] if not found.recommendation else [f"recommended: {found.recommendation}"]
    return said if found.test_note is None else [*said, f"test: {found.test_note}"]


def _row(
    point: FrontPoint, found: FrontSchema, metered: Sequence[meter_tables.Column]
) -> tuple[str, ...]:
    measured, latency = point.measurement, point.measurement.latency
    is_baseline = found.baseline is not None and point.artifact == found.baseline.artifact
    return (
        str(point.number),
        "baseline" if is_baseline else point.phase,
        with_interval(point.test),
        percent(measured.accuracy.get("validation")),
        f"{point.size_bytes:,}",
        ratio(point, found.baseline.measurement if found.baseline else None),
        _count(measured.download_bytes),
        _megabytes(measured.peak_memory_bytes),
        f"{'~' if latency.busy else ''}{latency.median_ms:.3f} ({latency.p95_ms:.3f})",
        "-" if latency.ratio is None else f"{latency.ratio:.2f}",
        *(info.shown(point.figures.get(info.name)) for info in _others(found)),
        *(meter_tables.cell(point, column) for column in metered),
        escape(f"{point.description}, {_epochs(point.epochs)}"),
    )


def _others(found: FrontSchema) -> list[MetricSchema]:
    """Metrics that the job compares and that have no column in every table."""
    return [info for info in found.compared if info.name not in _SHOWN]


def _count(number: int | None) -> str:
    return "-" if number is None else f"{number:,}"


def _epochs(number: int) -> str:
    return f"{number} epoch" + ("" if number == 1 else "s")


def _megabytes(count: int | None) -> str:
    return "-" if count is None else f"{count / 1e6:.1f} MB"


def ratio(point: FrontPoint, baseline: Measurement | None) -> str:
    """Return the baseline's bytes divided by those of the file."""
    return f"{baseline.size_bytes / point.size_bytes:.1f}x" if baseline else "-"


def result(front_found: FrontSchema, found: ReportSchema) -> RenderableType:
    """Return the front, and what the report adds to it."""
    return Group(front(front_found), _details(found))


def report(found: ReportSchema) -> RenderableType:
    """Return what a job found."""
    return Group(*map(escape, _said(found)), _details(found))


def _details(found: ReportSchema) -> RenderableType:
    lines = [*_of_baseline(found)]
    lines += [f"trials: {_counts(found)}", f"time in trials: {_seconds(found.seconds)}"]
    if found.compression_ratio is not None:
        lines.append(
            f"compression ratio of the smallest feasible file: {found.compression_ratio:.1f}x"
        )
    if found.best_without_search is not None:
        lines.append(f"best without the search: {_short(found.best_without_search)}")
    of_controls = f", of the controls alone {found.hypervolume_of_controls:.4f}"
    lines.append(f"hypervolume: {found.hypervolume:.4f}{of_controls if found.controls else ''}")
    if found.refused:
        lines.append(f"refused before they cost anything: {found.refused} candidates")
    if found.stop_reasons:
        reasons = [f"{count} x {reason}" for reason, count in found.stop_reasons.items()]
        lines.append("how trials ended: " + "; ".join(reasons))
    lines += [f"warning: {warning}" for warning in found.warnings]
    notes = [note for note in found.notes if note not in found.warnings]
    lines += [f"note: {note}" for note in notes[:_MOST_NOTES]]
    if len(notes) > _MOST_NOTES:
        lines.append(f"{len(notes) - _MOST_NOTES} more notes: `featherweight report --json`")
    text = [escape(line) for line in lines]
    finalists = [_finalist(finalist) for finalist in found.finalists]
    parts: list[RenderableType] = [*text, *_figures(found), *_classes(found)]
    if finalists:
        parts.append(table(["finalist", ">runs", ">test", ">validation", ">bytes"], finalists))
    return Group(*parts)


def _figures(found: ReportSchema) -> list[RenderableType]:
    """Every metric of the recommended file and of the baseline."""
    if not found.figures:
        return []
    columns = ["metric", ">recommended", ">baseline", ">recommended (test)", ">baseline (test)"]
    return [table(columns, [_figure(row) for row in found.figures])]


def _figure(row: FigureSchema) -> tuple[str, ...]:
    values = (row.recommended, row.baseline, row.recommended_on_test, row.baseline_on_test)
    return row.metric.words, *(row.metric.shown(value) for value in values)


def _of_baseline(found: ReportSchema) -> list[str]:
    splits = (("test", found.baseline_test), ("validation", found.baseline_validation))
    figures = [
        f"{with_interval(accuracy)} of {accuracy.images:,} {split} {accuracy.examples}"
        for split, accuracy in splits
        if accuracy is not None
    ]
    return [f"baseline: {', '.join(figures)}"] if figures else []


def _classes(found: ReportSchema) -> list[RenderableType]:
    """Return the classes with the worst recall, on each split."""
    tables: list[RenderableType] = []
    for split in dict.fromkeys(row.split for row in found.classes):
        rows = [row for row in found.classes if row.split == split]
        shown = sorted(rows, key=lambda row: (_of_class(row), row.label))[:_MOST_CLASSES]
        columns = [f">class ({split})", ">examples", ">recommended", ">baseline"]
        tables.append(table(columns, [_class(row) for row in shown]))
        if len(rows) > len(shown):
            tables.append(f"the worst {len(shown)} of {len(rows)} classes; all: --json")
    return tables


def _of_class(row: ClassSchema) -> float:
    found = row.baseline if row.recommended is None else row.recommended
    return 2.0 if found is None else found


def _class(row: ClassSchema) -> tuple[str, ...]:
    named = f"{row.label} {row.name}" if row.name not in ("", str(row.label)) else str(row.label)
    return escape(named), f"{row.images:,}", percent(row.recommended), percent(row.baseline)


def _finalist(found: FinalistSchema) -> tuple[str, ...]:
    return (
        escape(found.description),
        str(len(found.trials)),
        "-"
        if found.test_mean is None
        else f"{percent(found.test_mean)} ± {100 * (found.test_std or 0.0):.2f}",
        f"{percent(found.validation_mean)} ± {100 * found.validation_std:.2f}",
        f"{min(found.size_bytes, default=0):,}",
    )


def _short(point: FrontPoint) -> str:
    found = f"{percent(point.measurement.score())} on validation"
    if point.test is not None:
        found = f"{with_interval(point.test)} on test, {found}"
    return f"{point.description}, {found}, {point.size_bytes:,} bytes"


def _counts(found: ReportSchema) -> str:
    counts = found.counts.model_dump(exclude={"total"})
    return ", ".join(f"{count} {state}" for state, count in counts.items() if count)


def _seconds(seconds: dict[str, float]) -> str:
    return ", ".join(f"{stage} {value:.1f} s" for stage, value in seconds.items()) or "-"


def proposed(found: Sequence[ProposedSchema]) -> FittedTable:
    """Return one line per candidate: whether it is new, and which trial has it."""
    rows = [
        (
            "new" if one.is_new else "known",
            one.state if one.trial_number is None else f"trial {one.trial_number}",
            "" if one.in_space else "outside the space: the sampler does not learn from it",
            escape(one.description),
        )
        for one in found
    ]
    return table(["candidate", "state", "note", "what is done"], rows)


def why(found: WhySchema) -> RenderableType:
    """Return why a trial ended as it did."""
    failed = f" ({found.failure_class})" if found.failure_class else ""
    lines: list[RenderableType] = [escape(f"{found.state}{failed}: {found.reason}")]
    for text, violation in found.violations.items():
        verdict = f"violated by {100 * violation:.1f} %" if violation > 0 else "met"
        lines.append(escape(f"constraint {text}: {verdict}"))
    rungs = [
        (
            str(rung.rung),
            str(rung.epochs),
            percent(rung.measurement.score()),
            f"{rung.measurement.size_bytes:,}",
            "-" if rung.decision.rank is None else f"{rung.decision.rank} of {rung.decision.peers}",
            escape(rung.decision.reason),
        )
        for rung in found.rungs
    ]
    lines.append(table([">rung", ">epochs", ">validation", ">bytes", ">rank", "decision"], rungs))
    attempts = [(a.id, escape(a.worker), a.state, escape(a.detail)) for a in found.attempts]
    lines.append(table(["attempt", "worker", "state", "detail"], attempts))
    return Group(*lines)


def tokens(found: Sequence[TokenSchema]) -> FittedTable:
    """Return one line per token."""
    rows = [
        (
            token.id,
            escape(token.name),
            " ".join(token.scopes),
            f"{token.created_at:%F %T}",
            _standing(token),
            token.kind,
        )
        for token in found
    ]
    columns = ["token", "name", "scopes", "created (UTC)", "state", "kind"]
    return table(columns, rows, spare=["kind", "created (UTC)", "scopes"])


def _standing(token: TokenSchema) -> str:
    if token.revoked_at is not None:
        return "revoked"
    if token.expires_at is None:
        return "active"
    is_over = token.expires_at <= datetime.now(UTC)
    return "expired" if is_over else f"until {token.expires_at:%F %H:%M}"


def workers(found: Sequence[WorkerSchema]) -> FittedTable:
    """Return one line per worker: its current work, or until when and why it gets none."""
    rows = [
        (
            escape(worker.name),
            escape(worker.device),
            str(worker.threads),
            worker.version,
            f"{worker.last_seen:%F %T}",
            _doing(worker),
        )
        for worker in found
    ]
    columns = ["worker", "device", ">threads", "version", "seen (UTC)", "now"]
    return table(columns, rows, spare=["version", "threads", "seen (UTC)", "device"])


def _doing(worker: WorkerSchema) -> str:
    if worker.trial is not None:
        return f"trial {worker.trial}"
    if worker.set_aside_until is None:
        return "waits for a trial"
    return escape(f"set aside until {worker.set_aside_until:%T}: {worker.set_aside_reason}")
