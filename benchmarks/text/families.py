"""Drawn families on open data: SMS spam, pairs of SNLI, entities of WNUT17.

``python -m benchmarks.text.families FOLDER`` trains each by the engine's own baseline training and
measures the ONNX file that it writes. ``FOLDER`` has the sets (``benchmarks.text.sets``).
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks.record import recorded
from benchmarks.text import sets
from benchmarks.text.sets import TextSet
from compress import delivery, pipeline
from compress.evaluation import measure
from compress.network.families.drawn import catalog
from compress.network.families.drawn.catalog import DrawnArchitecture
from compress.network.families.drawn.feature_tagger import FeatureTagger
from compress.network.families.drawn.recurrent_tagger import RecurrentTagger
from compress.network.families.drawn.siamese_bag import SiameseBag
from compress.network.families.drawn.text_cnn import TextCnn
from compress.network.families.drawn.word_bag import WordBag
from compress.network.network import Network
from compress.network.preprocessing import Normalisation
from compress.network.signature import Examples
from compress.network.sources import family
from compress.targets.onnxruntime import ONNXRUNTIME
from compress.tasks.images import ImageData, Images
from compress.tasks.names import TaskName
from compress.tasks.registry import TASKS
from compress.techniques.compressed import CompressedModel
from compress.training.context import TrialContext

_QUESTION = "What do the families for text reach on open data, with nothing compressed?"
_SEEDS = (0, 1, 2)
_CPU = torch.device("cpu")


@dataclass(frozen=True, kw_only=True)
class Run:
    """A network on a set, and the epochs of its training; ``dev`` names the validation split."""

    network: DrawnArchitecture
    task: TaskName
    read: Callable[[Path], TextSet]
    epochs: int
    dev: str = "test"


def _words(folder: Path) -> TextSet:
    """Entities of WNUT17 by the words alone."""
    whole = sets.wnut(folder)
    x = {split: found[:, 0] for split, found in whole.x.items()}
    return TextSet(x=x, y=whole.y, words=whole.words[:1], classes=whole.classes)


RUNS = (
    Run(network=WordBag(), task="text_classification", read=sets.sms, epochs=8),
    Run(network=TextCnn(), task="text_classification", read=sets.sms, epochs=4),
    Run(network=SiameseBag(), task="text_matching", read=sets.snli, epochs=8),
    Run(network=FeatureTagger(), task="sequence_labelling", read=sets.wnut, epochs=6, dev="dev"),
    Run(network=RecurrentTagger(), task="sequence_labelling", read=_words, epochs=6, dev="dev"),
)


def main() -> None:
    """Train every network with every seed, and print a row for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(_SEEDS))
    given = parser.parse_args()
    torch.set_num_threads(1)
    with recorded("text/families", _QUESTION, seeds=tuple(given.seeds)) as table:
        for run in RUNS:
            for seed in given.seeds:
                table.add(measured(run, given.folder, seed))


def measured(run: Run, folder: Path, seed: int) -> dict[str, str | int | float | None]:
    """Train one network, write its file, and measure that."""
    found = run.read(folder)
    data = data_of(found, run.dev)
    context = TrialContext(data=data, device=_CPU, seed=seed, task=TASKS[run.task].of(data))
    begun = time.process_time()
    network = pipeline.train_baseline(
        network_of(run, found, data, seed), epochs=run.epochs, context=context, augment="none"
    )
    spent = time.process_time() - begun
    with tempfile.TemporaryDirectory() as scratch:
        artifact = delivery.write(
            CompressedModel(network=network),
            Path(scratch),
            target=ONNXRUNTIME,
            data=data,
            task=context.task,
        )
        figures = measure.on_split(
            artifact.path, data, "test", task=context.task, threads=1, signature=network.ports
        )
    print(run.network.family, seed, figures, artifact.size_bytes, f"{spent:.1f} s", flush=True)
    return {
        "family": run.network.family,
        "task": run.task,
        "seed": seed,
        "accuracy": None if figures.accuracy is None else round(figures.accuracy, 4),
        **{name: round(value, 4) for name, value in figures.quality.items()},
        "parameters": artifact.parameters,
        "bytes": artifact.size_bytes,
        "train_cpu_s": round(spent, 1),
    }


def data_of(found: TextSet, dev: str) -> ImageData:
    images = {
        split: Images(
            x_NCHW=torch.from_numpy(found.x[split]).float(), y_N=torch.from_numpy(found.y[split])
        )
        for split in ("train", dev, "test")
    }
    return ImageData(
        train=images["train"],
        validation=images[dev],
        test=images["test"],
        num_classes=len(found.classes),
        class_names=found.classes,
    )


def network_of(run: Run, found: TextSet, data: ImageData, seed: int) -> Network:
    examples = Examples(task=run.task, input_shape=data.input_shape, words=found.words)
    return family.fresh(
        catalog.fitted(run.network, examples),
        normalisation=Normalisation.identity_of(data.input_shape),
        input_shape=data.input_shape,
        num_classes=data.num_classes,
        seed=seed,
    )


if __name__ == "__main__":
    main()
