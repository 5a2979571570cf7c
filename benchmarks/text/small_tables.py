"""Tables of words in few bytes on SMS spam: fewer words, factors and bits, each and together.

``python -m benchmarks.text.small_tables FOLDER`` trains the bag of words of ``families`` and
measures the files of its candidates before and after a recovery. Words count as ``words.txt`` does.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks.record import recorded
from benchmarks.text import families, sets
from compress import delivery, pipeline
from compress.evaluation import measure
from compress.network.network import Network
from compress.targets.onnxruntime import ONNXRUNTIME
from compress.tasks.formats.words import listed
from compress.tasks.registry import TASKS
from compress.techniques.candidate import Candidate
from compress.techniques.compressed import CompressedModel
from compress.techniques.low_rank.config import LowRank
from compress.techniques.quantization.config import Quantization
from compress.techniques.registry import TechniqueConfig
from compress.techniques.vocabulary_pruning.config import Rule, VocabularyPruning
from compress.training.context import TrialContext

_QUESTION = "How few bytes, words counted, tell spam as well as the whole table does?"
_SEEDS = (0, 1, 2)
_RUN = families.RUNS[0]
_WIDTH = 64
_IMAGES = 2_000


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What is done to the table; 0 for a rank and 32 bits leave it as it is."""

    keep: float = 1.0
    rule: Rule = "effect"
    rank: int = 0
    bits: int = 32

    def steps(self, words: int) -> tuple[TechniqueConfig, ...]:
        """Return the steps of a candidate for a table of so many words."""
        pruning = VocabularyPruning(keep=self.keep, rule=self.rule)
        kept = pruning.num_kept(words)
        share = 1.001 * self.rank * (kept + _WIDTH) / (kept * _WIDTH)
        factors = LowRank(energy=1, size_ratio=share, calibration_images=_IMAGES) if share else None
        few = Quantization(weight_bits=self.bits, edges_8bit=False, activations="float")
        found = (pruning if self.keep < 1 else None, factors, few if self.bits < 32 else None)
        return tuple(step for step in found if step is not None)


SETTINGS = (
    Setting(bits=4),
    Setting(bits=2),
    Setting(rank=1, bits=4),
    Setting(keep=0.25, rank=2, bits=4),
    Setting(keep=0.25, rule="frequency", rank=4, bits=4),
    Setting(keep=0.12, rule="frequency", rank=3, bits=4),
    Setting(keep=0.1, rank=2, bits=4),
    Setting(keep=0.1, rule="frequency", rank=2, bits=4),
)


def main() -> None:
    """Measure every setting with every seed, and print a row for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(_SEEDS))
    parser.add_argument("--epochs", type=int, default=3, help="of the recovery")
    given = parser.parse_args()
    torch.set_num_threads(1)
    texts = sets.sms_words(given.folder)
    with recorded("text/small_tables", _QUESTION, seeds=tuple(given.seeds)) as table:
        for seed in given.seeds:
            context, network = _trained(given.folder, seed)
            for setting in SETTINGS:
                row = measured(setting, network, context, texts, epochs=given.epochs)
                print(seed, row, flush=True)
                table.add({"seed": seed, **row})


def _trained(folder: Path, seed: int) -> tuple[TrialContext, Network]:
    found = _RUN.read(folder)
    data = families.data_of(found, _RUN.dev)
    task = TASKS[_RUN.task].of(data)
    context = TrialContext(data=data, device=torch.device("cpu"), seed=seed, task=task)
    fresh = families.network_of(_RUN, found, data, seed)
    return context, pipeline.train_baseline(
        fresh, epochs=_RUN.epochs, context=context, augment="none"
    )


def measured(
    setting: Setting,
    network: Network,
    context: TrialContext,
    texts: Sequence[str],
    *,
    epochs: int,
) -> dict[str, str | int | float | None]:
    """Return bytes and accuracy of one candidate, as it is applied and recovered."""
    candidate = Candidate(steps=setting.steps(len(texts)))
    applied = pipeline.start(network, candidate, context)
    before, _ = _file(applied, context, texts)
    after, sizes = _file(pipeline.recover(applied, context, epochs=epochs), context, texts)
    return {
        "keep": setting.keep,
        "rule": setting.rule if setting.keep < 1 else None,
        "rank": setting.rank or None,
        "bits": setting.bits,
        "applied": before,
        "recovered": after,
        "network_bytes": sizes[0],
        "words_bytes": sizes[1],
    }


def _file(
    compressed: CompressedModel, context: TrialContext, texts: Sequence[str]
) -> tuple[float | None, tuple[int, int]]:
    with tempfile.TemporaryDirectory() as scratch:
        artifact = delivery.write(
            compressed, Path(scratch), target=ONNXRUNTIME, data=context.data, task=context.task
        )
        figures = measure.on_split(
            artifact.path,
            context.data,
            "test",
            task=context.task,
            threads=1,
            signature=compressed.network.ports,
        )
    return figures.accuracy, (artifact.size_bytes, len(listed(texts, artifact.kept_words)))


if __name__ == "__main__":
    main()
