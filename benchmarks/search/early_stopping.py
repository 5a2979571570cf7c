"""Training epochs to 98 % of the full-budget hypervolume: our stopping against two others.

Learning curves are replayed (``benchmarks.search.curves``), one trial after the other, with 20
seeds; ``python -m benchmarks.search.early_stopping --digits FILE`` replays those of a job that is
really trained (``benchmarks.search.trained_curves``), each candidate once, and keeps them in the
file. The full budget is every network, or every proposal of Optuna's TPE, trained to its end; 98 %
of the hypervolume that this leaves, of the same seed, is the mark. Every rung leaves a file,
whoever trains, and all files count.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, FloatDistribution

from benchmarks.record import Cell, Table, recorded
from benchmarks.search import curves, trained_curves
from benchmarks.search.curves import Candidate
from benchmarks.search.proposals import OBJECTIVES, Params, Propose, Run, Sampled
from compress.values.measurement import Measurement
from featherweight.specs.job import SamplerName
from featherweight.specs.stopping import EarlyStopping, TieBreak
from search.early_stopping import extrapolation, headroom
from search.early_stopping import rule as stopping
from search.early_stopping.rule import Rule
from search.front import comparison, front, pareto
from search.samplers import Knowledge

SEEDS = 20
ENOUGH = 0.98
ETA = 3.0
_QUESTION = (
    "How many epochs does early stopping save (to 98 % of the hypervolume of full training)?"
)
Way = Callable[["Course", int], "Spending"]
"""How one seed spends its epochs."""


@dataclass(frozen=True, kw_only=True)
class Course:
    """Where candidates come from: rungs, the baseline, and how many epochs may be spent."""

    name: str
    rungs: tuple[int, ...]
    baseline: Measurement
    epochs: int
    trials: int
    proposals: Callable[[SamplerName, int], Propose]


@dataclass(kw_only=True)
class Spending:
    """Epochs spent, and the hypervolume of all files so far whenever there is a new one."""

    of: Course
    epochs: int = 0
    front: list[Measurement] = field(default_factory=list)
    history: list[tuple[int, float]] = field(default_factory=list)

    def train(self, run: Run) -> bool:
        """Take the run to its next rung; False where the epochs do not last."""
        rung = len(run.measured)
        step = self.of.rungs[rung] - (self.of.rungs[rung - 1] if rung else 0)
        if self.epochs + step > self.of.epochs:
            return False
        self.epochs += step
        run.measured.append(run.candidate.at(self.of.rungs[rung]))
        self._note(run.measured[-1])
        return True

    def _note(self, measurement: Measurement) -> None:
        files = [*self.front, measurement]
        points = [comparison.vector(each, OBJECTIVES) for each in files]
        self.front = [files[index] for index in pareto.front_indices(points)]
        volume = front.hypervolume(self.front, objectives=OBJECTIVES, baseline=self.of.baseline)
        self.history.append((self.epochs, volume))

    def reached(self, volume: float) -> int | None:
        """Epochs until the hypervolume was that large; None where it never was."""
        return next((epochs for epochs, found in self.history if found >= volume), None)


def without_stopping(of: Course, propose: Propose) -> Spending:
    """Every proposal is trained to its end."""
    spending, runs = Spending(of=of), []
    while len(runs) < of.trials and (candidate := propose(runs)) is not None:
        runs.append(Run(candidate=candidate))
        if not all(spending.train(runs[-1]) for _ in of.rungs):
            break
    return spending


def with_our_stopping(of: Course, propose: Propose, early: EarlyStopping) -> Spending:
    """``search.early_stopping.rule`` decides at every rung, once."""
    spending, runs = Spending(of=of), []
    while len(runs) < of.trials and (candidate := propose(runs)) is not None:
        run = Run(candidate=candidate)
        while spending.train(run):
            others = [each for each in runs if len(each.measured) >= len(run.measured)]
            is_last = len(run.measured) == len(of.rungs)
            if is_last or _stops(run, others, early, of):
                break
        if not run.measured:
            break
        runs.append(run)
    return spending


def _stops(run: Run, others: Sequence[Run], early: EarlyStopping, of: Course) -> bool:
    rung = len(run.measured) - 1
    seen = [each.measured[rung] for each in (run, *others)]
    left = headroom.left(seen[0], seen[1:], baseline=of.baseline, constraints=())
    settled = headroom.settled(early, left)
    rule = Rule(objectives=OBJECTIVES, early=settled, baseline=of.baseline)
    if early.extrapolate:
        found = [[one.value("accuracy") for one in each.measured] for each in (run, *others)]
        hopes = extrapolation.expected(found, num_rungs=len(of.rungs))
        seen = [stopping.hoped(one, hope) for one, hope in zip(seen, hopes, strict=True)]
    return stopping.decide(seen[0], -1.0, [(each, -1.0) for each in seen[1:]], rule=rule).stop


def halving_by_sorting(of: Course, propose: Propose) -> Spending:
    """Asynchronous successive halving (Li et al., algorithm 2) by non-dominated rank.

    The highest rung at which a run is among the best ``n / eta`` and was not promoted yet gives the
    next promotion; ranks that only partly fit are taken in the order of arrival.
    """
    spending, runs = Spending(of=of), []
    while len(runs) < 20 * of.trials:
        promoted = next(_promotable(runs, of), None)
        if promoted is None:
            candidate = propose(runs)
            if candidate is None:
                break
            promoted = Run(candidate=candidate)
            runs.append(promoted)
        if not spending.train(promoted):
            break
    return spending


def _promotable(runs: Sequence[Run], of: Course) -> Iterator[Run]:
    for rung in reversed(range(len(of.rungs) - 1)):
        there = [run for run in runs if len(run.measured) > rung]
        points = [comparison.vector(run.measured[rung], OBJECTIVES) for run in there]
        ranks = pareto.ranks(points, [-1.0] * len(points)) if points else []
        order = sorted(range(len(there)), key=ranks.__getitem__)
        for index in order[: int(len(there) / ETA)]:
            if len(there[index].measured) == rung + 1:
                yield there[index]


def of_networks() -> Course:
    """19 CIFAR-10 networks of 200 epochs, in an order that the seed shuffles; each once."""
    networks = curves.recorded()
    rungs = (2, 7, 22, 66, 200)
    largest = max(networks, key=lambda network: network.size_bytes[rungs[-1]])

    def proposals(_: SamplerName, seed: int) -> Propose:
        order = np.random.default_rng(seed).permutation(len(networks))
        return lambda runs: networks[order[len(runs)]] if len(runs) < len(order) else None

    return Course(
        name="19 recorded networks, random order",
        rungs=rungs,
        baseline=largest.at(rungs[-1]),
        epochs=len(networks) * rungs[-1],
        trials=len(networks),
        proposals=proposals,
    )


def crossing() -> Course:
    """Three real knobs, curves that cross; the epochs of 25 trials trained to their end."""
    rungs, names = (1, 3, 9, 27, 81), ("width", "bits", "setting")
    space: dict[str, BaseDistribution] = {name: FloatDistribution(0.0, 1.0) for name in names}

    def candidate_of(params: Params, seed: int) -> Candidate:
        point = [float(params[name]) for name in names]
        return curves.crossing(point, epochs=rungs, seed=seed)

    return Course(
        name="curves that cross, three knobs",
        rungs=rungs,
        baseline=curves.crossing((1.0, 1.0, 0.7), epochs=rungs, seed=0).at(rungs[-1]),
        epochs=25 * rungs[-1],
        trials=300,
        proposals=Sampled(
            rungs=rungs,
            known=Knowledge(space=space, costs={1: _bytes}),
            candidate_of=candidate_of,
        ),
    )


def digits(kept: Path) -> Course:
    """A job on digits, really trained: 81 candidates; the epochs of 25 trained to their end."""
    table = trained_curves.Digits(kept=kept)
    return Course(
        name="digits, trained: 81 candidates",
        rungs=trained_curves.RUNGS,
        baseline=table.baseline.at(trained_curves.RUNGS[-1]),
        epochs=25 * trained_curves.RUNGS[-1],
        trials=81,
        proposals=Sampled(
            rungs=trained_curves.RUNGS,
            known=table.knowledge,
            candidate_of=lambda params, _: table.at(params),
            digest=table.digest,
        ),
    )


def _bytes(candidates: Sequence[Mapping[str, Any]]) -> list[float]:
    return [float(curves.crossing_bytes(each["width"], each["bits"])) for each in candidates]


def main(kept: Path | None = None) -> None:
    """Print epochs to 98 % of the full-budget hypervolume, and the hypervolume at the end."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    if kept is not None:
        place = "search/early_stopping_digits"
        question = "And on a job on digits that is really trained?"
        with recorded(place, question, seeds=range(SEEDS), headline=_headline("digits")) as table:
            _compare(table, "digits", digits(kept), full="TPE", ways=_WITH_SAMPLERS)
        return
    headline = (*_headline("recorded"), *_headline("crossing"))
    with recorded(
        "search/early_stopping", _QUESTION, seeds=range(SEEDS), headline=headline
    ) as table:
        if curves.RECORDED.exists():
            _compare(table, "recorded", of_networks(), full="every network", ways=_WAYS)
        else:
            print(f"without recorded curves: {curves.RECORDED.name} is not beside the repository")
        _compare(table, "crossing", crossing(), full="TPE", ways=_WITH_SAMPLERS)


def _headline(curves_of: str) -> tuple[str, ...]:
    kept = ("every network, no stopping", "TPE, no stopping", "random, ours, auto")
    return tuple(f"{curves_of}: {name}" for name in (*kept, "known_cost, ours, auto"))


def _compare(
    table: Table, curves_of: str, of: Course, *, full: str, ways: Mapping[str, Way]
) -> None:
    print(f"{of.name}: {SEEDS} seeds, rungs {of.rungs}, at most {of.epochs} epochs")
    whole = [without_stopping(of, of.proposals("tpe", seed)) for seed in range(SEEDS)]
    marks = [ENOUGH * spending.history[-1][1] for spending in whole]
    table.add(_print(curves_of, f"{full}, no stopping", whole, marks))
    for name, spend in ways.items():
        spent = [spend(of, seed) for seed in range(SEEDS)]
        table.add(_print(curves_of, name, spent, marks))


def _ours(sampler: SamplerName, **settings: object) -> Way:
    """Our stopping with these settings of ``early_stopping``."""

    def spend(of: Course, seed: int) -> Spending:
        early = EarlyStopping.model_validate({"rungs": of.rungs, "eta": ETA, **settings})
        return with_our_stopping(of, of.proposals(sampler, seed), early)

    return spend


def _all(sampler: SamplerName) -> Way:
    return lambda of, seed: without_stopping(of, of.proposals(sampler, seed))


def _asha(of: Course, seed: int) -> Spending:
    return halving_by_sorting(of, of.proposals("random", seed))


def _ways(sampler: SamplerName, label: str) -> dict[str, Way]:
    """Our stopping in all of its ways, with the proposals of one sampler."""
    ties: tuple[TieBreak, ...] = ("net", "hypervolume", "front")
    up: dict[str, dict[str, object]] = {tie: {"tie_break": tie, "rounding": "up"} for tie in ties}
    settings: dict[str, dict[str, object]] = {
        "auto": {},
        "auto, extrapolated": {"extrapolate": True},
        **up,
        **{f"{tie}, nearest": {**up[tie], "rounding": "nearest"} for tie in ties[1:]},
        **{f"{tie}, extrapolated": {**up[tie], "extrapolate": True} for tie in ties},
    }
    return {f"{label}, ours, {name}": _ours(sampler, **chosen) for name, chosen in settings.items()}


_WAYS: Mapping[str, Way] = {"random, ASHA by plain sorting": _asha, **_ways("random", "random")}
_WITH_SAMPLERS: Mapping[str, Way] = {
    **_WAYS,
    **_ways("tpe", "TPE"),
    "known_cost, no stopping": _all("known_cost"),
    **_ways("known_cost", "known_cost"),
}


def _print(
    curves_of: str, name: str, found: Sequence[Spending], marks: Sequence[float]
) -> dict[str, Cell]:
    epochs = [each.reached(mark) for each, mark in zip(found, marks, strict=True)]
    there = [each for each in epochs if each is not None]
    took = f"{statistics.fmean(there):7.0f} ± {_spread(there):5.0f}" if there else "      -        "
    volumes = [each.history[-1][1] for each in found]
    spent = statistics.fmean(each.epochs for each in found)
    print(
        f"  {name:40} {took} epochs ({len(there)} of {len(found)} seeds), at the end "
        f"{statistics.fmean(volumes):.4f} ± {_spread(volumes):.4f} after {spent:.0f} epochs",
        flush=True,
    )
    return {
        "curves: proposals, stopping": f"{curves_of}: {name}",
        "epochs to 98 %": " ".join(took.strip(" -").split()) or None,
        "seeds": len(there),
        "at the end": f"{statistics.fmean(volumes):.4f} ± {_spread(volumes):.4f}",
        "epochs used": round(spent),
    }


def _spread(values: Sequence[float]) -> float:
    return statistics.stdev(values) if len(values) > 1 else 0.0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="benchmarks.search.early_stopping", description=__doc__)
    parser.add_argument("--digits", type=Path, help="train a job on digits; its curves stay here")
    main(parser.parse_args().digits)
