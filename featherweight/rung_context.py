"""A trial at a rung, and everything that decides there whether it goes on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from compress.values.measurement import Measurement
from featherweight.specs.job import JobSpec
from featherweight.specs.states import Phase


@dataclass(frozen=True, kw_only=True)
class RungContext:
    """Everything a stopping rule may look at.

    ``rungs`` are the total recovery epochs at each rung of the trial, ``rung`` is the index of the
    one that it has reached. ``measurement`` was made there, and ``peers`` are the measurements of
    the other trials of the phase at this rung; nobody is stopped at the last one, so they are not
    read there. ``curve`` holds the trial's accuracies from rung 0 on and ``peer_curves`` those of
    the peers; both are read only if the job extrapolates. ``epochs_left`` is what the other search
    trials leave of ``budget.epochs``, None without a limit.
    """

    spec: JobSpec
    phase: Phase
    rung: int
    rungs: Sequence[int]
    measurement: Measurement
    baseline: Measurement | None
    peers: Sequence[Measurement]
    curve: Sequence[float] = ()
    peer_curves: Sequence[Sequence[float]] = ()
    epochs_left: int | None = None

    @property
    def is_last(self) -> bool:
        """Whether there is no rung above."""
        return self.rung == len(self.rungs) - 1
