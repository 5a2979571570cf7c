"""What a proposal costs after 100, 1,000 and 3,000 trials.

``python -m benchmarks.search.asks [NAME]``.

Milliseconds of CPU (a median) for asking a sampler that was made anew, as the searcher does it, and
telling the outcome; and by how much the process grew over all of these asks. The space is the
made-up table ``pairs``: 16,384 candidates, of which one objective is known. ``cmaes`` goes on only
from what it proposed itself, for one objective of numbers: it minimises the distance to a point in
five of them, from its first trial on.
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings

import optuna
import psutil
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.trial import create_trial

from benchmarks.data import tables
from benchmarks.data.tables import Table
from benchmarks.record import Cell, recorded
from benchmarks.search import tabular
from search import samplers

SIZES = (100, 1_000, 3_000)
_ASKS = 7
_QUESTION = "What does a proposal cost, ask and tell (ms of CPU after so many trials)?"
_CMAES = "cmaes"
_NUMBERS: dict[str, BaseDistribution] = {f"k{k}": FloatDistribution(0.0, 1.0) for k in range(5)}


def main() -> None:
    """Print a line per sampler."""
    parser = argparse.ArgumentParser(prog="benchmarks.search.asks", description=__doc__)
    ours = [name for name in tabular.SAMPLERS if not name.startswith("optuna_")]
    names = [*ours, _CMAES]
    parser.add_argument("names", nargs="*", choices=[[], *names], default=[])
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore")
    table = tables.synthetic("pairs")
    print(f"{'sampler':22}" + "".join(f"{size:>9,}" for size in SIZES) + "   growth, MB")
    with recorded("search/asks", _QUESTION, headline=("known_cost", "tpe", "gp")) as kept:
        for name in parser.parse_args().names or names:
            before = _resident()
            ms = [_milliseconds(table, name, size) for size in SIZES]
            growth = _resident() - before
            print(f"{name:22}" + "".join(f"{x:9.1f}" for x in ms) + f"{growth:10.1f}", flush=True)
            cells: dict[str, Cell] = {
                f"{size:,}": round(x, 1) for size, x in zip(SIZES, ms, strict=True)
            }
            kept.add({"sampler": name, **cells, "growth, MB": round(growth, 1)})


def _milliseconds(table: Table, name: str, size: int) -> float:
    found = _seconds_of_cmaes(size) if name == _CMAES else _seconds(table, name, size)
    return 1e3 * statistics.median(found)


def _seconds(table: Table, name: str, size: int) -> list[float]:
    """CPU seconds of each of a few asks and tells."""
    study = optuna.create_study(directions=["maximize", "minimize"])
    rows = range(0, len(table.points), len(table.points) // size)[:size]
    study.add_trials([_told(table, row) for row in rows])
    found = []
    for number in range(_ASKS):
        study.sampler = tabular.SAMPLERS[name](table, number, size)
        began = time.process_time()
        trial = study.ask(table.distributions)
        row = table.row(trial.params)
        assert row is not None, "the table has every combination"
        study.tell(trial, [float(table.accuracy[row]), float(table.cost[row])])
        found.append(time.process_time() - began)
    return found


def _seconds_of_cmaes(size: int) -> list[float]:
    """The same of the last asks and tells of a study that is that long."""
    study, found = optuna.create_study(), []
    for number in range(size + _ASKS):
        study.sampler = samplers.build(_CMAES, seed=number, trials=size)
        began = time.process_time()
        trial = study.ask(_NUMBERS)
        study.tell(trial, sum((value - 0.3) ** 2 for value in trial.params.values()))
        found.append(time.process_time() - began)
    return found[-_ASKS:]


def _told(table: Table, row: int) -> optuna.trial.FrozenTrial:
    return create_trial(
        params=dict(zip(table.knobs, table.points[row], strict=True)),
        distributions=table.distributions,
        values=[float(table.accuracy[row]), float(table.cost[row])],
    )


def _resident() -> float:
    return psutil.Process().memory_info().rss / 1e6


if __name__ == "__main__":
    main()
