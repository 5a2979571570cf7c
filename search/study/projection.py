"""One job's study: proposals out, outcomes in. Every method may be repeated after a crash."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

from compress.knobs import Scalar
from compress.measurement import Measurement
from featherweight.specs.job import JobSpec, SamplerName
from search import samplers, sampling
from search.space import Space
from search.study import frozen
from store.tables import TrialRecord

COPY_OF = "copy_of"
INSTEAD_OF = "instead_of"
RERUN = "rerun"


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """A trial that runs in the study and has no row in our tables yet."""

    study_number: int
    params: Mapping[str, Scalar]


class StudyProjection:
    """The study named by the job's id.

    Everything it knows is in our tables too, except which proposals were copies of known
    candidates; a study that was rebuilt does without those.
    """

    def __init__(self, storage: BaseStorage, *, job_id: str, spec: JobSpec, space: Space) -> None:
        """Open the job's study in a storage, or create it."""
        self._storage = optuna.storages.get_storage(storage)
        self._job_id = job_id
        self._spec = spec
        self._space = space
        self._distributions = frozen.distributions(space)
        self._sampler: SamplerName
        self._sampler, self._reason = sampling.resolve(spec.sampler, space, spec.search_trials)
        self._study = self._create()

    def ask(self, *, index: int) -> Proposal:
        """The sampler's proposal for the job's search trial number ``index``.

        Its seed comes from the job's seed, the index and how many copies were proposed for it
        before, so the same history gives the same proposal, whoever asks.
        """
        seed = _mixed(self._spec.seed, index, self.num_copies(index))
        self._study.sampler = samplers.build(
            self._sampler, seed=seed, trials=self._spec.search_trials
        )
        trial = self._study.ask(fixed_distributions=self._distributions)
        return self._proposal(self._trial(trial.number))

    def place(self, params: Mapping[str, Scalar]) -> Proposal:
        """A proposal that no sampler made, in one transaction and without Optuna's queue."""
        made = create_trial(
            state=TrialState.RUNNING, params=dict(params), distributions=self._distributions
        )
        trial_id = self._storage.create_new_trial(self._study_id, template_trial=made)
        return self._proposal(self._storage.get_trial(trial_id))

    def num_copies(self, index: int) -> int:
        """How often a known candidate was proposed for this search trial."""
        return sum(trial.user_attrs.get(INSTEAD_OF) == index for trial in self._trials())

    def tell(self, trial: TrialRecord, baseline: Measurement | None) -> None:
        """The outcome of a finished trial: complete with the last rung's values, or failed."""
        assert trial.study_number is not None
        if not self._trial(trial.study_number).state.is_finished():
            self._describe(trial.study_number, frozen.user_attrs(trial))
            self._finish(trial.study_number, trial, baseline)

    def tell_copy(
        self, study_number: int, original: TrialRecord, *, index: int, baseline: Measurement | None
    ) -> None:
        """A proposal equals a known candidate: it shares what is known of it and is not run."""
        self._describe(study_number, {COPY_OF: original.id, INSTEAD_OF: index})
        self._finish(study_number, original, baseline)

    def discard(self, study_number: int) -> None:
        """The proposal came to nothing."""
        self._study.tell(study_number, state=TrialState.FAIL, skip_if_finished=True)

    def holds(self, trials: Sequence[TrialRecord]) -> bool:
        """Whether the study has every trial that our tables say it has."""
        known = self._trials()
        return all(self._is_same(known, trial) for trial in proposed(trials))

    def reconcile(self, trials: Sequence[TrialRecord], baseline: Measurement | None) -> None:
        """Bring the study up to the tables after a crash: proposals without a row have failed."""
        rows = {trial.study_number: trial for trial in proposed(trials)}
        originals = {trial.id: trial for trial in trials}
        for known in self._trials():
            if known.state.is_finished():
                continue
            if row := rows.get(known.number):
                self._catch_up(row, baseline)
            elif original := originals.get(known.user_attrs.get(COPY_OF, "")):
                self._finish(known.number, original, baseline)
            else:
                self.discard(known.number)

    def refill(self, trials: Sequence[TrialRecord], baseline: Measurement | None) -> dict[str, int]:
        """Throw the study away and make it again; id of each trial to its new number."""
        self._storage.delete_study(self._study_id)
        self._study = self._create()
        numbers: dict[str, int] = {}
        for trial in proposed(trials):
            made = frozen.again(trial, self._space, self._spec, baseline)
            trial_id = self._storage.create_new_trial(self._study_id, template_trial=made)
            numbers[trial.id] = self._storage.get_trial_number_from_id(trial_id)
        return numbers

    @property
    def study(self) -> optuna.Study:
        """Optuna's own object, to read."""
        return self._study

    @property
    def _study_id(self) -> int:
        return self._storage.get_study_id_from_name(self._job_id)

    def _create(self) -> optuna.Study:
        directions = [frozen.DIRECTIONS[o.direction] for o in self._spec.objectives]
        study = optuna.create_study(
            storage=self._storage,
            study_name=self._job_id,
            directions=directions,
            sampler=samplers.build("random", seed=self._spec.seed, trials=0),
            load_if_exists=True,
        )
        if "sampler_reason" not in study.user_attrs:
            with warnings.catch_warnings():
                # Experimental since 3.2; without it a dashboard cannot say what it plots.
                warnings.simplefilter("ignore", ExperimentalWarning)
                study.set_metric_names([objective.metric for objective in self._spec.objectives])
            study.set_user_attr("job", self._spec.name)
            study.set_user_attr("sampler", self._sampler)
            study.set_user_attr("sampler_reason", self._reason)
        return study

    def _trials(self) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy=False)

    def _is_same(self, known: Sequence[FrozenTrial], trial: TrialRecord) -> bool:
        number, wanted = trial.study_number, dict(trial.params or {})
        if number is None or number >= len(known) or set(known[number].params) != set(wanted):
            return False
        return frozen.params(known[number], self._space) == wanted

    def _trial_id(self, number: int) -> int:
        return self._storage.get_trial_id_from_study_id_trial_number(self._study_id, number)

    def _trial(self, number: int) -> FrozenTrial:
        return self._storage.get_trial(self._trial_id(number))

    def _proposal(self, known: FrozenTrial) -> Proposal:
        return Proposal(study_number=known.number, params=frozen.params(known, self._space))

    def _catch_up(self, trial: TrialRecord, baseline: Measurement | None) -> None:
        if trial.finished_at is not None:
            self.tell(trial, baseline)

    def _describe(self, number: int, attrs: Mapping[str, str | int | None]) -> None:
        trial_id = self._trial_id(number)
        for name, value in attrs.items():
            self._storage.set_trial_user_attr(trial_id, name, value)

    def _finish(self, number: int, trial: TrialRecord, baseline: Measurement | None) -> None:
        told = frozen.values(trial, self._spec)
        amounts = frozen.constraints(trial, self._spec, baseline)
        trial_id = self._trial_id(number)
        for name, value in frozen.system_attrs(amounts).items():
            self._storage.set_trial_system_attr(trial_id, name, value)
        self._study.tell(number, values=told, state=frozen.outcome(told), skip_if_finished=True)


def proposed(trials: Sequence[TrialRecord]) -> list[TrialRecord]:
    """The trials that belong into the study: those that came from it, re-runs not among them."""
    return [t for t in trials if t.study_number is not None and t.origin != RERUN]


def _mixed(*numbers: int) -> int:
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])
