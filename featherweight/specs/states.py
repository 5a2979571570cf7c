"""States of a job, a trial and an attempt, and the one table of allowed transitions."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class JobState(StrEnum):
    """The state of a job. ``stopping`` has a reason, so that a restart can finish the stop.

    A deleted job is known only while another job names it as its warm start.
    """

    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    STOPPING = "stopping"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    DELETED = "deleted"

    @property
    def is_finished(self) -> bool:
        """A finished job changes no more, unless its budget is raised, which opens its search."""
        return not JOB_TRANSITIONS[self]


class ModelState(StrEnum):
    """The state of an uploaded model. Only one that is ready can be part of a job."""

    INSPECTING = "inspecting"
    READY = "ready"
    REFUSED = "refused"


class Phase(StrEnum):
    """The phase of a job, and of a trial."""

    BASELINE = "baseline"
    SUPERNET = "supernet"
    PROFILE = "profile"
    SEARCH = "search"
    FINISH = "finish"
    TEST = "test"


class TrialState(StrEnum):
    """The state of a trial. An infeasible trial is a complete one that violates a constraint."""

    WAITING = "waiting"
    RUNNING = "running"
    COMPLETE = "complete"
    STOPPED = "stopped"
    FAILED = "failed"

    @property
    def is_finished(self) -> bool:
        """Finished states never change."""
        return not TRIAL_TRANSITIONS[self]


class MeteringState(StrEnum):
    """One file on one meter. It waits again if the meter is lost; what is done stays done."""

    WAITING = "waiting"
    ACTIVE = "active"
    DONE = "done"


class AttemptState(StrEnum):
    """One lease of one trial to one worker."""

    ACTIVE = "active"
    DELIVERED = "delivered"
    EXPIRED = "expired"
    RELEASED = "released"

    @property
    def is_finished(self) -> bool:
        """Finished states never change."""
        return not ATTEMPT_TRANSITIONS[self]


class FailureClass(StrEnum):
    """Why a trial or an attempt failed."""

    OUT_OF_MEMORY = "out_of_memory"
    INVALID_CANDIDATE = "invalid_candidate"
    NUMERICAL = "numerical"
    EXPORT_PARITY = "export_parity"
    TARGET_PARITY = "target_parity"
    LOST_WORKER = "lost_worker"
    INFRASTRUCTURE = "infrastructure"
    FILE_LOST = "file_lost"
    BUG = "bug"


RETRIES: Mapping[FailureClass, int] = {
    FailureClass.OUT_OF_MEMORY: 1,
    FailureClass.INVALID_CANDIDATE: 0,
    FailureClass.NUMERICAL: 0,
    FailureClass.EXPORT_PARITY: 0,
    FailureClass.TARGET_PARITY: 0,
    FailureClass.LOST_WORKER: 3,
    FailureClass.INFRASTRUCTURE: 5,
    FailureClass.BUG: 0,
}
"""How often a trial is tried again after each class of failure; then it is quarantined: failed.

``file_lost`` is no fault of any trial: the job is paused, and its trials wait unspent.
"""

JOB_TRANSITIONS: Mapping[JobState, frozenset[JobState]] = {
    JobState.QUEUED: frozenset({JobState.RUNNING, JobState.STOPPING}),
    JobState.RUNNING: frozenset({JobState.PAUSED, JobState.STOPPING}),
    JobState.PAUSED: frozenset({JobState.RUNNING, JobState.STOPPING}),
    JobState.STOPPING: frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED}),
    JobState.SUCCEEDED: frozenset(),
    JobState.FAILED: frozenset(),
    JobState.CANCELLED: frozenset(),
    JobState.DELETED: frozenset(),
}
"""What a job may become by itself; a user may delete a finished one."""

TRIAL_TRANSITIONS: Mapping[TrialState, frozenset[TrialState]] = {
    TrialState.WAITING: frozenset({TrialState.RUNNING, TrialState.STOPPED}),
    TrialState.RUNNING: frozenset(
        {TrialState.WAITING, TrialState.COMPLETE, TrialState.STOPPED, TrialState.FAILED}
    ),
    TrialState.COMPLETE: frozenset(),
    TrialState.STOPPED: frozenset(),
    TrialState.FAILED: frozenset(),
}

ATTEMPT_TRANSITIONS: Mapping[AttemptState, frozenset[AttemptState]] = {
    AttemptState.ACTIVE: frozenset(
        {AttemptState.DELIVERED, AttemptState.EXPIRED, AttemptState.RELEASED}
    ),
    AttemptState.DELIVERED: frozenset(),
    AttemptState.EXPIRED: frozenset(),
    AttemptState.RELEASED: frozenset(),
}


class PauseReason(StrEnum):
    """Why the system has paused a job. A pause by a user has no reason."""

    FILE_LOST = "file_lost"


class StopReason(StrEnum):
    """Why a job entered ``stopping``, which decides its next state."""

    FINISHED = "finished"
    CANCELLED = "cancelled"
    BASELINE_FAILED = "baseline_failed"
    BASELINE_AT_CHANCE = "baseline_at_chance"
    SUPERNET_FAILED = "supernet_failed"
    PROFILE_FAILED = "profile_failed"
    NOTHING_SUCCEEDED = "nothing_succeeded"


FINAL_STATE: Mapping[StopReason, JobState] = {
    StopReason.FINISHED: JobState.SUCCEEDED,
    StopReason.CANCELLED: JobState.CANCELLED,
    StopReason.BASELINE_FAILED: JobState.FAILED,
    StopReason.BASELINE_AT_CHANCE: JobState.FAILED,
    StopReason.SUPERNET_FAILED: JobState.FAILED,
    StopReason.PROFILE_FAILED: JobState.FAILED,
    StopReason.NOTHING_SUCCEEDED: JobState.FAILED,
}
