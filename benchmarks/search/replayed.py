"""A search replayed on what real ones measured: seeds and spread where one search takes an hour.

``python -m benchmarks.search.resnet20_front --keep ONE.db ours tpe`` leaves the tables of its jobs;
``python -m benchmarks.search.replayed ONE.db [MORE.db ...] --samplers known_cost tpe`` learns from
all of them what a candidate weighs and how accurate it is after so many epochs, and runs the
search of the first job, which has a profile, anew: its space, opening and early stopping, a
sampler, so many epochs.

What is measured is a model: bytes by least squares over the weights of every width, the logarithm
of the error above a floor by a line and a Gaussian process over what the candidate's allotment is,
its distillation, and the training. What these do not explain is noise, as large as in the recorded
trials, the same for a candidate at every rung. It ranks samplers and settings; it is no measurement
of a network.
"""

from __future__ import annotations

import argparse
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, get_args

import numpy as np
import optuna
from numpy.typing import NDArray
from sqlalchemy import select

from benchmarks.record import Table, recorded
from benchmarks.search import early_stopping
from benchmarks.search.curves import Candidate as Curve
from benchmarks.search.early_stopping import Course, Spending
from benchmarks.search.proposals import Params, Sampled
from compress.sensitivity.document import ProfileDocument
from compress.techniques.candidate import Candidate
from compress.techniques.filter_pruning.config import FilterPruning
from compress.techniques.quantization.config import Quantization
from compress.techniques.training.distillation.config import Distillation
from compress.values.measurement import Measurement
from featherweight.specs.job import JobSpec, SamplerName
from featherweight.specs.states import Phase
from featherweight.specs.stopping import EarlyStopping
from search import samplers
from search.allocation.allotment import Allotment, Allotter, Choices
from search.samplers.known_cost import blas, surrogate
from search.samplers.known_cost.surrogate import Surrogate
from search.space.problem import Networks, Problem
from search.space.space import Space
from search.space.stored_problem import problem_of
from search.study import initial_design, knowledge
from store import session
from store.tables.records import JobRecord, RungRecord
from store.trials import trials

Array = NDArray[np.float64]
_FEWEST_SEEDS = 2
_MARKS = (0.25, 0.375, 0.5, 0.75, 1.0)
_FLOOR = 0.8
"""Of the least error: what no training removes."""
_LEAST_ERROR = 1e-4
"""A network without an error has a logarithm, too."""
_LEAST_DAMAGE = 3e-3
_MOST_BITS = 8
_MODELLED = {FilterPruning, Quantization, Distillation}
_BLIND = "known_cost_blind"
"""The same sampler, told the space alone."""
_COUNTED = "known_cost_counted"
"""The same sampler without a profile: knobs are fields, and channels are counted by groups."""
_ESTIMATED = "known_cost_estimated"
"""The same, told shares of stages in place of counts, as before networks had groups."""
_UNPROFILED = (_COUNTED, _ESTIMATED)
_NAMES = [*sorted(set(get_args(SamplerName)) - {"auto", "cmaes"}), _BLIND, *_UNPROFILED]


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One candidate at one rung."""

    candidate: Candidate
    epochs: int
    measurement: Measurement


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """A job with a profile whose search is replayed."""

    space: Space
    known: samplers.Knowledge
    opening: Sequence[Params]
    early: EarlyStopping
    baseline: Measurement
    profile: ProfileDocument
    problem: Problem

    @classmethod
    def read(cls, path: Path) -> Recorded:
        """The first job of a database. Raises SystemExit where it does not allot by a profile."""
        with session.open_database(f"sqlite:///{path}").read() as tables:
            job = tables.scalars(select(JobRecord).order_by(JobRecord.created_at)).first()
            if job is None:
                raise SystemExit(f"there is no job in {path}")
            problem = problem_of(tables, job)
            space, baseline = problem.space, problem.baseline
            if space.profile is None or space.allocation is None or baseline is None:
                raise SystemExit(
                    f"the job in {path} does not allot by a profile: name another first"
                )
            controls = [params for _, params in space.controls()]
            openers = initial_design.candidates(problem, count=initial_design.MOST_BUDGETS)
            return cls(
                space=space,
                known=knowledge.of_problem(problem),
                opening=[*controls, *openers],
                early=problem.spec.early_stopping,
                baseline=baseline,
                profile=space.profile,
                problem=problem,
            )

    def told_by(self, sampler: str) -> Recorded:
        """The same search, of whose candidates a sampler knows as much as its name says."""
        if sampler in _UNPROFILED:
            return self._without_profile(counted=sampler == _COUNTED)
        if sampler == _BLIND:
            return replace(self, known=samplers.Knowledge(space=self.known.space))
        return self

    def _without_profile(self, *, counted: bool) -> Recorded:
        outline = self.problem.outline
        if not counted:
            outline = outline.model_copy(update={"channels": None, "elastic": None})
        document = self.problem.spec.model_dump(mode="json") | {"profile": None}
        problem = Problem.compiled(
            JobSpec.model_validate(document),
            self.problem.dataset,
            Networks(own=outline),
            baseline=self.baseline,
        )
        return replace(
            self,
            space=problem.space,
            known=knowledge.of_problem(problem),
            opening=(),
            problem=problem,
        )


def measured(path: Path) -> Iterator[Measured]:
    """Every rung of every trial of a database's searches."""
    with session.open_database(f"sqlite:///{path}").read() as tables:
        for job in tables.scalars(select(JobRecord)):
            for row in trials.of_job(tables, job.id, phase=Phase.SEARCH):
                rungs = select(RungRecord).where(RungRecord.trial_id == row.id)
                for rung in tables.scalars(rungs.order_by(RungRecord.rung)):
                    yield Measured(
                        candidate=Candidate.model_validate(row.candidate),
                        epochs=rung.epochs,
                        measurement=Measurement.model_validate(rung.measurement),
                    )


@dataclass(frozen=True, kw_only=True)
class Model:
    """What the recorded trials say of every candidate of the space."""

    allotter: Allotter
    coefficients: Array
    off: float
    """Deviation of the logarithm of the bytes."""
    last: int
    floor: float
    middle: Array
    spread: Array
    line: Array
    rest: Surrogate

    @classmethod
    def of(cls, found: Sequence[Measured], profile: ProfileDocument) -> Model:
        """Learned from all of them. Raises SystemExit where there are none, or other techniques."""
        from scipy.optimize import nnls

        if not found:
            raise SystemExit("nothing was measured in these searches")
        stages = ((0.0,),) * len(profile.stages)
        allotter = Allotter(
            profile=profile, choices=Choices(ratios=stages, bits=(1, 8), axis="bytes")
        )
        last = max(each.epochs for each in found)
        sizes = np.array([float(each.measurement.size_bytes) for each in found])
        widths = np.array([_by_width(allotter, each.candidate) for each in found])
        errors = 1.0 - np.array([each.measurement.value("accuracy") for each in found])
        errors = np.maximum(errors, _LEAST_ERROR)
        rows = np.array([_row(allotter, each.candidate, each.epochs, last) for each in found])
        floor = _FLOOR * float(errors.min())
        middle, spread = rows.mean(axis=0), np.maximum(rows.std(axis=0), 1e-9)
        terms = _terms((rows - middle) / spread)
        logs = np.log(errors - floor)
        line = np.linalg.solve(terms.T @ terms + 0.5 * np.eye(terms.shape[1]), terms.T @ logs)
        with blas.one_thread():
            rest = surrogate.fit(_blocks((rows - middle) / spread), logs - terms @ line)
        coefficients = nnls(widths / sizes[:, None], np.ones(len(sizes)))[0]
        return cls(
            allotter=allotter,
            coefficients=coefficients,
            off=float(np.std(np.log(widths @ coefficients / sizes))),
            last=last,
            floor=floor,
            middle=middle,
            spread=spread,
            line=np.asarray(line, dtype=float),
            rest=rest,
        )

    @cached_property
    def noise(self) -> float:
        """Deviation of the logarithm of the error that nothing explains."""
        return float(np.sqrt(self.rest.noise)) * self.rest.scale

    def curve(self, candidate: Candidate, rungs: Sequence[int], seed: int) -> Curve:
        """What would be measured of a candidate after so many epochs; the seed draws the noise."""
        rows = np.array([_row(self.allotter, candidate, each, self.last) for each in rungs])
        standard = (rows - self.middle) / self.spread
        with blas.one_thread():
            logs = _terms(standard) @ self.line + self.rest.predict(_blocks(standard))[0]
        random = np.random.default_rng([seed, zlib.crc32(candidate.digest().encode())])
        errors = self.floor + np.exp(logs + random.normal(0.0, self.noise))
        size = round(float(_by_width(self.allotter, candidate) @ self.coefficients))
        accuracy = {
            each: float(np.clip(1 - e, 0.0, 1.0)) for each, e in zip(rungs, errors, strict=True)
        }
        return Curve(size_bytes=dict.fromkeys(rungs, size), accuracy=accuracy)


def _allotment(allotter: Allotter, candidate: Candidate) -> Allotment:
    """Ratios by stage and bits by layer, as a candidate's steps say them."""
    steps: Mapping[type, Any] = {type(step): step for step in candidate.configs}
    names = [layer.name for layer in allotter.profile.layers]
    pruning, grids = steps.get(FilterPruning), steps.get(Quantization)
    if grids is None or set(steps) - _MODELLED:
        raise SystemExit(
            f"cannot replay {candidate.describe()!r}: every candidate must be quantized, and may "
            "be pruned and distilled beside that"
        )
    bits = dict.fromkeys(names, int(grids.weight_bits))
    if grids.edges_8bit:
        bits[names[0]] = bits[names[-1]] = 8
    bits |= dict(grids.bits_of_patterns)
    if set(bits) != set(names) or max(bits.values()) > _MOST_BITS:
        raise SystemExit(
            f"cannot replay {candidate.describe()!r}: bits are modelled by layer, 1 to {_MOST_BITS}"
        )
    ratios = (0.0,) * len(allotter.profile.stages) if pruning is None else pruning.ratios
    return Allotment(ratios=tuple(ratios), bits=bits, damage=0.0, share=1.0)


def _by_width(allotter: Allotter, candidate: Candidate) -> Array:
    """Weights of 1 to 8 bits that are left, and 1."""
    found, left = _allotment(allotter, candidate), np.zeros(_MOST_BITS + 1)
    weights = allotter.left_by_layer(found.ratios)
    for layer, number in zip(allotter.profile.layers, weights, strict=True):
        left[found.bits[layer.name] - 1] += number
    left[-1] = 1.0
    return left


def _row(allotter: Allotter, candidate: Candidate, epochs: int, last: int) -> list[float]:
    """What accuracy follows: bytes, damage, ratios, bits, distillation, training."""
    found, widths = _allotment(allotter, candidate), _by_width(allotter, candidate)[:-1]
    taught = next((s for s in candidate.steps if isinstance(s, Distillation)), Distillation())
    bits = float(widths @ np.arange(1, _MOST_BITS + 1))
    return [
        np.log(bits),
        np.log(allotter.damage_of(found) + _LEAST_DAMAGE),
        *found.ratios,
        np.log2(bits / widths.sum()),
        taught.temperature,
        taught.weight,
        np.log1p(epochs) / np.log1p(last),
    ]


def _terms(standard: Array) -> Array:
    return np.column_stack([np.ones(len(standard)), standard, standard[:, 0] ** 2])


def _blocks(standard: Array) -> list[Array]:
    return [column[:, None] for column in standard.T]


def main() -> None:
    """Print every sampler's hypervolume after shares of the epochs, and off the first one's."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    asked = _arguments()
    job = Recorded.read(asked.databases[0])
    found = [each for path in asked.databases for each in measured(path)]
    model = Model.of(found, job.profile)
    early = EarlyStopping.model_validate(job.early.model_dump() | json.loads(asked.early))
    print(
        f"{len(found)} measurements, noise {model.noise:.3f} (logarithm of the error above "
        f"{model.floor:.3f}), bytes {model.off:.3f} off (logarithm); {asked.seeds} seeds, "
        f"{asked.epochs} epochs, rungs {early.rungs}"
    )
    question = "Which sampler is ahead in that search, replayed (hypervolume after so many epochs)?"
    seeds, headline = range(asked.seeds), ("known_cost", "tpe", "random")
    with recorded("search/replayed", question, seeds=seeds, headline=headline) as table:
        _compare(table, job, model, early, asked)


def _compare(
    table: Table, job: Recorded, model: Model, early: EarlyStopping, asked: argparse.Namespace
) -> None:
    first: Array | None = None
    for name in asked.samplers:
        course = _course(replace(job.told_by(name), early=early), model, epochs=asked.epochs)
        sampler = "known_cost" if name in {_BLIND, *_UNPROFILED} else name
        runs = [_spend(course, sampler, seed, early, asked.whole) for seed in range(asked.seeds)]
        volumes = np.array([[_until(run, m * asked.epochs) for m in _MARKS] for run in runs])
        first = volumes if first is None else first
        _print(name, volumes, volumes - first)
        pairs = zip(volumes.mean(axis=0), volumes.std(axis=0, ddof=1), strict=True)
        cells = [f"{mean:.4f} ± {spread:.4f}" for mean, spread in pairs]
        epochs = [f"{mark * asked.epochs:.0f}" for mark in _MARKS]
        table.add({"sampler": name, **dict(zip(epochs, cells, strict=True))})


def _course(job: Recorded, model: Model, *, epochs: int) -> Course:
    rungs = job.early.rungs
    return Course(
        name="replayed",
        rungs=rungs,
        baseline=job.baseline,
        epochs=epochs,
        trials=epochs,
        proposals=Sampled(
            rungs=rungs,
            known=job.known,
            candidate_of=lambda params, seed: model.curve(job.space.candidate(params), rungs, seed),
            digest=lambda params: job.space.candidate(params).digest(),
            opening=job.opening,
        ),
    )


def _spend(
    course: Course, name: SamplerName, seed: int, early: EarlyStopping, whole: bool
) -> Spending:
    propose = course.proposals(name, seed)
    if whole:
        return early_stopping.without_stopping(course, propose)
    return early_stopping.with_our_stopping(course, propose, early)


def _until(run: Spending, epochs: float) -> float:
    return max((volume for spent, volume in run.history if spent <= epochs), default=0.0)


def _print(name: str, volumes: Array, differences: Array) -> None:
    error = differences.std(axis=0, ddof=1) / np.sqrt(len(volumes))
    cells = [
        f"{mean:.4f} ± {spread:.4f} ({off:+.4f} ± {doubt:.4f})"
        for mean, spread, off, doubt in zip(
            volumes.mean(axis=0),
            volumes.std(axis=0, ddof=1),
            differences.mean(axis=0),
            error,
            strict=True,
        )
    ]
    print(f"{name:22}" + "  ".join(cells), flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.search.replayed", description=__doc__)
    parser.add_argument(
        "databases", nargs="+", type=Path, help="the first one's search is replayed"
    )
    parser.add_argument("--samplers", nargs="+", choices=_NAMES, default=["known_cost", "tpe"])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=160)
    parser.add_argument("--early", default="{}", help="settings of early stopping, as JSON")
    parser.add_argument("--whole", action="store_true", help="nothing is stopped")
    asked = parser.parse_args()
    if asked.seeds < _FEWEST_SEEDS:
        parser.error(f"--seeds: a spread needs {_FEWEST_SEEDS}, got {asked.seeds}")
    if missing := [str(path) for path in asked.databases if not path.is_file()]:
        parser.error(f"no such file: {', '.join(missing)}")
    return asked


if __name__ == "__main__":
    main()
