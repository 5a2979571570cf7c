"""One technique on a network, as the pipeline applies it."""

from __future__ import annotations

from pydantic import TypeAdapter

from compress import pipeline
from compress.network.families.catalog import Architecture
from compress.network.network import Network
from compress.network.preprocessing import Normalisation
from compress.network.sources import family
from compress.network.sources.family import FamilyMembers
from compress.tasks import loading
from compress.tasks.images import ImageData
from compress.techniques.compressed import CompressedModel
from compress.techniques.registry import TechniqueConfig
from compress.training.context import Task
from tests.devices import DEVICE

CONFIG: TypeAdapter[TechniqueConfig] = TypeAdapter(TechniqueConfig)


def task_of(data: ImageData, *, seed: int = 0, teacher=None) -> Task:
    return Task(members=FamilyMembers(), data=data, device=DEVICE, seed=seed, teacher=teacher)


def applied(compressed: CompressedModel, data: ImageData, **config) -> CompressedModel:
    """The network after the step that ``config`` describes; ``technique`` is one of its fields."""
    return pipeline.apply(compressed, CONFIG.validate_python(config), task_of(data))


def quantized(compressed: CompressedModel, data: ImageData, **config) -> CompressedModel:
    return applied(compressed, data, technique="quantization", **config)


def untrained(
    architecture: Architecture, task: Task, *, normalisation: Normalisation | None = None
) -> Network:
    """A network for the task's images with weights of the task's seed."""
    return family.fresh(
        architecture,
        normalisation=normalisation or loading.sample_statistics(task.data.train),
        input_shape=task.data.input_shape,
        num_classes=task.data.num_classes,
        seed=task.seed,
    )
