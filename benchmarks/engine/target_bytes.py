"""Bytes of the published ResNet-20 under every target, beside those of an earlier version's files.

``python -m benchmarks target_bytes``. Nothing is trained. ``BEFORE`` is what the code of commit
003daaa wrote for the same candidates: the smallest files that there were for the newest ONNX
Runtime alone, before there were targets.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

import torch
import zstandard

from benchmarks.data import cifar
from benchmarks.record import Table, keeps
from compress import pipeline
from compress.conversion import convert
from compress.export import writer
from compress.targets.registry import PROVEN
from compress.tasks.kinds.image_classification.task import IMAGE_CLASSIFICATION
from compress.techniques.candidate import Candidate
from compress.training.context import TrialContext

MOST = 1.08
"""How many times the bytes of ``BEFORE`` a portable file may take."""
_LEVEL = 19
_ZEROS = {"technique": "sparsity", "sparsity": 0.6}


def _bits(number: int) -> dict[str, object]:
    return {"technique": "quantization", "weight_bits": number}


CANDIDATES: Mapping[str, list[dict[str, object]]] = {
    **{f"{bits} bits": [_bits(bits)] for bits in (8, 4, 3, 2)},
    "60 % zeros": [_ZEROS],
    "60 % zeros, 8 bits": [_ZEROS, _bits(8)],
    "60 % zeros, 4 bits": [_ZEROS, _bits(4)],
}
BEFORE = {
    "8 bits": 255_950,
    "4 bits": 126_357,
    "3 bits": 93_591,
    "2 bits": 59_704,
    "60 % zeros": 468_767,
    "60 % zeros, 8 bits": 142_423,
    "60 % zeros, 4 bits": 87_434,
}


@keeps(
    "engine/target_bytes",
    "How many bytes is the published ResNet-20 under every target (zstd 19 in brackets)?",
    seeds=(0,),
)
def main(table: Table) -> None:
    """Print a row per candidate. Raises SystemExit if a portable file is too large."""
    torch.set_num_threads(1)
    data = cifar.images(train_images=10_000)
    context = TrialContext(data=data, device=torch.device("cpu"), seed=0, task=IMAGE_CLASSIFICATION)
    factors: dict[str, float] = {}
    for name, steps in CANDIDATES.items():
        forms = _forms(Candidate.model_validate({"steps": steps}), context)
        factors[name] = len(forms["portable"]) / BEFORE[name]
        sizes = {target: f"{len(file):,} ({_zstd(file):,})" for target, file in forms.items()}
        row = {
            "candidate": name,
            "003daaa": BEFORE[name],
            **sizes,
            "portable / 003daaa": round(factors[name], 4),
        }
        print("; ".join(f"{column} {cell}" for column, cell in row.items()), flush=True)
        table.add(row)
    for name, factor in factors.items():
        if factor > MOST:
            raise SystemExit(f"{name}: the portable file takes {factor:.3f} of what 003daaa wrote")


def _forms(candidate: Candidate, context: TrialContext) -> dict[str, bytes]:
    """The candidate's file, untrained, in the form of every target."""
    made = pipeline.start(cifar.network(), candidate, context)
    with tempfile.TemporaryDirectory() as folder:
        artifact = writer.write(made, Path(folder), data=context.data, task=IMAGE_CLASSIFICATION)
        measured = artifact.path.read_bytes()
    return {target.name: convert.convert(measured, target) for target in PROVEN}


def _zstd(file: bytes) -> int:
    return len(zstandard.ZstdCompressor(level=_LEVEL).compress(file))


if __name__ == "__main__":
    main()
