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
from compress.tasks.kinds.image_classification.task import IMAGE_CLASSIFICATION
from compress.techniques.compressed import CompressedModel
from compress.techniques.registry import TechniqueConfig
from compress.training.context import TrialContext
from tests.devices import DEVICE

CONFIG: TypeAdapter[TechniqueConfig] = TypeAdapter(TechniqueConfig)


def context_of(data: ImageData, *, seed: int = 0, teacher=None) -> TrialContext:
    return TrialContext(
        members=FamilyMembers(),
        data=data,
        device=DEVICE,
        seed=seed,
        teacher=teacher,
        task=IMAGE_CLASSIFICATION,
    )


def applied(compressed: CompressedModel, data: ImageData, **config) -> CompressedModel:
    """The network after the step that ``config`` describes; ``technique`` is one of its fields."""
    return pipeline.apply(compressed, CONFIG.validate_python(config), context_of(data))


def quantized(compressed: CompressedModel, data: ImageData, **config) -> CompressedModel:
    return applied(compressed, data, technique="quantization", **config)


def untrained(
    architecture: Architecture, context: TrialContext, *, normalisation: Normalisation | None = None
) -> Network:
    """A network for the images of a trial with weights of its seed."""
    return family.fresh(
        architecture,
        normalisation=normalisation or loading.sample_statistics(context.data.train),
        input_shape=context.data.input_shape,
        num_classes=context.data.num_classes,
        seed=context.seed,
    )
