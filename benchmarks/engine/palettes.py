"""The published CIFAR-10 ResNet-20 with palettes: frozen, trained and reclustered centroids.

``python -m benchmarks palettes``. First the files without training, then after recoveries of 156
steps (one epoch of 10,000 images) at the usual rate; frozen, trained and reclustered centroids see
the same batches. ``python -m benchmarks.engine.palettes --help`` says how to run parts of it.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.data import cifar
from benchmarks.record import Table, recorded
from compress import pipeline
from compress.export import writer
from compress.network import layers
from compress.tasks.images import Images
from compress.tasks.kinds.image_classification.task import IMAGE_CLASSIFICATION
from compress.techniques.candidate import Candidate
from compress.techniques.compressed import CompressedModel
from compress.training import constraints, loop
from compress.training.context import TrialContext
from compress.values.schedule import Schedule

_TRAIN_IMAGES = 10_000
_BITS = (4, 3, 2)
_SEEDS = (0, 1, 2)
_CENTROIDS = ("frozen", "trained", "reclustered")
_QUESTION = "What is ResNet-20 worth with palettes, before and after a recovery?"


def main() -> None:
    """The table without training, then the table of recoveries."""
    torch.set_num_threads(1)
    with recorded("engine/palettes", _QUESTION, seeds=_SEEDS) as table:
        untrained(table)
        recovered(table, bits=_BITS, centroids=_CENTROIDS, seeds=_SEEDS, epochs=1, rate=0.02)


def untrained(table: Table) -> None:
    """Bytes, error of the weights, and accuracy by what shares a scale, for 8 bits down to 1."""
    context = _context(0)
    print("bits      bytes   error   channel   layer  channel by activation", flush=True)
    for bits in (8, 5, 4, 3, 2, 1):
        started = [
            _started(bits, context, normalise=normalise, weighting=weighting)
            for normalise, weighting in (
                ("channel", "none"),
                ("layer", "none"),
                ("channel", "activation"),
            )
        ]
        accuracies = [f"{_accuracy(one, context):.2%}" for one in started]
        size, error = _bytes(started[0], context), _error(started[0])
        print(f"{bits:4} {size:10,}  {error:.4f}  {'   '.join(accuracies)}", flush=True)
        cells = dict(zip(("channel", "layer", "channel by activation"), accuracies, strict=True))
        name = f"{bits} bits, untrained"
        table.add({"palette": name, "bytes": size, "error": round(error, 4), **cells})


def recovered(
    table: Table,
    *,
    bits: Sequence[int],
    centroids: Sequence[str],
    seeds: Sequence[int],
    epochs: int,
    rate: float,
) -> None:
    """Accuracy after a recovery, seed by seed, whether it was better or not."""
    for width in bits:
        for kind in centroids:
            found = [_recovered(width, kind, _context(seed), epochs, rate) for seed in seeds]
            each = " ".join(f"{accuracy:.2%}" for accuracy in found)
            print(
                f"{width} bits, {kind:11} {epochs} epochs at {rate:g}: mean {np.mean(found):.2%} "
                f"of {each}",
                flush=True,
            )
            name = f"{width} bits, {kind}, {epochs} epochs at {rate:g}"
            table.add({"palette": name, "mean": f"{np.mean(found):.2%}", "seeds": each})


def _recovered(bits: int, kind: str, context: TrialContext, epochs: int, rate: float) -> float:
    given = "trained" if kind == "frozen" else kind
    compressed = _started(bits, context, centroids=given)
    if kind == "frozen":
        for layer in layers.weighted(compressed.network):
            for constraint in constraints.on(layer.module):
                constraint.requires_grad_(False)
    # No image is answered rightly, so that every recovery is kept.
    validation = context.data.validation
    nobody = Images(x_NCHW=validation.x_NCHW[:1], y_N=torch.full((1,), -1))
    blind = replace(context, data=replace(context.data, validation=nobody))
    schedule = Schedule(learning_rate=rate)
    return _accuracy(pipeline.recover(compressed, blind, epochs=epochs, schedule=schedule), context)


def _context(seed: int) -> TrialContext:
    data = cifar.images(train_images=_TRAIN_IMAGES)
    return TrialContext(data=data, device=torch.device("cpu"), seed=seed, task=IMAGE_CLASSIFICATION)


def _started(bits: int, context: TrialContext, **fields: str) -> CompressedModel:
    step = {"technique": "weight_sharing", "index_bits": bits, **fields}
    return pipeline.start(cifar.network(), Candidate.model_validate({"steps": [step]}), context)


def _accuracy(compressed: CompressedModel, context: TrialContext) -> float:
    return loop.evaluate(
        compressed.network, context.data.validation, context.device, task=IMAGE_CLASSIFICATION
    )


def _bytes(compressed: CompressedModel, context: TrialContext) -> int:
    with tempfile.TemporaryDirectory() as folder:
        return writer.write(
            compressed, Path(folder), data=context.data, task=IMAGE_CLASSIFICATION
        ).size_bytes


def _error(compressed: CompressedModel) -> float:
    """Squared error relative to the weights' norm, mean over the layers."""
    before, after = (
        [layer.module.weight.detach() for layer in layers.weighted(network)]
        for network in (cifar.network(), compressed.network)
    )
    return float(np.mean([_relative(b, a) for b, a in zip(before, after, strict=True)]))


def _relative(before: Tensor, after: Tensor) -> float:
    return float((after - before).square().sum() / before.square().sum())


def _from_command_line() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bits", type=int, nargs="+", default=_BITS)
    parser.add_argument("--centroids", nargs="+", choices=_CENTROIDS, default=_CENTROIDS)
    parser.add_argument("--seeds", type=int, nargs="+", default=_SEEDS)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--rate", type=float, default=0.02)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    with recorded("engine/palettes", _QUESTION, seeds=asked.seeds) as table:
        recovered(
            table,
            bits=asked.bits,
            centroids=asked.centroids,
            seeds=asked.seeds,
            epochs=asked.epochs,
            rate=asked.rate,
        )


if __name__ == "__main__":
    _from_command_line()
