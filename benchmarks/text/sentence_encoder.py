"""A network of sentences that people ship, compressed by its own answers, beside onnxruntime.

``python -m benchmarks.text.sentence_encoder NET.onnx IDS.npz`` takes an encoder with the inputs
``input_ids`` and ``attention_mask`` that answers one embedding, such as all-MiniLM-L6-v2 with its
mean pooled, and ids of its own tokenizer: ``x_train``, ``x_validation``, and ``x_test``, whose
first half are one side of pairs and the second half the other.

Legend: N sentences, L ids, D numbers of an embedding.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from onnxruntime.quantization import QuantType, quantize_dynamic

from benchmarks.record import recorded
from compress import delivery, pipeline
from compress.evaluation import runtime
from compress.network.network import Network
from compress.network.sources import onnx
from compress.targets.onnxruntime import ONNXRUNTIME
from compress.tasks.images import ImageData, Images
from compress.tasks.kinds.regression import spearman
from compress.tasks.kinds.unlabelled import Unlabelled
from compress.techniques.candidate import Candidate
from compress.techniques.quantization.config import Quantization
from compress.techniques.registry import TechniqueConfig
from compress.techniques.vocabulary_pruning.config import VocabularyPruning
from compress.training import references
from compress.training.context import TrialContext

_QUESTION = "How near is a smaller file to the sentence encoder that it was made of?"
_CPU = torch.device("cpu")
_UNKNOWN = 100
"""Of BERT's vocabularies."""
_WORDS = "m.embeddings.word_embeddings"


def _bits(bits: int, *, rounding: str = "gptq", **fields: object) -> TechniqueConfig:
    given = {"weight_bits": bits, "rounding": rounding, "activations": "float"}
    return Quantization.model_validate({**given, "edges_8bit": False, **fields})


CANDIDATES: Mapping[str, tuple[TechniqueConfig, ...]] = {
    "8 bits": (_bits(8, rounding="nearest"),),
    "4 bits": (_bits(4),),
    "40 % of words, 4 bits in groups of 32, words in 8": (
        VocabularyPruning(keep=0.4, rule="frequency", unknown=_UNKNOWN),
        _bits(4, granularity="group", layer_bits=f"{_WORDS}=8"),
    ),
    "40 % of words, 4 bits": (
        VocabularyPruning(keep=0.4, rule="frequency", unknown=_UNKNOWN),
        _bits(4),
    ),
}


@dataclass(frozen=True, kw_only=True)
class Judge:
    """What answers are compared with: those of the whole network on sentences nobody saw."""

    sentences: torch.Tensor
    own: NDArray[np.float32]
    network: Network

    def figures(self, path: Path) -> dict[str, float]:
        """Return mean cosine, and the rank correlation of the pairs' similarities."""
        opened = runtime.session(path)
        said_ND = runtime.answers(opened, self.sentences, signature=self.network.signature)
        half = len(said_ND) // 2
        ranks = [_cosines(found[:half], found[half:])[:, None] for found in (said_ND, self.own)]
        return {
            "bytes": path.stat().st_size,
            "cosine": round(float(_cosines(said_ND, self.own).mean()), 4),
            "spearman": round(spearman(*ranks), 4),
        }


def main() -> None:
    """Write every file, and print a row for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("network", type=Path)
    parser.add_argument("ids", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    context, network, judge = _read(given.network, given.ids)
    with recorded("text/sentence_encoder", _QUESTION, seeds=(0,)) as table:
        for name, steps in CANDIDATES.items():
            table.add(_candidate(name, steps, context, network, judge))
        table.add(_dynamic(given.network, judge))


def _read(path: Path, ids: Path) -> tuple[TrialContext, Network, Judge]:
    arrays = np.load(ids)
    train, validation, test = (
        Images(x_NCHW=torch.from_numpy(x), y_N=torch.empty(len(x), 0))
        for x in (arrays["x_train"], arrays["x_validation"], arrays["x_test"])
    )
    length = train.x_NCHW.shape[1]
    network = onnx.load(path, input_shape=(length,), num_classes=None)
    data = ImageData(train=train, validation=validation, test=test, num_classes=0)
    data = references.answered(data, network, device=_CPU)
    task = Unlabelled.fitted(network.signature, {})
    context = TrialContext(data=data, device=_CPU, seed=0, task=task, teacher=network)
    assert data.test is not None
    judge = Judge(sentences=data.test.x_NCHW, own=data.test.y_N.numpy(), network=network)
    return context, network, judge


def _candidate(
    name: str,
    steps: tuple[TechniqueConfig, ...],
    context: TrialContext,
    network: Network,
    judge: Judge,
) -> dict[str, str | float]:
    begun = time.process_time()
    made = pipeline.start(network, Candidate(steps=steps), context)
    with tempfile.TemporaryDirectory() as scratch:
        file = delivery.write(
            made, Path(scratch), target=ONNXRUNTIME, data=context.data, task=context.task
        )
        row = {"file": name, **judge.figures(file.path)}
    row |= {"cpu_s": round(time.process_time() - begun), "most_mib": _most_mib()}
    print(row, flush=True)
    return row


def _dynamic(path: Path, judge: Judge) -> dict[str, str | float]:
    with tempfile.TemporaryDirectory() as scratch:
        made = Path(scratch) / "dynamic.onnx"
        quantize_dynamic(path, made, per_channel=True, weight_type=QuantType.QInt8)
        row = {"file": "onnxruntime, dynamic int8 per channel", **judge.figures(made)}
    print(row, flush=True)
    return row


def _most_mib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def _cosines(one_ND: NDArray[np.float32], two_ND: NDArray[np.float32]) -> NDArray[np.float64]:
    wide_ND, other_ND = one_ND.astype(np.float64), two_ND.astype(np.float64)
    sizes_N = np.linalg.norm(wide_ND, axis=1) * np.linalg.norm(other_ND, axis=1)
    return (wide_ND * other_ND).sum(axis=1) / sizes_N


if __name__ == "__main__":
    main()
