"""The published CIFAR-10 ResNet-20 under 100 to 24 kB: recovered, exported, measured.

``python -m benchmarks resnet20_trained`` runs it in whole, on a GPU if there is one (on one core it
takes hours); nothing that lies in the folder already is done twice. ``python -m
benchmarks.engine.resnet20_trained --help`` says how to run parts of it. The published ResNet-56
teaches, on the 50,000 training images. First the network itself learns from it without any
constraint (``tuned``); every smaller one starts from there. The other half of the test sheet is
opened once, with ``--open-test``, when all files are there.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks.data import cifar
from benchmarks.record import Table, recorded
from compress import pipeline
from compress.evaluation import measure
from compress.export import writer
from compress.network.network import Network
from compress.network.sources import safetensors
from compress.tasks.images import ImageData
from compress.tasks.kinds.image_classification.task import IMAGE_CLASSIFICATION
from compress.techniques.candidate import Candidate
from compress.techniques.compressed import CompressedModel
from compress.techniques.mirroring.config import Mirroring
from compress.training import loop
from compress.training.context import TrialContext, choose_device
from compress.values.schedule import Schedule

Steps = list[dict[str, object]]
FOLDER = Path("var/resnet20_trained")
_VIEWS = 12
_TEACHER: dict[str, object] = {
    "technique": "distillation",
    "teacher": "uploaded",
    "temperature": 4.0,
    "weight": 0.9,
}


def _bits(weight_bits: int, layer_bits: str) -> dict[str, object]:
    return {
        "technique": "quantization",
        "weight_bits": weight_bits,
        "layer_bits": layer_bits,
        "activations": "float",
        "rounding": "gptq",
        "scale_bits": 16,
    }


def _zeros(share: float, *, schedule: str = "oneshot") -> dict[str, object]:
    return {"technique": "sparsity", "sparsity": share, "schedule": schedule}


@dataclass(frozen=True, kw_only=True)
class Goal:
    """A file of at most ``limit_bytes``, from the tuned network by these steps and a recovery."""

    limit_bytes: int
    steps: Steps
    epochs: int
    learning_rate: float


GOALS: Mapping[str, Goal] = {
    "100kB": Goal(
        limit_bytes=100_000,
        steps=[_TEACHER, _bits(3, "layer1.*=4, layer2.*=4")],
        epochs=25,
        learning_rate=0.02,
    ),
    "70kB": Goal(
        limit_bytes=70_000,
        steps=[_TEACHER, _bits(2, "layer1.*=3, layer2.*=3, layer3.0.conv1=3")],
        epochs=60,
        learning_rate=0.03,
    ),
    "64kB": Goal(
        limit_bytes=64_000,
        steps=[_TEACHER, _bits(2, "layer1.*=3, layer2.0.*=3")],
        epochs=24,
        learning_rate=0.03,
    ),
    "48kB": Goal(
        limit_bytes=48_000,
        steps=[_TEACHER, _zeros(0.7), _bits(2, "layer1.*=3")],
        epochs=24,
        learning_rate=0.03,
    ),
    "32kB": Goal(
        limit_bytes=32_000,
        steps=[_TEACHER, _zeros(0.865, schedule="gradual"), _bits(2, "layer1.*=3")],
        epochs=24,
        learning_rate=0.03,
    ),
    "24kB": Goal(
        limit_bytes=24_000,
        steps=[_TEACHER, _zeros(0.914, schedule="gradual"), _bits(2, "")],
        epochs=24,
        learning_rate=0.04,
    ),
}
TUNING_EPOCHS = 40
_TUNING_RATE = 0.05
_RATES = (0.005, 0.02, 0.05)
_SHORT_IMAGES = 20_480


def main() -> None:
    """Everything, with the accuracy on the other 5,000 images at the end."""
    with _recorded(0) as table:
        run(FOLDER, names=list(GOALS), seed=0)
        show_test(table, FOLDER, ["tuned", *GOALS])


def _recorded(seed: int) -> AbstractContextManager[Table]:
    question = "How accurate is it in 100 to 24 kB, trained (% of 5,000 images each)?"
    headline = ("100kB-mirrored", "48kB-mirrored", "24kB-mirrored")
    return recorded("engine/resnet20_trained", question, seeds=(seed,), headline=headline)


def run(folder: Path, *, names: Sequence[str], seed: int, epochs: int | None = None) -> None:
    """Tune, then one file per goal, each recovered for its own epochs or for as many as given."""
    context = _context(folder, seed=seed, train_images=50_000)
    network = tuned(folder, context)
    for name in names:
        if not (folder / f"{name}.onnx").exists():
            reach(name, network, context, folder, epochs=epochs or GOALS[name].epochs)


def _context(folder: Path, *, seed: int, train_images: int) -> TrialContext:
    torch.set_num_threads(1)
    folder.mkdir(parents=True, exist_ok=True)
    return TrialContext(
        data=cifar.images(train_images=train_images),
        device=choose_device(),
        seed=seed,
        uploaded_teacher=cifar.network(56),
        cache_folder=folder / "teacher",
        teacher_views=_VIEWS,
        task=IMAGE_CLASSIFICATION,
    )


def _candidate(steps: Steps) -> Candidate:
    return Candidate.model_validate({"steps": steps})


def tuned(folder: Path, context: TrialContext) -> Network:
    """The published network after a recovery without constraints; kept as a weights file."""
    path, published = folder / "tuned.safetensors", cifar.network()
    if not path.exists():
        plain = pipeline.start(published, _candidate([_TEACHER]), context)
        taught = _recovered("tuned", plain, context, epochs=TUNING_EPOCHS, rate=_TUNING_RATE)
        _measured("tuned", taught, context.data, folder)
        safetensors.save(taught.network, path)
    return safetensors.load(
        path,
        architecture=cifar.architecture(20),
        normalisation=published.normalisation,
        input_shape=published.input_shape,
        num_classes=published.num_classes,
    )


def reach(name: str, network: Network, context: TrialContext, folder: Path, *, epochs: int) -> None:
    """Compress, show what it is worth untrained, recover, and write the file, also mirrored."""
    goal = GOALS[name]
    compressed = pipeline.start(network, _candidate(goal.steps), context)
    _measured(f"{name}-untrained", compressed, context.data, folder)
    trained = _recovered(name, compressed, context, epochs=epochs, rate=goal.learning_rate)
    size = _measured(name, trained, context.data, folder)
    mirrored = trained.after(Mirroring())
    size = max(size, _measured(f"{name}-mirrored", mirrored, context.data, folder))
    verdict = "reached" if size <= goal.limit_bytes else "NOT reached"
    print(f"{name:18} {goal.limit_bytes:,} bytes {verdict}", flush=True)


def compare_rates(folder: Path, *, names: Sequence[str], seed: int) -> None:
    """Validation accuracy after one epoch of a part of the training images, by peak rate."""
    context = _context(folder, seed=seed, train_images=_SHORT_IMAGES)
    network = tuned(folder, context)
    for name in names:
        compressed = pipeline.start(network, _candidate(GOALS[name].steps), context)
        accuracy = loop.evaluate(
            compressed.network, context.data.validation, context.device, task=IMAGE_CLASSIFICATION
        )
        print(f"{name:18} untrained: {accuracy:.2%}", flush=True)
        for rate in _RATES:
            taught = _recovered(name, compressed, context, epochs=1, rate=rate)
            accuracy = loop.evaluate(
                taught.network, context.data.validation, context.device, task=IMAGE_CLASSIFICATION
            )
            print(f"{name:18} one short epoch at rate {rate:g}: {accuracy:.2%}", flush=True)


def _recovered(
    name: str, compressed: CompressedModel, context: TrialContext, *, epochs: int, rate: float
) -> CompressedModel:
    _let_teacher_answer(context, views=min(epochs, _VIEWS))
    began, busy = time.perf_counter(), time.process_time()
    trained = pipeline.recover(
        compressed,
        context,
        epochs=epochs,
        # Grids of up to four bits are so coarse that bfloat16 does not blur them.
        schedule=Schedule(learning_rate=rate, weight_decay=1e-4, precision="bf16"),
        on_progress=lambda epoch, of, loss: print(
            f"{name:18} epoch {epoch} of {of}, loss {loss:.3f}, "
            f"{time.perf_counter() - began:.0f} s",
            flush=True,
        ),
    )
    print(
        f"{name:18} {epochs} epochs at rate {rate:g}: {time.perf_counter() - began:.0f} s on the "
        f"wall, {time.process_time() - busy:.0f} s of one core; {'; '.join(trained.notes)}",
        flush=True,
    )
    return trained


def _let_teacher_answer(context: TrialContext, *, views: int) -> None:
    """Fill the cache in bfloat16, in 0.4 of the time; its answers are softened anyway."""
    answers = context.uploaded_teacher_logits
    assert answers is not None
    with torch.autocast(context.device.type, torch.bfloat16):
        for number in range(views):
            answers.logits(number)


def _measured(name: str, compressed: CompressedModel, data: ImageData, folder: Path) -> int:
    artifact = writer.write(compressed, folder, data=data, name=name, task=IMAGE_CLASSIFICATION)
    measured = measure.run(artifact, data, splits=("validation",), task=IMAGE_CLASSIFICATION)
    print(
        f"{name:18} {measured.size_bytes:9,} B  validation {measured.accuracy['validation']:.2%}",
        flush=True,
    )
    return measured.size_bytes


def show_test(table: Table, folder: Path, names: Sequence[str]) -> None:
    """Accuracy of the files that are there on the second half of the test sheet."""
    data = cifar.images(train_images=1)
    assert data.test is not None
    every = [folder / f"{name}{views}.onnx" for name in names for views in ("", "-mirrored")]
    for path in filter(Path.exists, every):
        validation = measure.accuracy_of_file(path, data.validation, task=IMAGE_CLASSIFICATION)
        test = measure.accuracy_of_file(path, data.test, task=IMAGE_CLASSIFICATION)
        print(
            f"{path.stem:22} {path.stat().st_size:9,} B  validation {validation:.2%}  "
            f"test {test:.2%}",
            flush=True,
        )
        table.add(
            {
                "file": path.stem,
                "bytes": path.stat().st_size,
                "validation": round(100 * validation, 2),
                "test": round(100 * test, 2),
                "all 10,000": round(50 * (validation + test), 2),
            }
        )


def _from_command_line() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(GOALS)}; all by default")
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, help="of every recovery, instead of each goal's own")
    parser.add_argument("--open-test", action="store_true", help="only open the test split")
    parser.add_argument("--rates", action="store_true", help="only compare learning rates")
    asked = parser.parse_args()
    names = asked.names or list(GOALS)
    if unknown := set(names) - set(GOALS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(GOALS)}")
    if asked.rates:
        compare_rates(asked.folder, names=names, seed=asked.seed)
        return
    if asked.open_test:
        with _recorded(asked.seed) as table:
            show_test(table, asked.folder, ["tuned", *names])
        return
    run(asked.folder, names=names, seed=asked.seed, epochs=asked.epochs)


if __name__ == "__main__":
    _from_command_line()
