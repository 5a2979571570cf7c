"""The gate of a job as it stands now: what the searcher holds a new candidate against."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from compress.techniques.candidate import Candidate
from compress.values.measurement import Measurement
from featherweight.specs.states import Phase
from search.admission import bounds_filter as refusal
from search.admission.bounds_filter import Gate, Refusal
from search.space.feasibility import Network
from search.space.space import Space
from store.jobs import jobs
from store.tables.records import JobRecord
from store.trials import ended_trials


@dataclass(frozen=True, kw_only=True)
class Door:
    """``files`` are the measured ones that are good enough to keep a candidate out."""

    gate: Gate | None
    files: Sequence[Measurement]

    def refusal(self, candidate: Candidate) -> Refusal | None:
        """Why the candidate is not tried; None where it is."""
        return None if self.gate is None else self.gate.refusal(candidate, self.files)

    def admits(self, candidate: Candidate) -> bool:
        """Whether it may enter the front, as far as anybody knows."""
        return self.refusal(candidate) is None


def gate_of(job: JobRecord, space: Space, network: Network) -> Gate | None:
    """What the job's candidates are held against, the same for as long as it runs.

    None before its baseline is measured, and where nothing is known of candidates beforehand.
    """
    spec, baseline = jobs.spec(job), jobs.baseline(job)
    is_of_use = refusal.has_use(spec) or bool(space.architecture.operations)
    if baseline is None or not is_of_use:
        return None
    return refusal.gate(spec, network, baseline)


def of(session: Session, job: JobRecord, gate: Gate | None) -> Door:
    """The door of a job as its files stand now; open where there is no gate."""
    if gate is None:
        return Door(gate=None, files=())
    tried = ended_trials.measured(session, job.id, phase=Phase.SEARCH)
    files = [gate.baseline, *(each for trial in tried for each in trial.measurements)]
    good = [file for file in files if file.value("accuracy") >= gate.best_accuracy]
    return Door(gate=gate, files=good)
