"""The registry of all techniques, in the one order in which they compose. Torch-free.

A new technique is a folder of this package and its place in ``TECHNIQUES``; all other rooms read
here what they need to know of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, TypeAlias, Union

from pydantic import Field

from compress.techniques.description import checks
from compress.techniques.description.config import StepConfig
from compress.techniques.description.technique import Technique
from compress.techniques.family_member.technique import TECHNIQUE as FAMILY_MEMBER
from compress.techniques.filter_pruning.technique import TECHNIQUE as FILTER_PRUNING
from compress.techniques.low_rank.technique import TECHNIQUE as LOW_RANK
from compress.techniques.mirroring.technique import TECHNIQUE as MIRRORING
from compress.techniques.quantization.technique import TECHNIQUE as QUANTIZATION
from compress.techniques.sparsity.technique import TECHNIQUE as SPARSITY
from compress.techniques.training.adjusted_loss.technique import TECHNIQUE as ADJUSTED_LOSS
from compress.techniques.training.distillation.technique import TECHNIQUE as DISTILLATION
from compress.techniques.training.noise.technique import TECHNIQUE as NOISE
from compress.techniques.vocabulary_pruning.technique import TECHNIQUE as VOCABULARY_PRUNING
from compress.techniques.weight_sharing.technique import TECHNIQUE as WEIGHT_SHARING

TECHNIQUES: tuple[Technique, ...] = (
    FAMILY_MEMBER,
    FILTER_PRUNING,
    VOCABULARY_PRUNING,
    LOW_RANK,
    DISTILLATION,
    NOISE,
    ADJUSTED_LOSS,
    SPARSITY,
    WEIGHT_SHARING,
    QUANTIZATION,
    MIRRORING,
)
checks.check(TECHNIQUES)
BY_NAME: dict[str, Technique] = {technique.name: technique for technique in TECHNIQUES}
ORDER: dict[str, int] = {technique.name: rank for rank, technique in enumerate(TECHNIQUES)}

if TYPE_CHECKING:
    TechniqueConfig: TypeAlias = StepConfig
else:
    # One of the configs, which ``technique`` tells apart.
    TechniqueConfig = Annotated[
        Union[tuple(technique.config for technique in TECHNIQUES)],  # noqa: UP007
        Field(discriminator="technique"),
    ]
