"""Probe the baseline: the document, and the report that carries it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from compress.network.network import Network
from compress.sensitivity import probes
from compress.sensitivity.document import ProfileDocument
from compress.sensitivity.probes import OnProgress, ProbeRequest
from compress.training.context import TrialContext
from featherweight.client.worker_client import file_ref
from featherweight.specs.protocol import Assignment, ProfileTask, Report
from workers.spool import FILE_NAMES


def probe(
    assignment: Assignment,
    given: ProfileTask,
    baseline: Network,
    context: TrialContext,
    *,
    on_progress: OnProgress,
) -> ProfileDocument:
    """Probe the baseline for as long as it may take. Raises what ``probes.probe`` raises."""
    assert assignment.weights is not None  # only the baseline's own trial goes without
    wanted = ProbeRequest(
        images=given.images,
        allowed_seconds=given.allowed_seconds,
        weights_sha256=assignment.weights.sha256,
        data_sha256=assignment.dataset,
    )
    return probes.probe(baseline, context, wanted, on_progress=on_progress)


def report(
    document: ProfileDocument,
    given: ProfileTask,
    folder: Path,
    *,
    seconds: Mapping[str, float],
) -> Report:
    """Return the report of the trial, whose file and measurement are those of the baseline.

    ``folder`` already holds that file; the document is written next to it.
    """
    (folder / FILE_NAMES["profile"]).write_text(document.text(), encoding="utf-8")
    baseline = given.baseline
    on_validation = baseline.seen_on("validation")
    measurement = on_validation.model_copy(update={"seconds": dict(seconds)})
    return Report(
        rung=0,
        epochs=0,
        measurement=measurement,
        files=tuple(file_ref(folder / FILE_NAMES[role], role) for role in ("onnx", "profile")),
        profile=document,
    )
