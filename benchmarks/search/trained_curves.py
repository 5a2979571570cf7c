"""Learning curves of a real job on the scanned digits, trained when they are first asked for.

The job prunes the three stages of a residual network by 0, 30 or 60 % each and stores weights of 8,
4 or 2 bits: 81 candidates, distilled from the baseline. What a candidate is at a rung is the file
that is written there, and its accuracy on validation is that file's.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch

from benchmarks.data import small_images
from benchmarks.search.curves import Candidate
from compress import pipeline
from compress.evaluation import measure
from compress.export import writer
from compress.network.families.residual.config import Residual
from compress.network.network import Network
from compress.network.sources import family
from compress.network.sources.source import FamilySource
from compress.tasks import loading
from compress.tasks.inspection import DatasetInfo
from compress.tasks.kinds.image_classification.task import IMAGE_CLASSIFICATION
from compress.techniques import candidate as candidates
from compress.training.context import TrialContext
from compress.values.knobs import Scalar
from compress.values.schedule import Schedule
from featherweight.specs.job import JobSpec
from search.samplers import Knowledge
from search.space import space
from search.space.problem import Problem
from search.study import knowledge

RUNGS = (1, 3, 9, 27)
_ARCHITECTURE = Residual(widths=(16, 32, 64), depths=(2, 2, 2))
_BASELINE_EPOCHS = 30
_SPEC = JobSpec.model_validate(
    {
        "name": "digits",
        "model": {"architecture": _ARCHITECTURE.model_dump(), "epochs": _BASELINE_EPOCHS},
        "data": "digits",
        "techniques": {
            "filter_pruning": {"ratios": [0.0, 0.3, 0.6]},
            "distillation": {"temperature": 4.0, "weight": 0.5},
            "quantization": {"weight_bits": [8, 4, 2]},
        },
        "objectives": ["maximise accuracy", "minimise size_bytes"],
        "early_stopping": {"rungs": RUNGS},
    }
)
_Curve = Mapping[int, tuple[float, int]]
"""Epochs to accuracy and bytes."""


@dataclass(kw_only=True)
class Digits:
    """The job's candidates. ``kept`` is a file that remembers them between two runs.

    It does not know by which code they were trained: take another one after a change of training.
    """

    kept: Path

    def __post_init__(self) -> None:
        self._images = small_images.digits()
        self._found: dict[str, _Curve] = self._read()
        self.outline = FamilySource(_ARCHITECTURE).outline(
            input_shape=self._images.input_shape, num_classes=self._images.num_classes
        )
        self.space = space.build(_SPEC, self.outline)

    @cached_property
    def knowledge(self) -> Knowledge:
        """What the job's sampler is told beforehand."""
        dataset = DatasetInfo(
            num_classes=self._images.num_classes,
            input_shape=self._images.input_shape,
            dtype="float32",
            value_range=(0.0, 1.0),
            splits={"train": len(self._images.train)},
            class_counts={},
            held_out=False,
        )
        problem = Problem(spec=_SPEC, dataset=dataset, own=self.outline, space=self.space)
        return knowledge.of_problem(problem)

    def digest(self, params: Mapping[str, Scalar]) -> str:
        """Equal for values that make the same candidate."""
        return self.space.candidate(params).digest()

    def at(self, params: Mapping[str, Scalar]) -> Candidate:
        """The candidate of these values."""
        return self._curve(self.space.candidate(params))

    @cached_property
    def baseline(self) -> Candidate:
        """The network as it was trained, at every rung."""
        return self._curve(candidates.Candidate(steps=()))

    def _curve(self, candidate: candidates.Candidate) -> Candidate:
        digest = candidate.digest()
        if digest not in self._found:
            self._found[digest] = self._trained(candidate)
            self.kept.write_text(json.dumps(self._found), encoding="utf-8")
            print(f"    trained {len(self._found)}: {candidate.describe()}", flush=True)
        curve = self._found[digest]
        return Candidate(
            size_bytes={epochs: size for epochs, (_, size) in curve.items()},
            accuracy={epochs: accuracy for epochs, (accuracy, _) in curve.items()},
        )

    def _trained(self, candidate: candidates.Candidate) -> _Curve:
        context = TrialContext(
            data=self._images,
            device=torch.device("cpu"),
            seed=0,
            teacher=self._network,
            task=IMAGE_CLASSIFICATION,
        )
        compressed, found = pipeline.start(self._network, candidate, context), {}
        with tempfile.TemporaryDirectory() as folder:
            for epochs in RUNGS:
                more = epochs - compressed.epochs if candidate.configs else 0
                compressed = pipeline.recover(compressed, context, epochs=more, schedule=Schedule())
                written = writer.write(
                    compressed, Path(folder), data=self._images, task=IMAGE_CLASSIFICATION
                )
                accuracy = measure.accuracy_of_file(
                    written.path, self._images.validation, task=IMAGE_CLASSIFICATION
                )
                found[epochs] = (accuracy, written.size_bytes)
        return found

    @cached_property
    def _network(self) -> Network:
        context = TrialContext(
            data=self._images, device=torch.device("cpu"), seed=0, task=IMAGE_CLASSIFICATION
        )
        fresh = family.fresh(
            _ARCHITECTURE,
            normalisation=loading.sample_statistics(self._images.train),
            input_shape=self._images.input_shape,
            num_classes=self._images.num_classes,
            seed=context.seed,
        )
        return pipeline.train_baseline(fresh, epochs=_BASELINE_EPOCHS, context=context)

    def _read(self) -> dict[str, _Curve]:
        if not self.kept.exists():
            return {}
        document = json.loads(self.kept.read_text(encoding="utf-8"))
        return {
            digest: {int(epochs): (float(a), int(b)) for epochs, (a, b) in curve.items()}
            for digest, curve in document.items()
        }
