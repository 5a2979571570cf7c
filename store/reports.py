"""Reports: a rung is reached, its files are kept, and the trial learns whether it climbs on."""

from __future__ import annotations

import uuid
from collections.abc import Callable

from sqlalchemy.orm import Session

from featherweight.specs.job import UntrainedModel
from featherweight.specs.protocol import Decision, FileRef, Report
from featherweight.specs.states import AttemptState
from store import clock, fence, jobs, rungs, transitions
from store.errors import ArtifactNotFound, FileMismatch, RungOutOfOrder
from store.fence import Held
from store.rungs import RungContext
from store.tables import ArtifactRecord, FileRecord, RungRecord

NO_CONSTRAINTS = -1.0
"""Violation where a job has no constraints: clearly feasible."""

Decide = Callable[[RungContext], Decision]


def report(
    session: Session, attempt_id: str, token: str, report: Report, *, decide: Decide
) -> Decision:
    """Record one rung of the attempt's trial, and answer whether the trial climbs on.

    The first report of a rung is the one that is kept; a repeat gets the same decision again. The
    baseline's report also gives the job its baseline and, where it was trained here, its weights.

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
    """
    held = fence.hold(session, attempt_id, token)
    known = session.get(RungRecord, (held.trial.id, report.rung))
    if known is not None and held.attempt.state in (AttemptState.ACTIVE, AttemptState.DELIVERED):
        return Decision.model_validate(known.decision)
    if not held.is_active:
        raise fence.stale(held.attempt)
    _check_turn(session, held, report)
    _check_files(session, held, report)
    _keep_baseline(held, report)
    context = _context(session, held, report)
    decision = decide(context)
    rung = _record(session, held, context, report)
    rung.decision = decision.model_dump(mode="json")
    session.add(rung)
    _tell(session, held, report, decision)
    return decision


def is_decided(held: Held, last: RungRecord | None) -> bool:
    """Whether the trial's rungs say already how it ends."""
    if last is None:
        return False
    return last.rung == len(held.trial.rungs) - 1 or bool(last.decision["stop"])


def _check_turn(session: Session, held: Held, report: Report) -> None:
    reached = rungs.of_trial(session, held.trial.id)
    if is_decided(held, reached[-1] if reached else None):
        raise RungOutOfOrder(f"trial {held.trial.id} has ended at rung {reached[-1].rung}")
    if report.rung != len(reached):
        raise RungOutOfOrder(
            f"trial {held.trial.id} stands before rung {len(reached)}, not {report.rung}"
        )


def _check_files(session: Session, held: Held, report: Report) -> None:
    for file in report.files:
        _check_stored(session, file)
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


def _check_stored(session: Session, file: FileRef) -> None:
    stored = session.get(FileRecord, file.sha256)
    if stored is None:
        raise ArtifactNotFound(f"the {file.role} file {file.sha256} was not uploaded")
    if stored.size_bytes != file.size_bytes:
        raise FileMismatch(
            f"the {file.role} file has {stored.size_bytes} bytes, not {file.size_bytes}"
        )


def _is_baseline(held: Held) -> bool:
    return held.trial.number == 0


def _must_bring_weights(held: Held) -> bool:
    return _is_baseline(held) and isinstance(jobs.spec(held.job).model, UntrainedModel)


def _keep_baseline(held: Held, report: Report) -> None:
    if not _is_baseline(held):
        return
    held.job.baseline = report.measurement.model_dump(mode="json")
    if _must_bring_weights(held) and report.normalisation is not None:
        held.job.weights_sha256 = _file(report, "weights").sha256
        held.job.normalisation = report.normalisation.model_dump(mode="json")


def _file(report: Report, role: str) -> FileRef:
    return next(file for file in report.files if file.role == role)


def _context(session: Session, held: Held, report: Report) -> RungContext:
    spec, baseline = jobs.spec(held.job), jobs.baseline(held.job)
    violations = [c.violation(report.measurement, baseline) for c in spec.constraints]
    return RungContext(
        job=held.job,
        spec=spec,
        trial=held.trial,
        rung=report.rung,
        is_last=report.rung == len(held.trial.rungs) - 1,
        measurement=report.measurement,
        violation=max(violations, default=NO_CONSTRAINTS),
        baseline=baseline,
        peers=rungs.peers(session, held.trial, report.rung),
    )


def _record(session: Session, held: Held, context: RungContext, report: Report) -> RungRecord:
    onnx = _file(report, "onnx").sha256
    measurement = report.measurement.model_dump(mode="json")
    rung = RungRecord(
        trial_id=held.trial.id,
        rung=report.rung,
        job_id=held.job.id,
        phase=held.trial.phase,
        epochs=report.epochs,
        measurement=measurement,
        violation=context.violation,
        file_sha256=onnx,
        created_at=clock.utc_now(),
    )
    trial = held.trial
    trial.rung, trial.epochs, trial.file_sha256 = report.rung, report.epochs, onnx
    trial.measurement, trial.violation = measurement, context.violation
    session.add_all([_artifact(rung, file) for file in report.files])
    return rung


def _artifact(rung: RungRecord, file: FileRef) -> ArtifactRecord:
    return ArtifactRecord(
        id=str(uuid.uuid4()),
        job_id=rung.job_id,
        trial_id=rung.trial_id,
        rung=rung.rung,
        role=file.role,
        sha256=file.sha256,
        size_bytes=file.size_bytes,
        created_at=rung.created_at,
    )


def _tell(session: Session, held: Held, report: Report, decision: Decision) -> None:
    news = {
        "description": transitions.describe(held.trial),
        "rung": report.rung,
        "epochs": report.epochs,
        "decision": decision.model_dump(mode="json"),
        "accuracy": report.measurement.value("accuracy"),
        "size_bytes": report.measurement.size_bytes,
    }
    transitions.tell(session, held.job, held.trial, "rung", news)
