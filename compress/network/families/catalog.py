"""Every family, and what a job needs to say to name one of its networks. Torch-free."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, TypeAlias

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    create_model,
)

from compress.network.families.drawn.catalog import DRAWN_BY_NAME
from compress.network.families.ds_cnn.config import DsCnn
from compress.network.families.ds_cnn.plan import draw as draw_ds_cnn
from compress.network.families.efficientnet.config import EfficientNet
from compress.network.families.efficientnet.plan import draw as draw_efficientnet
from compress.network.families.mobilenet_v2.config import MobileNetV2
from compress.network.families.mobilenet_v2.plan import draw as draw_mobilenet_v2
from compress.network.families.mobilenet_v3.config import MobileNetV3
from compress.network.families.mobilenet_v3.plan import draw as draw_mobilenet_v3
from compress.network.families.nasbench201.config import NasBench201
from compress.network.families.nasbench201.plan import draw as draw_nasbench201
from compress.network.families.plans.config import FamilyConfig
from compress.network.families.plans.plan import Plan
from compress.network.families.residual.config import Residual
from compress.network.families.residual.plan import draw as draw_residual
from compress.network.families.resnet.config import ResNet
from compress.network.families.resnet.plan import draw as draw_resnet
from compress.network.families.shufflenet_v2.config import ShuffleNetV2
from compress.network.families.shufflenet_v2.plan import draw as draw_shufflenet_v2
from compress.network.families.vgg_bn.config import VggBn
from compress.network.families.vgg_bn.plan import draw as draw_vgg_bn


def named(document: Any) -> Any:
    """The document, of the first family where it names none, as before there were others."""
    is_unnamed = isinstance(document, dict) and "family" not in document
    return {"family": "residual", **document} if is_unnamed else document


def _of_images(document: Any) -> Any:
    """The document with its family named. Raises ValueError for a family without members."""
    family = document.get("family") if isinstance(document, dict) else None
    if isinstance(family, str) and family in DRAWN_BY_NAME:
        raise ValueError(
            f"networks of the family {family} are trained by a job that names it in "
            "model.architecture: they have no members, and no weights of them are uploaded; send a "
            "network that is trained already as an ONNX file"
        )
    return named(document)


Tagged: TypeAlias = Annotated[
    Residual
    | MobileNetV2
    | MobileNetV3
    | ShuffleNetV2
    | EfficientNet
    | ResNet
    | VggBn
    | DsCnn
    | NasBench201,
    Field(discriminator="family"),
]


def without_family() -> type[BaseModel]:
    """The first family's config as it was written before there were others. For schemas only."""
    fields: dict[str, Any] = {
        name: (info.annotation, info)
        for name, info in Residual.model_fields.items()
        if name != "family"
    }
    words = "A residual network that does not name its family."
    config = ConfigDict(extra="forbid")
    return create_model("UnnamedResidual", __config__=config, __doc__=words, **fields)


Architecture: TypeAlias = Annotated[
    Tagged,
    BeforeValidator(_of_images, json_schema_input_type=Tagged | without_family()),
]
"""The configs of all families of images, by ``family``; without one it is ``residual``."""
_ARCHITECTURE: TypeAdapter[Architecture] = TypeAdapter(Architecture)


@dataclass(frozen=True, kw_only=True)
class Family:
    """One line of the table of families.

    ``draw`` makes the plan of ``(config, in_channels, num_classes)``.
    """

    name: str
    config: type[FamilyConfig]
    draw: Callable[[Any, int, int], Plan]
    summary: str


FAMILIES: tuple[Family, ...] = (
    Family(
        name="residual",
        config=Residual,
        draw=draw_residual,
        summary="Residual networks for small images, 6n+2 layers.",
    ),
    Family(
        name="mobilenet_v2",
        config=MobileNetV2,
        draw=draw_mobilenet_v2,
        summary="MobileNetV2: inverted residuals.",
    ),
    Family(
        name="mobilenet_v3",
        config=MobileNetV3,
        draw=draw_mobilenet_v3,
        summary="MobileNetV3, large and small: h-swish, squeeze and excitation.",
    ),
    Family(
        name="shufflenet_v2",
        config=ShuffleNetV2,
        draw=draw_shufflenet_v2,
        summary="ShuffleNet V2: half of the channels pass, half are computed, both are shuffled.",
    ),
    Family(
        name="efficientnet",
        config=EfficientNet,
        draw=draw_efficientnet,
        summary="EfficientNet B0 to B7 and lite: inverted residuals under compound scaling.",
    ),
    Family(
        name="resnet",
        config=ResNet,
        draw=draw_resnet,
        summary="Residual networks for ImageNet, ResNet-18 to 152: basic or bottleneck blocks.",
    ),
    Family(
        name="nasbench201",
        config=NasBench201,
        draw=draw_nasbench201,
        summary="NAS-Bench-201: three stages of equal cells, an operation for each of six edges.",
    ),
    Family(
        name="vgg_bn",
        config=VggBn,
        draw=draw_vgg_bn,
        summary="VGG-11 to 19 with BatchNorm: plain 3x3 convolutions between max pools.",
    ),
    Family(
        name="ds_cnn",
        config=DsCnn,
        draw=draw_ds_cnn,
        summary="DS-CNN: depthwise-separable convolutions for keyword spotting.",
    ),
)
BY_NAME: dict[str, Family] = {family.name: family for family in FAMILIES}


def read(document: Any) -> Architecture:
    """The architecture that a document, as in JSON, describes. Raises ValidationError."""
    return _ARCHITECTURE.validate_python(document)


def plan_of(architecture: Architecture, *, in_channels: int, num_classes: int) -> Plan:
    """What a network of this architecture computes."""
    return BY_NAME[architecture.family].draw(architecture, in_channels, num_classes)
