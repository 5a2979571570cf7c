"""Small files for texts: words, factors and bits together, chosen without a look at test.

``python -m benchmarks.text.marks FOLDER`` trains the families' networks with a tenth of the
training examples held out, which decides whether a recovery is kept. Test is opened once for each
file. Words count as one a line.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from benchmarks.record import recorded
from benchmarks.text import families
from benchmarks.text.families import RUNS, Run
from compress import delivery, pipeline
from compress.evaluation import measure
from compress.network.network import Network
from compress.targets.onnxruntime import ONNXRUNTIME
from compress.tasks.images import ImageData, Images
from compress.tasks.registry import TASKS
from compress.techniques.candidate import Candidate
from compress.techniques.low_rank.config import LowRank
from compress.techniques.quantization.config import Quantization
from compress.techniques.registry import TechniqueConfig
from compress.techniques.training.distillation.config import Distillation
from compress.techniques.vocabulary_pruning.config import VocabularyPruning
from compress.training.context import TrialContext

_QUESTION = "How small are files for texts that keep what is asked of them, words counted?"
_HELD = 10
_CPU = torch.device("cpu")


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A network, what is done to it, and the epochs of its recovery."""

    name: str
    run: Run
    steps: tuple[TechniqueConfig, ...]
    epochs: int


def _few_bits(bits: int) -> Quantization:
    return Quantization(weight_bits=bits, edges_8bit=False, activations="float")


def _kept(share: float) -> VocabularyPruning:
    return VocabularyPruning(keep=share, rule="frequency")


_BAG, _PAIRS, _TAGGER = RUNS[0], RUNS[2], RUNS[3]
_TAUGHT = Distillation(temperature=1, weight=0.5)
MARKS = (
    Mark(
        name="SMS spam, 12 % of words, rank 3, 4 bits",
        run=_BAG,
        steps=(
            _kept(0.12),
            LowRank(energy=1, size_ratio=0.051, calibration_images=2000),
            _TAUGHT,
            _few_bits(4),
        ),
        epochs=6,
    ),
    Mark(
        name="SMS spam, 25 % of words, 4 bits",
        run=_BAG,
        steps=(_kept(0.25), _TAUGHT, _few_bits(4)),
        epochs=3,
    ),
    Mark(
        name="SNLI, 25 % of words, 4 bits",
        run=_PAIRS,
        steps=(_kept(0.25), _TAUGHT, _few_bits(4)),
        epochs=3,
    ),
    Mark(
        name="WNUT17, 25 % of words, 4 bits",
        run=_TAGGER,
        steps=(_kept(0.25), _few_bits(4)),
        epochs=2,
    ),
)


def main() -> None:
    """Measure every mark with every seed, and print a row for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    given = parser.parse_args()
    torch.set_num_threads(1)
    with recorded("text/marks", _QUESTION, seeds=tuple(given.seeds)) as table:
        for run in (_BAG, _PAIRS, _TAGGER):
            for seed in given.seeds:
                for row in measured(run, given.folder, seed):
                    print(seed, row, flush=True)
                    table.add({"seed": seed, **row})


def measured(run: Run, folder: Path, seed: int) -> Sequence[Mapping[str, str | int | float]]:
    """Return bytes and the primary metric on test, of the whole network and of each mark."""
    found = run.read(folder)
    data = held_out(families.data_of(found, run.dev))
    task = TASKS[run.task].of(data)
    context = TrialContext(data=data, device=_CPU, seed=seed, task=task)
    fresh = families.network_of(run, found, data, seed)
    network = pipeline.train_baseline(fresh, epochs=run.epochs, context=context, augment="none")
    context = replace(context, teacher=network)
    rows = [_row("whole", network, (), context, epochs=0)]
    for mark in MARKS:
        if mark.run is run:
            rows.append(_row(mark.name, network, mark.steps, context, epochs=mark.epochs))
    return rows


def held_out(data: ImageData) -> ImageData:
    """Return the data with every tenth training example as validation."""

    def chosen(is_held: bool) -> Images:
        places = torch.arange(len(data.train))
        rows = places[(places % _HELD == 0) == is_held]
        return Images(x_NCHW=data.train.x_NCHW[rows], y_N=data.train.y_N[rows])

    return replace(data, train=chosen(False), validation=chosen(True))


def _row(
    name: str,
    network: Network,
    steps: tuple[TechniqueConfig, ...],
    context: TrialContext,
    *,
    epochs: int,
) -> Mapping[str, str | int | float]:
    made = pipeline.start(network, Candidate(steps=steps), context)
    made = pipeline.recover(made, context, epochs=epochs)
    with tempfile.TemporaryDirectory() as scratch:
        file = delivery.write(
            made, Path(scratch), target=ONNXRUNTIME, data=context.data, task=context.task
        )
        figures = measure.on_split(
            file.path,
            context.data,
            "test",
            task=context.task,
            signature=made.network.ports,
        )
    quality = figures.accuracy
    if quality is None:
        quality = figures.quality[context.task.primary]
    return {"file": name, "network_bytes": file.size_bytes, context.task.primary: quality}


if __name__ == "__main__":
    main()
