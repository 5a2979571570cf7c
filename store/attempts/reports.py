"""Record reports: a rung is reached, its files are kept, and the trial goes on or ends."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import bindparam, insert, select
from sqlalchemy.orm import Session

from compress.values.measurement import Metric
from featherweight.rung_context import RungContext
from featherweight.specs.job import UntrainedModel
from featherweight.specs.protocol import Decision, FileRef, Report
from featherweight.specs.states import AttemptState, Phase
from store.attempts import evaluations, held_attempt, outcomes, profiles, supernets
from store.attempts.held_attempt import HeldAttempt
from store.attempts.scores import told
from store.database import clock
from store.errors import ArtifactNotFound, FileMismatch, MetricMissing, RungOutOfOrder
from store.jobs import jobs, transitions
from store.tables.records import ArtifactRecord, FileRecord, RungRecord, TrialRecord, table_of
from store.trials import epochs, rungs
from store.trials.epochs import RERUN
from store.trials.rungs import RungDecision

NO_CONSTRAINTS = -1.0
"""Violation if a job has no constraints: clearly feasible."""

Decide = Callable[[RungContext], Decision]

_STORED = select(FileRecord.sha256, FileRecord.size_bytes).where(
    FileRecord.sha256.in_(bindparam("digests", expanding=True))
)
_INSERT_RUNG = insert(table_of(RungRecord))
_INSERT_ARTIFACTS = insert(table_of(ArtifactRecord))


def report(
    session: Session, attempt_id: str, token: str, report: Report, *, decide: Decide
) -> Decision:
    """Record one rung of the attempt's trial, and answer whether the trial goes on.

    A report that decides the end of the trial also ends it, and the attempt becomes delivered: a
    decided trial can never be lost. The first report of a rung is kept; a repeat gets the same
    decision again. The baseline's report also gives the job its baseline and, if it was trained
    here, its weights. The last report of the supernet gives the job the weights that its members
    share, and the report of probing gives it its profile.

    Args:
        session: A writing transaction.
        attempt_id: Whose report.
        token: The fencing token.
        report: The measurement and its files, uploaded before.
        decide: The stopping rule.

    Raises:
        StaleAttempt: the worker does not own the attempt any more.
        RungOutOfOrder: the trial does not stand before this rung.
        ArtifactNotFound, FileMismatch: a file was not uploaded or does not fit the report.
        MetricMissing: the worker did not measure what the job compares.
    """
    held = held_attempt.hold(session, attempt_id, token)
    known = _known(session, held, report)
    if known is not None and held.attempt.state in (AttemptState.ACTIVE, AttemptState.DELIVERED):
        return known.decision
    if not held.is_active:
        raise held_attempt.stale(held.attempt)
    _check_turn(held.trial, report)
    _check_files(session, held, report)
    profiles.check(session, held, report)
    evaluations.check(held, report)
    _check_target(held, report)
    _check_metrics(held, report)
    _keep_baseline(held, report)
    _keep_supernet(held, report)
    profiles.keep(session, held, report)
    context = _context(session, held, report)
    decision = decide(context)
    _record(session, held, context, report, decision)
    _tell(session, held, report, decision)
    outcomes.end_if_decided(session, held, RungDecision(rung=report.rung, decision=decision))
    return decision


def _known(session: Session, held: HeldAttempt, report: Report) -> RungDecision | None:
    """Return the earlier decision for the report's rung, if the trial has reached it before."""
    if held.trial.rung is None or report.rung > held.trial.rung:
        return None
    return rungs.at(session, held.trial.id, report.rung)


def _check_turn(trial: TrialRecord, report: Report) -> None:
    stands_before = 0 if trial.rung is None else trial.rung + 1
    if report.rung != stands_before:
        raise RungOutOfOrder(
            f"trial {trial.id} stands before rung {stands_before}, not {report.rung}"
        )


def _check_files(session: Session, held: HeldAttempt, report: Report) -> None:
    _check_stored(session, report.files)
    by_role = {file.role: file for file in report.files}
    if len(by_role) != len(report.files) or "onnx" not in by_role:
        raise FileMismatch("a report needs one onnx file and at most one file of each other role")
    if by_role["onnx"].size_bytes != report.measurement.size_bytes:
        raise FileMismatch(
            f"measured {report.measurement.size_bytes} bytes, but the onnx file has "
            f"{by_role['onnx'].size_bytes}"
        )
    if _must_bring_weights(held) and ("weights" not in by_role or report.normalisation is None):
        raise FileMismatch("the baseline trained here must come with its weights and normalisation")
    if _is_supernet(held) and "weights" not in by_role:
        raise FileMismatch("a supernet must come with its weights at every rung: its checkpoint")


def _check_stored(session: Session, files: Sequence[FileRef]) -> None:
    wanted = {"digests": [file.sha256 for file in files]}
    stored = dict(session.execute(_STORED, wanted).all())
    for file in files:
        if file.sha256 not in stored:
            raise ArtifactNotFound(f"the {file.role} file {file.sha256} was not uploaded")
        if stored[file.sha256] != file.size_bytes:
            raise FileMismatch(
                f"the {file.role} file has {stored[file.sha256]} bytes, not {file.size_bytes}"
            )


def _check_target(held: HeldAttempt, report: Report) -> None:
    """Figures of two forms must not meet on one front."""
    wanted, found = jobs.spec(held.job).target, report.measurement.target
    if found != wanted:
        raise FileMismatch(
            f"the job's files are for the target {wanted!r}, and this one is for {found!r}: the "
            "worker needs this version"
        )


def _check_metrics(held: HeldAttempt, report: Report) -> None:
    spec = jobs.spec(held.job)
    compared: set[Metric] = {
        wanted.metric for wanted in (*spec.objectives, *spec.constraints, *spec.stop.target)
    }
    missing = sorted(metric for metric in compared if report.measurement.known(metric) is None)
    if missing:
        raise MetricMissing(
            f"the job compares {', '.join(missing)}, which this worker did not measure: it needs "
            "Linux and this version"
        )


def _is_baseline(held: HeldAttempt) -> bool:
    return held.trial.number == 0


def _must_bring_weights(held: HeldAttempt) -> bool:
    return _is_baseline(held) and isinstance(jobs.spec(held.job).model, UntrainedModel)


def _keep_baseline(held: HeldAttempt, report: Report) -> None:
    if not _is_baseline(held):
        return
    held.job.baseline = report.measurement.model_dump(mode="json")
    if _must_bring_weights(held) and report.normalisation is not None:
        held.job.weights_sha256 = _file(report, "weights").sha256
        held.job.normalisation = report.normalisation.model_dump(mode="json")


def _is_supernet(held: HeldAttempt) -> bool:
    return held.trial.phase == Phase.SUPERNET


def _keep_supernet(held: HeldAttempt, report: Report) -> None:
    if _is_supernet(held) and report.rung == len(held.trial.rungs) - 1:
        supernets.keep(held, _file(report, "weights"))


def _file(report: Report, role: str) -> FileRef:
    return next(file for file in report.files if file.role == role)


def _context(session: Session, held: HeldAttempt, report: Report) -> RungContext:
    is_last = report.rung == len(held.trial.rungs) - 1
    return RungContext(
        spec=jobs.spec(held.job),
        phase=Phase(held.trial.phase),
        rung=report.rung,
        rungs=held.trial.rungs,
        measurement=report.measurement,
        baseline=jobs.baseline(held.job),
        **_others(session, held, report, is_last=is_last),
    )


def _others(
    session: Session, held: HeldAttempt, report: Report, *, is_last: bool
) -> dict[str, Any]:
    """Return what a rung is compared with. At the last rung there is nothing to compare."""
    if is_last:
        return {"peers": ()}
    spec, trial = jobs.spec(held.job), held.trial
    found: dict[str, Any] = {"peers": rungs.peers(session, trial, report.rung)}
    if spec.early_stopping.extrapolate:
        found["curve"] = [*rungs.curve(session, trial), report.measurement.score()]
        found["peer_curves"] = rungs.peer_curves(session, trial, report.rung)
    counts = trial.phase == Phase.SEARCH and trial.origin != RERUN
    if spec.budget.epochs is not None and counts:
        others = epochs.committed(session, held.job.id, besides=trial.id)
        found["epochs_left"] = spec.budget.epochs - others
    return found


def _record(
    session: Session, held: HeldAttempt, context: RungContext, report: Report, decision: Decision
) -> None:
    onnx, now, trial = _file(report, "onnx").sha256, clock.utc_now(), held.trial
    measurement = report.measurement.model_dump(mode="json")
    of_trial = {"job_id": held.job.id, "trial_id": trial.id, "rung": report.rung}
    violations = [
        c.violation(report.measurement, context.baseline) for c in context.spec.constraints
    ]
    violation = max(violations, default=NO_CONSTRAINTS)
    rung = {
        **of_trial,
        "phase": trial.phase,
        "epochs": report.epochs,
        "measurement": measurement,
        "violation": violation,
        "decision": decision.model_dump(mode="json"),
        "file_sha256": onnx,
        "created_at": now,
    }
    trial.rung, trial.epochs, trial.file_sha256 = report.rung, report.epochs, onnx
    trial.measurement, trial.violation = measurement, violation
    connection = session.connection()
    connection.execute(_INSERT_RUNG, rung)
    artifacts = [{**of_trial, **_artifact(file), "created_at": now} for file in report.files]
    connection.execute(_INSERT_ARTIFACTS, artifacts)


def _artifact(file: FileRef) -> dict[str, Any]:
    return {
        "id": str(uuid.uuid4()),
        "role": file.role,
        "sha256": file.sha256,
        "size_bytes": file.size_bytes,
    }


def _tell(session: Session, held: HeldAttempt, report: Report, decision: Decision) -> None:
    news = {
        "description": transitions.describe(held.trial),
        "rung": report.rung,
        "epochs": report.epochs,
        "decision": decision.model_dump(mode="json"),
        **told(report.measurement),
        "size_bytes": report.measurement.size_bytes,
    }
    if held.trial.phase == Phase.TEST:
        news |= {f"test_{name}": value for name, value in told(report.measurement, "test").items()}
    transitions.announce(session, held.job, held.trial, "rung", news)
