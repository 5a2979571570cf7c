"""One job's study: proposals out, outcomes in. Every method may be repeated after a crash.

The sampler works on a copy in memory, read once when the study is opened; what is decided is
written to Optuna's tables before it counts. An exception from here leaves the two apart: open the
study again.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

from compress.techniques.candidate import Candidate
from compress.values.knobs import Scalar
from featherweight.specs.job import SamplerName
from search import samplers, sampling
from search.admission.bounds_filter import Rejection
from search.errors import LeadershipLost
from search.samplers.history import REFUSED
from search.samplers.rungs import RUNGS
from search.space.problem import Problem
from search.study import frozen, knowledge, memory
from search.study.frozen import PRIOR, Measured
from search.study.memory import STUDY
from search.study.records import StudyRecords
from store.database import clock
from store.tables.records import TrialRecord

COPY_OF = "copy_of"
INSTEAD_OF = "instead_of"
RERUN = "rerun"


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """A candidate whose trial runs in the study and has no row in our tables yet."""

    study_number: int
    params: Mapping[str, Scalar]
    candidate: Candidate


class StudyProjection:
    """The study named by the job's id.

    Everything it knows is in our tables too, except which proposals were copies of known
    candidates; a rebuilt study lacks those. If the job starts from other jobs, its first trials are
    theirs, and no budget counts them.
    """

    def __init__(
        self,
        storage: RDBStorage,
        *,
        job_id: str,
        problem: Problem,
        prior: Sequence[FrozenTrial] = (),
    ) -> None:
        """Open the job's study in a storage, or create it with the ``prior`` trials.

        An existing study keeps the sampler that it began with, whatever ``auto`` would choose in a
        later version.
        """
        self._storage = storage
        self._job_id = job_id
        self._problem = problem
        self._prior = prior
        self._distributions = frozen.distributions(problem.space)
        self._sampler: SamplerName
        self._sampler, self._reason = sampling.resolve(problem)
        self._knowledge = knowledge.of_problem(problem)
        self._open()

    def ask(self, *, index: int) -> Proposal:
        """Ask the sampler for the job's search trial number ``index``.

        Its seed comes from the job's seed, the index and how many copies were proposed for it
        before, so the same history gives the same proposal, whoever asks. Raises LeadershipLost.
        """
        seed = _mixed(self._problem.spec.seed, index, self.num_copies(index))
        self._study.sampler = samplers.build(
            self._sampler, seed=seed, trials=self._problem.spec.search_trials, known=self._knowledge
        )
        number = self._study.ask(fixed_distributions=self._distributions).number
        self._keep_sampler_notes()
        return self._written(number)

    def place(self, params: Mapping[str, Scalar]) -> Proposal:
        """Enter a proposal that no sampler made. Raises LeadershipLost."""
        made = create_trial(
            state=TrialState.RUNNING, params=dict(params), distributions=self._distributions
        )
        return self._written(self._memory.create_new_trial(STUDY, template_trial=made))

    def num_copies(self, index: int) -> int:
        """Return how often a known or rejected candidate was proposed for this search trial."""
        return sum(trial.user_attrs.get(INSTEAD_OF) == index for trial in self._trials())

    def tell(self, trial: TrialRecord, measured: Measured) -> None:
        """Tell the outcome of a finished trial: complete with the last rung's values, or failed.

        Raises LeadershipLost.
        """
        assert trial.study_number is not None
        if not self._known(trial.study_number).state.is_finished():
            attrs = frozen.user_attrs(trial, self._problem.spec, measured)
            self._finish(trial.study_number, trial, measured, attrs=attrs)

    def tell_copy(
        self, study_number: int, original: TrialRecord, *, index: int, measured: Measured
    ) -> None:
        """Tell that a proposal is a known candidate; it shares that one's values and is not run."""
        curve = frozen.curve(original, self._problem.spec, measured)
        attrs = {COPY_OF: original.id, INSTEAD_OF: index, RUNGS: curve}
        self._finish(study_number, original, measured, attrs=attrs)

    def tell_rejection(self, study_number: int, rejection: Rejection, *, index: int) -> None:
        """Tell that a proposal cannot enter the front, with its violations or as a failure."""
        attrs = {REFUSED: rejection.reason, INSTEAD_OF: index}
        told = list(rejection.values) if rejection.violations else None
        system = frozen.system_attrs(rejection.violations)
        self._end(study_number, told, user=attrs, system=system)

    def discard(self, study_number: int) -> None:
        """Tell that a proposal became no trial."""
        if not self._known(study_number).state.is_finished():
            self._end(study_number, None)

    def holds(self, trials: Sequence[TrialRecord]) -> bool:
        """Return whether the study has every trial of our tables, with the same end."""
        known = self._trials()
        begins_well = [bool(trial.user_attrs.get(PRIOR)) for trial in known] == [
            number < len(self._prior) for number in range(len(known))
        ]
        return begins_well and all(self._is_same(known, trial) for trial in proposed(trials))

    def reconcile(self, trials: Sequence[TrialRecord], measured: Measured) -> None:
        """Bring the study up to date after a crash: proposals without a row have failed."""
        rows = {trial.study_number: trial for trial in proposed(trials)}
        for known in self._trials():
            if known.state.is_finished():
                continue
            row = rows.get(known.number)
            if row is None:
                self.discard(known.number)
            elif row.finished_at is not None:
                self.tell(row, measured)

    def refill(self, trials: Sequence[TrialRecord], measured: Measured) -> dict[str, int]:
        """Delete the study and make it again; return the new number of each trial by its id."""
        self._storage.delete_study(self._storage.get_study_id_from_name(self._job_id))
        self._open()
        rows = proposed(trials)
        for row in rows:
            made = frozen.again(row, self._problem, measured)
            self._memory.create_new_trial(STUDY, template_trial=made)
        first = len(self._prior)
        if rows:
            self._records.add(self._trials()[first:])
        return {row.id: number for number, row in enumerate(rows, start=first)}

    @property
    def study(self) -> optuna.Study:
        """The Optuna study, for reading only."""
        return self._study

    def _open(self) -> None:
        self._study_id = self._create()
        self._records = StudyRecords(self._storage, self._study_id)
        self._memory = memory.of_study(self._storage, self._study_id, self._records.trials())
        self._study = optuna.load_study(study_name=self._job_id, storage=self._memory)
        self._noted = set(self._memory.get_study_system_attrs(STUDY))
        if self._prior and not self._trials():
            # All in one transaction: whoever opens the study next finds all of them or none.
            for trial in self._prior:
                self._memory.create_new_trial(STUDY, template_trial=trial)
            self._records.add(self._trials())

    def _create(self) -> int:
        """Return the id of the job's study in the tables; create it if it is missing."""
        directions = [frozen.DIRECTIONS[o.direction] for o in self._problem.spec.objectives]
        study = optuna.create_study(
            storage=self._storage,
            study_name=self._job_id,
            directions=directions,
            sampler=samplers.build("random", seed=self._problem.spec.seed, trials=0),
            load_if_exists=True,
        )
        if "sampler_reason" not in study.user_attrs:
            with warnings.catch_warnings():
                # Experimental since 3.2; without it a dashboard cannot say what it plots.
                warnings.simplefilter("ignore", ExperimentalWarning)
                study.set_metric_names(
                    [objective.metric for objective in self._problem.spec.objectives]
                )
            study.set_user_attr("job", self._problem.spec.name)
            study.set_user_attr("sampler", self._sampler)
            study.set_user_attr("sampler_reason", self._reason)
        self._sampler = study.user_attrs["sampler"]
        return self._storage.get_study_id_from_name(self._job_id)

    def _trials(self) -> list[FrozenTrial]:
        return self._memory.get_all_trials(STUDY, deepcopy=False)

    def _known(self, number: int) -> FrozenTrial:
        known = self._trials()
        if number >= len(known):
            raise LeadershipLost(f"trial {number} of the study was proposed by somebody else")
        return known[number]

    def _is_same(self, known: Sequence[FrozenTrial], trial: TrialRecord) -> bool:
        number, wanted = trial.study_number, dict(trial.params or {})
        if number is None or number >= len(known) or set(known[number].params) != set(wanted):
            return False
        is_alike = frozen.params(known[number], self._problem.space) == wanted
        return is_alike and self._ended_alike(known[number], trial)

    def _ended_alike(self, known: FrozenTrial, trial: TrialRecord) -> bool:
        """Return whether the study has the true end of a trial, or none yet."""
        if not known.state.is_finished():
            return True
        told = frozen.outcome(frozen.values(trial, self._problem.spec))
        return trial.finished_at is not None and known.state == told

    def _written(self, number: int) -> Proposal:
        known = self._memory.get_trial(number)
        self._records.add([known])
        space = self._problem.space
        params = frozen.params(known, space)
        return Proposal(study_number=number, params=params, candidate=space.candidate(params))

    def _keep_sampler_notes(self) -> None:
        """Keep a sampler's attributes of the whole study, such as NSGA-II's parents."""
        for key, value in self._memory.get_study_system_attrs(STUDY).items():
            if key not in self._noted:
                self._storage.set_study_system_attr(self._study_id, key, value)
                self._noted.add(key)

    def _finish(
        self,
        number: int,
        trial: TrialRecord,
        measured: Measured,
        *,
        attrs: Mapping[str, Any],
    ) -> None:
        told = frozen.values(trial, self._problem.spec)
        amounts = frozen.constraints(trial, self._problem.spec, measured)
        self._end(number, told, user=attrs, system=frozen.system_attrs(amounts))

    def _end(
        self,
        number: int,
        told: Sequence[float] | None,
        *,
        user: Mapping[str, Any] = MappingProxyType({}),
        system: Mapping[str, float] = MappingProxyType({}),
    ) -> None:
        state = frozen.outcome(told)
        self._records.finish(
            self._known(number),
            state,
            values=told,
            user_attrs=user,
            system_attrs=system,
            moment=frozen.local(clock.utc_now()),
        )
        for key, value in user.items():
            self._memory.set_trial_user_attr(number, key, value)
        for key, value in system.items():
            self._memory.set_trial_system_attr(number, key, value)
        self._memory.set_trial_state_values(number, state, told)


def proposed(trials: Sequence[TrialRecord]) -> list[TrialRecord]:
    """Return the trials that belong into the study: those that it proposed, without re-runs."""
    return [t for t in trials if t.study_number is not None and t.origin != RERUN]


def _mixed(*numbers: int) -> int:
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])
