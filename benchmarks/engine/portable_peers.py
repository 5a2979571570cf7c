"""Portable files of the published ResNet-20 beside the files of ONNX Runtime and nncf.

    python -m benchmarks.engine.portable_peers [--others PYTHON]

Nobody trains: for each seed all calibrate with the same 256 images. With the Python of an
environment that has nncf, its file is one of the peers. Bound: every peer has a portable file that
is smaller and no less accurate on all 10,000 images of the test sheet, means over the seeds, and
answers one view of an image as the peers' do: averaging two takes twice the work.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from benchmarks.data import cifar
from benchmarks.engine import resnet20_peers as peers
from benchmarks.engine.resnet20_peers import Outcome, Steps
from benchmarks.record import Table, keeps
from compress import pipeline
from compress.export import writer
from compress.targets.portable import PORTABLE
from compress.tasks.kinds.image_classification.task import IMAGE_CLASSIFICATION

_OURS: Mapping[str, Steps] = {
    name: peers.OURS[name]
    for name in ("8 bits, free scales", "6 bits", "4 bits", "4 bits, mirrored", "3 bits, GPTQ")
}
_MIRRORED: Steps = [{"technique": "quantization", "weight_bits": 6}, {"technique": "mirroring"}]


@keeps(
    "engine/portable_peers",
    "How do portable files compare with those of ONNX Runtime and nncf (3 seeds)?",
    seeds=peers.SEEDS,
)
def main(table: Table, others: str | None = None) -> None:
    """Print a row per tool and candidate. Raises SystemExit if a peer is not beaten."""
    torch.set_num_threads(1)
    own: dict[str, list[Outcome]] = {}
    other: dict[str, list[Outcome]] = {}
    data = cifar.images(train_images=10_000)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plain = pipeline.start(
            cifar.network(), peers.candidate_of([]), peers.context_of(data, seed=0)
        )
        baseline = writer.write(
            plain, folder, data=data, name="baseline", task=IMAGE_CLASSIFICATION
        ).path
        for seed in peers.SEEDS:
            seen = peers.sampled(data, seed)
            context = peers.context_of(seen, seed=seed)
            for what, steps in {**_OURS, "6 bits, mirrored": _MIRRORED}.items():
                made = peers.ours(steps, context, folder, target=PORTABLE)
                own.setdefault(f"portable, {what}", []).append(made)
            for what, eight in peers.SEARCHED.items():
                made = peers.searched(eight, context, folder, target=PORTABLE)
                own.setdefault(f"portable, {what}", []).append(made)
            for what, options in peers.PEERS.items():
                made = peers.theirs(options, baseline, seen, folder)
                other.setdefault(what, []).append(made)
            tools = {"nncf": peers.OTHERS["nncf"]}
            for what, made in peers.others_of(others, data, seen, seed, folder, tools=tools):
                other.setdefault(what, []).append(made)
    for what, outcomes in {**own, **other}.items():
        table.add(peers.show(what, outcomes))
    if unbeaten := [what for what, outcomes in other.items() if not _is_beaten(outcomes, own)]:
        raise SystemExit(f"no portable file is better than those of: {'; '.join(unbeaten)}")


def _is_beaten(outcomes: list[Outcome], own: Mapping[str, list[Outcome]]) -> bool:
    size, accuracy = _means(outcomes)
    one_view = {what: made for what, made in own.items() if "mirrored" not in what}
    return any(ours[0] < size and ours[1] >= accuracy for ours in map(_means, one_view.values()))


def _means(outcomes: list[Outcome]) -> tuple[float, float]:
    sizes, accuracies = [each.size_bytes for each in outcomes], [each.on_all for each in outcomes]
    return float(np.mean(sizes)), float(np.mean(accuracies))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="benchmarks.engine.portable_peers", description=__doc__)
    parser.add_argument("--others", help="Python of an environment that has nncf")
    main(others=parser.parse_args().others)
