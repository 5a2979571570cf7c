"""Shared weights against members trained alone: whether they rank alike, and what each costs.

``python -m benchmarks supernet`` runs digits, and Fashion-MNIST where it is there; ``python -m
benchmarks.engine.supernet --help`` says what can be asked for. A member *inherits* its slice of a
supernet with BatchNorm measured anew, or is trained *alone* from fresh weights. Inherited accuracy
is that on validation, as a search sees it; alone it is that on test, so that the two share no
images.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from scipy import stats

from benchmarks.data import published_cells, small_images
from benchmarks.record import Cell, Table, recorded
from compress.evaluation import measure
from compress.export import writer
from compress.network.families import layout
from compress.network.families.catalog import Architecture
from compress.network.families.mobilenet_v2.config import MobileNetV2
from compress.network.families.nasbench201.config import NasBench201
from compress.network.families.network import build
from compress.network.families.residual.config import Residual
from compress.network.member import OPERATIONS
from compress.network.network import Network
from compress.network.supernet import extraction
from compress.network.supernet.config import Elastic
from compress.network.supernet.draw import Draw
from compress.supernet import start
from compress.supernet import training as supernet
from compress.tasks.images import ImageData
from compress.tasks.kinds.image_classification.task import IMAGE_CLASSIFICATION
from compress.techniques.compressed import CompressedModel
from compress.training import batchnorm, loop
from compress.training.context import TrialContext
from compress.training.loop import TrainingPlan

CPU = torch.device("cpu")
SPACES: dict[str, tuple[Architecture, Elastic]] = {
    "residual": (
        Residual(widths=(8, 16, 32), depths=(2, 2, 2)),
        Elastic(widths=(0.25, 0.5, 0.75, 1.0), depths=(1, 2)),
    ),
    "mobilenet_v2": (
        MobileNetV2(width=0.25, depths=(1, 2, 2, 1, 1, 1, 1), stem_stride=1, kernel=5),
        Elastic(widths=(0.5, 1.0), depths=(1, 2), kernels=(3, 5), expansions=(0.5, 1.0)),
    ),
    "cells": (
        NasBench201(channels=8, cells=(1, 1, 1)),
        Elastic(operations=(OPERATIONS,) * 6),
    ),
}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What is run: every seed trains one supernet and ``members`` members alone."""

    data: str
    space: str
    seeds: int = 3
    members: int = 12
    epochs: int = 8
    supernet_epochs: int = 16
    train_images: int = 6_000


@dataclass(frozen=True, kw_only=True)
class Row:
    """A member: multiply-accumulates, accuracies (0 to 1), and seconds."""

    macs: int
    inherited: float
    alone: float
    evaluate_seconds: float
    alone_seconds: float


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One seed; ``file_seconds`` is what writing and measuring the file of a member takes."""

    supernet_seconds: float
    file_seconds: float
    rows: tuple[Row, ...]


def main() -> None:
    """What takes minutes on two cores: digits, and Fashion-MNIST where it is there."""
    with _recorded(3) as table:
        report(table, Settings(data="digits", space="residual"))
        if small_images.has_fashion():
            report(table, Settings(data="fashion", space="residual", seeds=2, members=8, epochs=4))


def _recorded(seeds: int) -> AbstractContextManager[Table]:
    question = "Are members of a supernet ranked as if they were trained alone?"
    return recorded("engine/supernet", question, seeds=range(seeds))


def report(table: Table, settings: Settings) -> None:
    """Run every seed and print what they say, mean and deviation over the seeds."""
    data = _data(settings)
    print(f"{settings}", flush=True)
    outcomes = [_outcome(settings, data, seed) for seed in range(settings.seeds)]
    cells: dict[str, Cell] = {}
    for name, of in FIGURES.items():
        values = np.array([of(outcome, settings) for outcome in outcomes])
        spread = f" +- {values.std(ddof=1):.3f}" if len(values) > 1 else ""
        print(f"  {name:66} {values.mean():8.3f}{spread}", flush=True)
        cells[name] = f"{values.mean():.3f}{spread}"
    table.add({"data, space": f"{settings.data}, {settings.space}", **cells})


def _outcome(settings: Settings, data: ImageData, seed: int) -> Outcome:
    architecture, elastic = SPACES[settings.space]
    context = TrialContext(data=data, device=CPU, seed=seed, task=IMAGE_CLASSIFICATION)
    fresh = start.begin(None, architecture, context, elastic)
    began = time.perf_counter()
    epochs = settings.supernet_epochs
    shared, _ = supernet.train(fresh, elastic, context, epochs=(0, epochs), of=epochs)
    supernet_seconds = time.perf_counter() - began
    members = _members(settings, seed)
    rows = tuple(_row(shared, member, context, settings.epochs) for member in members)
    for row in rows:
        print(f"    seed {seed} {row}", flush=True)
    return Outcome(
        supernet_seconds=supernet_seconds,
        file_seconds=_file_seconds(extraction.extract(shared, members[-1]), data),
        rows=rows,
    )


def _members(settings: Settings, seed: int) -> list[Architecture]:
    """Different ones: the largest and the smallest of a space of sizes, and random ones."""
    architecture, elastic = SPACES[settings.space]
    draw = Draw(elastic, architecture, seed=seed)
    sizes = [] if elastic.operations else [architecture, draw.smallest]
    found: dict[Architecture, None] = dict.fromkeys(sizes)
    count = min(settings.members, elastic.num_shapes)
    while len(found) < count:
        found[draw.next()] = None
    return list(found)


def _row(shared: Network, member: Architecture, context: TrialContext, epochs: int) -> Row:
    data = context.data
    began = time.perf_counter()
    part = batchnorm.reestimate(
        extraction.extract(shared, member), data.train, device=CPU, task=IMAGE_CLASSIFICATION
    )
    inherited = loop.evaluate(part, data.validation, CPU, task=IMAGE_CLASSIFICATION)
    evaluated = time.perf_counter()
    channels, height, width = data.input_shape
    fresh = build(member, in_channels=channels, num_classes=data.num_classes, seed=context.seed)
    plan = TrainingPlan(epochs=epochs, seed=context.seed, batch_size=context.batch_size)
    network, fit = loop.fit(
        replace(shared, module=fresh), data.train, plan, device=CPU, task=IMAGE_CLASSIFICATION
    )
    assert data.test is not None
    return Row(
        macs=layout.macs(
            member,
            in_channels=channels,
            num_classes=data.num_classes,
            height=height,
            width=width,
        ),
        inherited=inherited,
        alone=loop.evaluate(network, data.test, CPU, task=IMAGE_CLASSIFICATION),
        evaluate_seconds=evaluated - began,
        alone_seconds=fit.seconds,
    )


def _file_seconds(part: Network, data: ImageData) -> float:
    """What a candidate costs on top: its file written, proven and measured."""
    with tempfile.TemporaryDirectory() as name:
        began = time.perf_counter()
        artifact = writer.write(
            CompressedModel(network=part), Path(name), data=data, task=IMAGE_CLASSIFICATION
        )
        measure.run(artifact, data, splits=("validation",), task=IMAGE_CLASSIFICATION)
        return time.perf_counter() - began


def _kendall(outcome: Outcome, settings: Settings) -> float:
    return rank_correlation(
        [row.inherited for row in outcome.rows], [row.alone for row in outcome.rows]
    )[0]


def _spearman(outcome: Outcome, settings: Settings) -> float:
    return rank_correlation(
        [row.inherited for row in outcome.rows], [row.alone for row in outcome.rows]
    )[1]


def _kendall_of_macs(outcome: Outcome, settings: Settings) -> float:
    macs = [float(row.macs) for row in outcome.rows]
    return rank_correlation(macs, [row.alone for row in outcome.rows])[0]


def rank_correlation(one: Sequence[float], other: Sequence[float]) -> tuple[float, float]:
    """Kendall's tau (b, with ties) and Spearman's rho, each -1 to 1."""
    kendall = stats.kendalltau(one, other).statistic  # pyright: ignore[reportAttributeAccessIssue]
    spearman = stats.spearmanr(one, other).statistic  # pyright: ignore[reportAttributeAccessIssue]
    return float(kendall), float(spearman)


def _with_supernet(outcome: Outcome, settings: Settings) -> float:
    return _all_seconds(outcome) / len(outcome.rows)


def _evaluation(outcome: Outcome, settings: Settings) -> float:
    return float(np.mean([row.evaluate_seconds for row in outcome.rows]))


def _alone(outcome: Outcome, settings: Settings) -> float:
    return float(np.mean([row.alone_seconds for row in outcome.rows]))


def _over_one_epoch(outcome: Outcome, settings: Settings) -> float:
    return _evaluation(outcome, settings) / (_alone(outcome, settings) / settings.epochs)


def _all_seconds(outcome: Outcome) -> float:
    return outcome.supernet_seconds + sum(row.evaluate_seconds for row in outcome.rows)


def _front_inherited(outcome: Outcome, settings: Settings) -> float:
    most = max(row.macs for row in outcome.rows)
    return front_area([(row.macs / most, row.inherited) for row in outcome.rows])


def _front_alone(outcome: Outcome, settings: Settings) -> float:
    """Of the members that can be trained alone while the supernet and all its members are."""
    most = max(row.macs for row in outcome.rows)
    spent, points = 0.0, []
    for row in outcome.rows:
        spent += row.alone_seconds
        if spent > _all_seconds(outcome):
            break
        points.append((row.macs / most, row.alone))
    return front_area(points)


def front_area(points: Sequence[tuple[float, float]]) -> float:
    """Best accuracy (0 to 1) at a budget of multiply-accumulates, mean over all budgets (0 to 1).

    A budget that no member meets counts as 0.
    """
    area, best, last = 0.0, 0.0, 0.0
    for macs, accuracy in sorted(points):
        area += best * (macs - last)
        best, last = max(best, accuracy), macs
    return area + best * (1 - last)


def _break_even(outcome: Outcome, settings: Settings) -> float:
    saved = _alone(outcome, settings) - _evaluation(outcome, settings)
    return outcome.supernet_seconds / saved


FIGURES: dict[str, Callable[[Outcome, Settings], float]] = {
    "Kendall's tau, inherited and alone": _kendall,
    "Spearman's rho, inherited and alone": _spearman,
    "Kendall's tau, multiply-accumulates and alone": _kendall_of_macs,
    "seconds of training the supernet": lambda outcome, _: outcome.supernet_seconds,
    "seconds per architecture, supernet's training shared among them": _with_supernet,
    "seconds per architecture, trained alone": _alone,
    "architectures from which on the supernet is the cheaper": _break_even,
    "seconds of slice, BatchNorm and accuracy of a member": _evaluation,
    "the same over one epoch alone": _over_one_epoch,
    "seconds of a member's file, written and measured": lambda outcome, _: outcome.file_seconds,
    "area under the front, supernet": _front_inherited,
    "area under the front, members alone in the same seconds": _front_alone,
}


def _data(settings: Settings) -> ImageData:
    if settings.data == "digits":
        return small_images.digits()
    return small_images.fashion(train_images=settings.train_images)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", choices=["digits", "fashion"], default="digits")
    parser.add_argument("--space", choices=list(SPACES), default="residual")
    for name in ("seeds", "members", "epochs", "supernet_epochs", "train_images"):
        default = getattr(Settings(data="", space=""), name)
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=default)
    parser.add_argument("--table", type=Path, help="published accuracies: see published_cells.py")
    return parser.parse_args()


if __name__ == "__main__":
    options = vars(_options())
    table = options.pop("table")
    settings = Settings(**options)
    if table is None:
        with _recorded(settings.seeds) as rows:
            report(rows, settings)
    else:
        published_cells.report(
            table,
            rank_correlation,
            members=settings.members,
            epochs=settings.supernet_epochs,
            train_images=settings.train_images,
        )
