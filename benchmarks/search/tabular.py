"""How fast samplers find the front of a table: the share of its hypervolume after N evaluations.

``python -m benchmarks.search.tabular`` runs every sampler on the cells of NAS-Bench-201;
``--table T.parquet --choices e0,e1 --accuracy COLUMN --cost COLUMN`` any other table, of which each
row is a candidate; ``--table pairs`` (or ``ordered``, ``plateaus``) one that is made up.

The hypervolume is that of ``y = min(100 - accuracy, cap) / cap`` and ``x``, the logarithm of the
cost scaled to 0..1 over the table, below ``(x, y) = (1.05, 1)``, as a share of the exact front's.
Samplers are told accuracy and cost as they are, to maximise and minimise.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.samplers import BaseSampler
from optuna.trial import TrialState, create_trial

from benchmarks.data import tables
from benchmarks.data.tables import Table
from benchmarks.record import Cell, recorded
from search import samplers
from search.front import pareto
from search.samplers import Knowledge

MARKS = (50, 100, 200, 400)
_DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
_CELLS = _DATA / "nas" / "nasbench201_cifar10.parquet"
_MOST_REPEATS = 50
_REPEATS_ARE_FREE = (
    "A repeated proposal is not evaluated and does not count; after "
    f"{_MOST_REPEATS} in a row a random new point is taken."
)
_REPEATS_COUNT = "A repeated proposal counts like any other, as where nobody remembers results."
_REFERENCE = (1.05, 1.0)

Made = Callable[[Table, int, int], BaseSampler]


def _ours(name: str, table: Table, seed: int, trials: int, *, knows: bool = True) -> BaseSampler:
    known = table.knowledge if knows else Knowledge(space=table.distributions)
    return samplers.build(name, seed=seed, trials=trials, known=known)  # pyright: ignore[reportArgumentType]


SAMPLERS: Mapping[str, Made] = {
    "known_cost": partial(_ours, "known_cost"),
    "known_cost_blind": partial(_ours, "known_cost", knows=False),
    "tpe": partial(_ours, "tpe"),
    "nsga2": partial(_ours, "nsga2"),
    "nsga3": partial(_ours, "nsga3"),
    "regularized_evolution": partial(_ours, "regularized_evolution"),
    "local_search": partial(_ours, "local_search"),
    "random": partial(_ours, "random"),
    "gp": partial(_ours, "gp"),
    "optuna_tpe": lambda table, seed, trials: optuna.samplers.TPESampler(seed=seed),
    "optuna_nsga2": lambda table, seed, trials: optuna.samplers.NSGAIISampler(seed=seed),
}
"""``known_cost_blind`` is the same sampler without being told the cost."""
_SLOW = ("gp",)
"""Not part of ``all``: a proposal takes a fifth of a second, and grows with the trials cubed."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """One seed: the share at each mark, its seconds, and how many proposals were repeats."""

    shares: tuple[float, ...]
    seconds: float
    repeats: int


@dataclass(frozen=True, kw_only=True)
class Score:
    """A table's candidates on the axes of the hypervolume."""

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    exact: float

    @classmethod
    def of(cls, table: Table, error_cap: float) -> Score:
        """Everything from the table; ``error_cap`` in percent.

        Raises SystemExit where no error is below the cap: nothing could be told apart.
        """
        logs = np.log(table.cost)
        x = (logs - logs.min()) / (np.ptp(logs) or 1.0)
        y = np.minimum(100 - table.accuracy, error_cap) / error_cap
        exact = pareto.hypervolume(np.stack([x, y], axis=1).tolist(), _REFERENCE)
        if exact == 0:
            best = table.accuracy.max()
            raise SystemExit(
                f"no error is below {error_cap:g} %, the best accuracy is {best:g}: it is expected "
                "in percent; --error-cap raises the cap"
            )
        return cls(x=x, y=y, exact=exact)

    def share(self, rows: Sequence[int]) -> float:
        """Percent of the exact hypervolume that these rows have."""
        points = np.stack([self.x[list(rows)], self.y[list(rows)]], axis=1).tolist()
        return 100 * pareto.hypervolume(points, _REFERENCE) / self.exact


def run(
    table: Table,
    name: str,
    seed: int,
    *,
    trials: int,
    error_cap: float,
    repeats_count: bool = False,
) -> Run:
    """Evaluate ``trials`` candidates of the table: different ones, unless repeats count."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore")
    study = optuna.create_study(
        directions=["maximize", "minimize"], sampler=SAMPLERS[name](table, seed, trials)
    )
    score, random = Score.of(table, error_cap), np.random.default_rng([seed, trials])
    rows: list[int] = []
    repeats, began = 0, time.perf_counter()
    while len(rows) < min(trials, len(table.points)):
        known = set[int]() if repeats_count else set(rows)
        row, repeated = _next(study, table, known, random)
        rows.append(row)
        repeats += repeated
    seconds = time.perf_counter() - began
    repeats += len(rows) - len(set(rows))
    shares = tuple(score.share(rows[:mark]) for mark in _marks(trials))
    return Run(shares=shares, seconds=seconds, repeats=repeats)


def _next(
    study: optuna.Study, table: Table, known: set[int], random: np.random.Generator
) -> tuple[int, int]:
    """The next new row, and how many proposals before it were not new.

    As in a job: a repeat is told what is known of it and costs nothing, and after 50 of them in a
    row comes a random point. What the table lacks is told as failed, and counts as a repeat.
    """
    for repeats in range(_MOST_REPEATS):
        trial = study.ask(table.distributions)
        row = table.row(trial.params)
        if row is None:
            study.tell(trial, state=TrialState.FAIL)
            continue
        study.tell(trial, _values(table, row))
        if row not in known:
            return row, repeats
    row = int(random.choice(np.setdiff1d(np.arange(len(table.points)), list(known))))
    study.add_trial(
        create_trial(
            params=dict(zip(table.knobs, table.points[row], strict=True)),
            distributions=table.distributions,
            values=_values(table, row),
        )
    )
    return row, _MOST_REPEATS


def _values(table: Table, row: int) -> list[float]:
    return [float(table.accuracy[row]), float(table.cost[row])]


_QUESTION = (
    "How much of the exact front do samplers find in a table (% of the hypervolume after so many "
    "evaluations)?"
)


def main() -> None:
    """Print mean and spread over the seeds, a line per sampler."""
    arguments = _arguments()
    table = _table(arguments)
    Score.of(table, arguments.error_cap)  # says at once what no run could be told apart by
    every = [name for name in SAMPLERS if name not in _SLOW]
    names = every if arguments.sampler == "all" else [arguments.sampler]
    print(
        f"{table.name}: {len(table.points)} candidates of {len(table.knobs)} knobs; percent of the "
        f"exact front's hypervolume, mean and deviation over {arguments.seeds} seeds.\n"
        + (_REPEATS_COUNT if arguments.count_repeats else _REPEATS_ARE_FREE)
    )
    marks = "".join(f"{mark:>14}" for mark in _marks(arguments.trials))
    print(f"{'sampler':22}{marks}   repeats  s per run")
    seeds, headline = range(arguments.seeds), ("known_cost", "tpe", "random")
    with recorded("search/tabular", _QUESTION, seeds=seeds, headline=headline) as kept:
        for name in names:
            kept.add(_row(table, name, arguments))


def _row(table: Table, name: str, arguments: argparse.Namespace) -> dict[str, Cell]:
    """Run every seed of one sampler, and print its line."""
    one = partial(
        run,
        table,
        name,
        trials=arguments.trials,
        error_cap=arguments.error_cap,
        repeats_count=arguments.count_repeats,
    )
    with ProcessPoolExecutor(arguments.processes) as pool:
        runs = list(pool.map(one, range(arguments.seeds)))
    shares = np.array([run.shares for run in runs])
    cells = [f"{m:8.2f} ±{s:4.2f}" for m, s in zip(shares.mean(0), shares.std(0), strict=True)]
    repeats = float(np.mean([run.repeats for run in runs]))
    seconds = float(np.mean([run.seconds for run in runs]))
    print(f"{name:22}" + "".join(f"{c:>14}" for c in cells) + f"{repeats:10.1f}{seconds:11.1f}")
    columns = [str(mark) for mark in _marks(arguments.trials)]
    found = dict(zip(columns, (cell.strip() for cell in cells), strict=True))
    return {"sampler": name, **found, "repeats": round(repeats, 1), "s": round(seconds, 1)}


def _marks(trials: int) -> list[int]:
    """Numbers of evaluations that are reported; the last one is all of them."""
    return [*(mark for mark in MARKS if mark < trials), trials]


def _table(arguments: argparse.Namespace) -> Table:
    if arguments.table in tables.SYNTHETIC:
        return tables.synthetic(arguments.table)
    if Path(arguments.table) == _CELLS and not _CELLS.exists():
        raise SystemExit(
            "this benchmark needs shared/data/nas beside the repository, or --table: a file, or "
            f"one of {list(tables.SYNTHETIC)}"
        )
    return tables.read(
        Path(arguments.table),
        knobs=arguments.choices.split(","),
        accuracy=arguments.accuracy,
        cost=arguments.cost,
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.search.tabular", description=__doc__)
    parser.add_argument("--table", default=str(_CELLS), help="a .parquet or .csv, or a made-up one")
    parser.add_argument("--choices", default="e0,e1,e2,e3,e4,e5", help="columns, with commas")
    parser.add_argument("--accuracy", default="cifar10_test_e200", help="column, in percent")
    parser.add_argument("--cost", default="macs", help="column, positive")
    parser.add_argument("--error-cap", type=float, default=50.0, help="percent")
    parser.add_argument("--count-repeats", action="store_true", help="as evaluations")
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--sampler", default="all", choices=["all", *SAMPLERS])
    return parser.parse_args()


if __name__ == "__main__":
    main()
