"""From a candidate to a compressed network: change the structure, then recover, rung by rung."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import torch

from compress import batchnorm, training
from compress.candidate import Candidate
from compress.catalog import TechniqueConfig
from compress.compressed import CompressedModel
from compress.errors import InvalidCandidate
from compress.families.catalog import Architecture, Normalisation
from compress.families.residual.network import build
from compress.model import ImageData, Network, ShouldStop, never
from compress.teacher import TeacherLogits
from compress.techniques.distillation.config import Distillation
from compress.techniques.family_member import apply as family_member
from compress.techniques.family_member.config import FamilyMember
from compress.techniques.filter_pruning import apply as filter_pruning
from compress.techniques.filter_pruning.config import FilterPruning
from compress.techniques.quantization.config import Quantization
from compress.training import Hooks, OnProgress, TrainingPlan, silent

_SEED_STRIDE = 1_000_003
_SMALL_DATASET = 20_000
_SMALL_BATCH = 64
_BATCH = 128
_BASELINE_RATE = 0.1
_RECOVERY_RATE = 0.02
_ROUNDED_BITS = 4
"""Weights of 8 bits lose too little to train against; weights of 4 bits are trained rounded."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """What a trial works with. ``cache_folder`` keeps the teacher's logits between trials."""

    data: ImageData
    device: torch.device
    seed: int
    teacher: Network | None = None
    cache_folder: Path | None = None

    @property
    def batch_size(self) -> int:
        """Images of one training step."""
        return _SMALL_BATCH if len(self.data.train) <= _SMALL_DATASET else _BATCH

    @cached_property
    def teacher_logits(self) -> TeacherLogits | None:
        """The teacher's answers on the training images; computed when first asked for."""
        if self.teacher is None:
            return None
        return TeacherLogits(
            self.teacher, self.data.train, device=self.device, folder=self.cache_folder
        )


def choose_device() -> torch.device:
    """The GPU if there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def start(network: Network, candidate: Candidate, task: Task) -> CompressedModel:
    """Apply a candidate without training: rung 0.

    Structure changes in the catalog's order, then BatchNorm is measured anew if it changed.
    Raises InvalidCandidate when a step does not fit the network.
    """
    compressed = CompressedModel(network=network)
    for step in candidate.steps:
        compressed = _apply(compressed, step)
    if compressed.network is network:
        return compressed
    fresh = batchnorm.reestimate(compressed.network, task.data.train, device=task.device)
    return compressed.evolve(network=fresh)


def recover(
    compressed: CompressedModel,
    task: Task,
    *,
    epochs: int,
    should_stop: ShouldStop = never,
    on_progress: OnProgress = silent,
) -> CompressedModel:
    """Train ``epochs`` more epochs with the labels, and the teacher if the candidate says so.

    Every segment anneals to zero, because every rung ends with a file. No epochs change nothing.
    Raises InvalidCandidate when distillation has no teacher, Stopped, and NumericalError.
    """
    if epochs == 0:
        return compressed
    if compressed.distillation is not None and task.teacher is None:
        raise InvalidCandidate("distillation needs the baseline as its teacher, there is none")
    network, report = training.fit(
        compressed.network,
        task.data.train,
        _recovery_plan(compressed, task, epochs),
        device=task.device,
        teacher=task.teacher_logits,
        hooks=Hooks(should_stop=should_stop, on_progress=on_progress),
    )
    return compressed.evolve(
        network=network,
        epochs=compressed.epochs + epochs,
        train_images_per_second=report.images_per_second,
    )


def train_baseline(
    architecture: Architecture,
    *,
    epochs: int,
    normalisation: Normalisation,
    task: Task,
    should_stop: ShouldStop = never,
    on_progress: OnProgress = silent,
) -> Network:
    """Train a network of the architecture from fresh weights."""
    network = Network(
        module=build(
            architecture,
            in_channels=task.data.input_shape[0],
            num_classes=task.data.num_classes,
            seed=task.seed,
        ),
        normalisation=normalisation,
        input_shape=task.data.input_shape,
        num_classes=task.data.num_classes,
    )
    plan = TrainingPlan(
        epochs=epochs,
        seed=task.seed,
        batch_size=task.batch_size,
        learning_rate=_BASELINE_RATE,
    )
    hooks = Hooks(should_stop=should_stop, on_progress=on_progress)
    trained, _ = training.fit(network, task.data.train, plan, device=task.device, hooks=hooks)
    return trained


def _apply(compressed: CompressedModel, step: TechniqueConfig) -> CompressedModel:
    match step:
        case FamilyMember():
            network, notes = family_member.apply(compressed.network, step)
            return replace(compressed, network=network, notes=compressed.notes + notes)
        case FilterPruning():
            network, notes = filter_pruning.apply(compressed.network, step)
            return replace(compressed, network=network, notes=compressed.notes + notes)
        case Distillation() if not step.has_effect:
            note = "distillation: weight is 0, only the labels are learnt from"
            return replace(compressed, notes=(*compressed.notes, note))
        case Distillation():
            return replace(compressed, distillation=step)
        case Quantization():
            return replace(compressed, quantization=step)


def _recovery_plan(compressed: CompressedModel, task: Task, epochs: int) -> TrainingPlan:
    quantization = compressed.quantization
    rounded = quantization is not None and quantization.weight_bits <= _ROUNDED_BITS
    return TrainingPlan(
        epochs=epochs,
        seed=task.seed * _SEED_STRIDE + compressed.epochs,
        batch_size=task.batch_size,
        learning_rate=_RECOVERY_RATE,
        distillation=compressed.distillation,
        weight_bits=quantization.weight_bits if quantization and rounded else None,
        edges_8bit=quantization.edges_8bit if quantization else True,
    )
