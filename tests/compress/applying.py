"""One technique on a network, as the pipeline applies it."""

from __future__ import annotations

from pydantic import TypeAdapter

from compress.tasks.images import ImageData
from compress.techniques import appliers
from compress.techniques.compressed import CompressedModel
from compress.techniques.registry import TechniqueConfig
from compress.training.context import Task
from tests.devices import DEVICE

CONFIG: TypeAdapter[TechniqueConfig] = TypeAdapter(TechniqueConfig)


def task_of(data: ImageData, *, seed: int = 0, teacher=None) -> Task:
    return Task(data=data, device=DEVICE, seed=seed, teacher=teacher)


def applied(compressed: CompressedModel, data: ImageData, **config) -> CompressedModel:
    """The network after the step that ``config`` describes; ``technique`` is one of its fields."""
    return appliers.apply(compressed, CONFIG.validate_python(config), task_of(data))


def quantized(compressed: CompressedModel, data: ImageData, **config) -> CompressedModel:
    return applied(compressed, data, technique="quantization", **config)
