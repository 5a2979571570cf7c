"""Inherited accuracy of cells against their published one, on CIFAR-10.

The table is a csv file with the columns ``cell``, written as NAS-Bench-201 does
(``|nor_conv_3x3~0|+|none~0|...``), and ``accuracy``, such as that on test after 200 epochs. It
takes hours on two cores at sizes that say something.
"""

from __future__ import annotations

import csv
import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from benchmarks.data import cifar
from benchmarks.record import Table, keeps
from compress.network.families.nasbench201.config import NasBench201
from compress.network.member import OPERATIONS
from compress.network.supernet import extraction
from compress.network.supernet.config import Elastic
from compress.supernet import start
from compress.supernet import training as supernet
from compress.tasks.kinds.image_classification.task import IMAGE_CLASSIFICATION
from compress.training import batchnorm, loop
from compress.training.context import TrialContext

CPU = torch.device("cpu")
_LARGEST = NasBench201(channels=16, cells=(5, 5, 5))
Correlation = Callable[[Sequence[float], Sequence[float]], tuple[float, float]]


@keeps(
    "data/published_cells",
    "Does a supernet of cells rank them as their published accuracies do?",
    seeds=(0,),
)
def report(
    kept: Table,
    table: Path,
    correlation: Correlation,
    *,
    members: int,
    epochs: int,
    train_images: int,
) -> None:
    """Train one supernet of cells, and print how it ranks ``members`` random rows of the table."""
    context = TrialContext(
        data=cifar.images(train_images=train_images), device=CPU, seed=0, task=IMAGE_CLASSIFICATION
    )
    elastic = Elastic(operations=(OPERATIONS,) * 6)
    fresh = start.begin(None, _LARGEST, context, elastic)
    began = time.perf_counter()
    shared, _ = supernet.train(fresh, elastic, context, epochs=(0, epochs), of=epochs)
    print(f"supernet: {time.perf_counter() - began:.0f} s")
    inherited, published = [], []
    for text, accuracy in random.Random(0).sample(_rows(table), members):
        cell = NasBench201.model_validate({"cell": text}).cell
        part = extraction.extract(shared, _LARGEST.model_copy(update={"cell": cell}))
        part = batchnorm.reestimate(part, context.data.train, device=CPU, task=IMAGE_CLASSIFICATION)
        inherited.append(
            loop.evaluate(part, context.data.validation, CPU, task=IMAGE_CLASSIFICATION)
        )
        published.append(accuracy)
        print(f"  {text} inherited {inherited[-1]:.4f} published {accuracy:g}", flush=True)
    kendall, spearman = correlation(inherited, published)
    kept.add({"cells": members, "Kendall's tau": kendall, "Spearman's rho": spearman})
    print(f"  Kendall's tau {kendall:.3f}, Spearman's rho {spearman:.3f}, {members} cells")


def _rows(table: Path) -> list[tuple[str, float]]:
    with table.open(newline="") as file:
        return [(row["cell"], float(row["accuracy"])) for row in csv.DictReader(file)]
