"""Config of ``quantization``: on which grid a weight lies in the file, and how it gets there."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from compress.techniques.description.config import StepConfig
from compress.values import patterns
from compress.values.knobs import Choice, FirstDefault, Searchable
from compress.values.patterns import Exclude

_AFFINE_BITS = range(2, 8)
_REDUCED_AFFINE_BITS = range(2, 7)
HALF_BITS = 16
_WIDTHS = (*range(1, 9), HALF_BITS)


class Quantization(StepConfig, frozen=True, extra="forbid"):
    """Weights of 1 to 8 bits or float16, and 8-bit activations, calibrated statically."""

    technique: Literal["quantization"] = "quantization"
    weight_bits: Annotated[int, Searchable(default=Choice(choices=(8, 4)))] = Field(
        default=8,
        ge=1,
        le=HALF_BITS,
        description="Bits of a weight as stored in the file: 1 to 8 on a grid, or 16 as float16.",
    )
    edges_8bit: Annotated[bool, Searchable(default=Choice(choices=(True,)))] = Field(
        default=True,
        description="Keep the first and the last layer at 8 bits when the others have fewer; "
        "tables of words are neither.",
    )
    calibration_images: int = Field(
        default=256, ge=16, le=4096, description="Training images that set the activation ranges."
    )
    activations: Literal["int8", "float"] = Field(
        default="int8", description="Activations on an 8-bit grid, or as they are."
    )
    granularity: Literal["channel", "tensor", "group"] = Field(
        default="channel", description="Which weights of a layer share a scale."
    )
    group_size: int = Field(
        default=32, ge=4, le=1024, description="Most weights of a group (granularity `group`)."
    )
    scheme: Literal["symmetric", "affine"] = Field(
        default="symmetric",
        description="A grid around zero, or with a zero point (2 to 7 bits; else around zero).",
    )
    observer: Literal["mse", "minmax", "percentile"] = Field(
        default="mse", description="What sets the range of a weight's grid."
    )
    activation_observer: Annotated[
        Literal["minmax", "mse", "percentile"], FirstDefault(value="minmax")
    ] = Field(
        default="mse",
        description="What sets the range of an activation's grid; another one is taken where the "
        "answers are otherwise than in float.",
    )
    percentile: float = Field(
        default=99.9, ge=90.0, le=100.0, description="Share of values that `percentile` covers, %."
    )
    rounding: Literal["nearest", "gptq", "adaround"] = Field(
        default="nearest", description="Which of its two neighbours on the grid a weight takes."
    )
    training: Literal["straight_through", "lsq", "noise", "uniform_noise", "none"] = Field(
        default="lsq", description="What recovery trains against below 8 bits."
    )
    noise_probability: float = Field(
        default=0.5, gt=0.0, le=1.0, description="Share of weights rounded at first by `noise`."
    )
    bias_correction: bool = Field(
        default=True, description="Cancel the mean error of every layer on calibration images."
    )
    equalise: bool = Field(
        default=False, description="Balance the channel ranges of layers that follow each other."
    )
    allocation: Literal["uniform", "sensitivity"] = Field(
        default="uniform", description="Equal bits, or more for the layers that need them."
    )
    extra_bits: float = Field(
        default=0.0,
        ge=0.0,
        lt=1.0,
        description="Bits per weight beyond `weight_bits` that `sensitivity` may spend on average.",
    )
    layer_bits: str = Field(
        default="",
        max_length=4000,
        description="Bits of single layers, as `layer3.*=3, conv1=8`; the last match counts.",
    )
    reduced_range: bool = Field(
        default=False,
        description="Keep 8-bit weights in [-63, 63]: kernels without VNNI cannot saturate then.",
    )
    scale_bits: Literal[16, 32] = Field(
        default=32,
        description="Bits of the scales and biases in the file; 16 is exact to one part in 2,048.",
    )
    short_scales: Annotated[
        bool, Searchable(default=Choice(choices=(True,))), FirstDefault(value=False)
    ] = Field(
        default=True,
        description="Scales of 8 significant bits, powers of two for activations: integer kernels "
        "and float arithmetic then give the same bits.",
    )
    exclude: Exclude = ""

    @property
    def has_effect(self) -> bool:
        """Whether applying it could change a network at all: a quantized file always differs."""
        return True

    @property
    def words(self) -> str:
        """The step in a few words: what is not as usual."""
        activations = "8" if self.activations == "int8" else "f"
        usual = type(self).model_fields
        unusual = [
            str(getattr(self, name)) if name != "granularity" else f"per {self.granularity}"
            for name in ("granularity", "scheme", "rounding", "training", "allocation")
            if getattr(self, name) != usual[name].default
        ]
        named = f" {self.layer_bits}" if self.layer_bits else ""
        bits = f"w{self.weight_bits + self.extra_bits:g}a{activations}"
        return " ".join([bits, *unusual]) + f"{named[:40]}{patterns.words(self.exclude)}"

    @property
    def shortens(self) -> bool:
        """Whether the scales in the file are short: only integer kernels have any use for it."""
        return self.short_scales and self.activations == "int8"

    @property
    def trains_rounded(self) -> bool:
        """Whether recovery sees the weights as the file will hold them."""
        return not self.has_grids or self.training in {"straight_through", "lsq", "noise"}

    @property
    def has_grids(self) -> bool:
        """Whether any layer may get a grid of integers; 16 bits have none."""
        return self.weight_bits != HALF_BITS or bool(self.layer_bits)

    @property
    def bits_of_patterns(self) -> tuple[tuple[str, int], ...]:
        """``layer_bits`` as pairs of a pattern and its bits, in the order written."""
        pairs = (part.split("=") for part in self.layer_bits.split(",") if part.strip())
        return tuple((pattern.strip(), int(bits)) for pattern, bits in pairs)

    def scheme_of(self, bits: int) -> Literal["symmetric", "affine"]:
        """The scheme of a layer with so many bits.

        A code's distance from its zero point takes one bit more than the code, and has to fit the
        kernel's 8 (7 with ``reduced_range``); one bit has no room for a zero.
        """
        fitting = _REDUCED_AFFINE_BITS if self.reduced_range else _AFFINE_BITS
        return self.scheme if bits in fitting else "symmetric"

    @field_validator("weight_bits")
    @classmethod
    def _there_is_such_a_width(cls, bits: int) -> int:
        if bits not in _WIDTHS:
            raise ValueError(f"weight_bits should be less than or equal to 8, or 16, got {bits}")
        return bits

    @field_validator("layer_bits")
    @classmethod
    def _layer_bits_are_pairs(cls, text: str) -> str:
        for part in text.split(","):
            pattern, equals, bits = (piece.strip() for piece in part.partition("="))
            if part.strip() and not (pattern and equals and bits in map(str, _WIDTHS)):
                raise ValueError(
                    f"layer_bits must be pairs like 'layer3.*=3' with 1 to 8 bits or 16, separated "
                    f"by commas, got {part.strip()!r}"
                )
        return text

    @model_validator(mode="after")
    def _groups_need_float_activations(self) -> Quantization:
        if self.granularity != "group":
            return self
        if self.activations == "int8":
            raise ValueError(
                "granularity 'group' needs activations 'float': an integer kernel sums a whole "
                "channel before it multiplies by one scale"
            )
        if self.scheme == "affine":
            raise ValueError(
                "granularity 'group' needs scheme 'symmetric': a file stores one zero point per "
                "channel, not per group"
            )
        return self

    @model_validator(mode="after")
    def _float16_needs_float_activations(self) -> Quantization:
        if self.weight_bits != HALF_BITS:
            return self
        if self.activations == "int8":
            raise ValueError(
                "weight_bits 16 needs activations 'float': an integer kernel multiplies weights of "
                "8 bits at most"
            )
        if self.allocation == "sensitivity":
            raise ValueError(
                "weight_bits 16 needs allocation 'uniform': sensitivity allots 1 to 8 bits"
            )
        return self

    @model_validator(mode="after")
    def _extra_bits_need_sensitivity(self) -> Quantization:
        if self.extra_bits and self.allocation == "uniform":
            raise ValueError("extra_bits needs allocation 'sensitivity': equal bits are whole")
        if self.extra_bits and self.weight_bits + self.extra_bits > 8:
            raise ValueError("weight_bits and extra_bits are more than 8 bits together")
        return self
