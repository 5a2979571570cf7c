"""Which words to keep: the rules of vocabulary pruning on SMS spam, beside fastText's cutoff.

``python -m benchmarks.text.vocabulary FOLDER`` trains a word bag of 64 numbers a word, takes words
out by every rule (``norm`` is that of ``fasttext quantize -cutoff``) and measures the files that it
writes, before any training and after one epoch. ``FOLDER`` has the sets (``benchmarks.text.sets``).
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import torch

from benchmarks.record import recorded
from benchmarks.text import sets
from benchmarks.text.families import RUNS, data_of, network_of
from compress import delivery, pipeline
from compress.evaluation import measure
from compress.network.network import Network
from compress.targets.onnxruntime import ONNXRUNTIME
from compress.tasks.registry import TASKS
from compress.techniques.candidate import Candidate
from compress.techniques.compressed import CompressedModel
from compress.techniques.filter_pruning.config import FilterPruning
from compress.techniques.quantization.config import Quantization
from compress.techniques.registry import TechniqueConfig
from compress.techniques.training.distillation.config import Distillation
from compress.techniques.vocabulary_pruning.config import VocabularyPruning
from compress.training.context import TrialContext

_QUESTION = "Which words should a table keep, and what do they cost together with few bits?"
_RULES = ("effect", "frequency", "gradient", "norm", "random")
_SHARES = (0.25, 0.1, 0.05, 0.02)
_SEEDS = (0, 1, 2)
_CPU = torch.device("cpu")
_TWO_BITS = Quantization(weight_bits=2, activations="float", edges_8bit=False, scale_bits=16)
_NARROW = FilterPruning(scope="uniform", ratio=0.75)
_TAUGHT = Distillation(weight=1.0, temperature=2.0)
SMALL: tuple[tuple[TechniqueConfig, ...], ...] = (
    (VocabularyPruning(keep=0.25), _TAUGHT, _TWO_BITS),
    (VocabularyPruning(keep=0.1), _TAUGHT, _TWO_BITS),
    (VocabularyPruning(keep=0.1, rule="norm"), _TAUGHT, _TWO_BITS),
    (VocabularyPruning(keep=0.05), _TAUGHT, _TWO_BITS),
    (_NARROW, VocabularyPruning(keep=0.1), _TAUGHT, _TWO_BITS),
    (_NARROW, VocabularyPruning(keep=0.1, rule="frequency"), _TAUGHT, _TWO_BITS),
)
"""Few words in few bits, taught by the answers of the whole network alone."""


def main() -> None:
    """Train the word bag with every seed, compress it in every way, and print rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(_SEEDS))
    given = parser.parse_args()
    torch.set_num_threads(1)
    found = sets.sms(given.folder)
    data = data_of(found, "test")
    # What a recovery is kept by must not be what files are measured on.
    data = replace(data, validation=data.train)
    with recorded("text/vocabulary", _QUESTION, seeds=tuple(given.seeds)) as table:
        for seed in given.seeds:
            context = TrialContext(
                data=data, device=_CPU, seed=seed, task=TASKS["text_classification"].of(data)
            )
            network = pipeline.train_baseline(
                network_of(RUNS[0], found, data, seed), epochs=8, context=context, augment="none"
            )
            context = replace(context, teacher=network)
            for steps, epochs in _ways():
                row = _measured(network, steps, epochs, context)
                table.add({"seed": seed, **row})


def _ways() -> list[tuple[tuple[TechniqueConfig, ...], int]]:
    pruned = [(VocabularyPruning(keep=k, rule=r),) for r in _RULES for k in _SHARES]
    return [
        ((), 0),
        *((steps, epochs) for steps in pruned for epochs in (0, 1)),
        *((steps, epochs) for steps in SMALL for epochs in (8,)),
    ]


def _measured(
    network: Network, steps: tuple[TechniqueConfig, ...], epochs: int, context: TrialContext
) -> dict[str, str | int | float | None]:
    candidate = Candidate(steps=steps)
    made = pipeline.recover(pipeline.start(network, candidate, context), context, epochs=epochs)
    with tempfile.TemporaryDirectory() as scratch:
        return _row(candidate, epochs, made, Path(scratch), context)


def _row(
    candidate: Candidate, epochs: int, made: CompressedModel, scratch: Path, context: TrialContext
) -> dict[str, str | int | float | None]:
    artifact = delivery.write(
        made, scratch, target=ONNXRUNTIME, data=context.data, task=context.task
    )
    figures = measure.on_split(
        artifact.path,
        context.data,
        "test",
        task=context.task,
        threads=1,
        signature=made.network.ports,
    )
    row = {
        "candidate": candidate.describe(),
        "epochs": epochs,
        "accuracy": None if figures.accuracy is None else round(figures.accuracy, 4),
        **{name: round(value, 4) for name, value in figures.quality.items()},
        "parameters": artifact.parameters,
        "bytes": artifact.size_bytes,
    }
    print(row, flush=True)
    return row


if __name__ == "__main__":
    main()
