"""What happens to raw values before the first layer of a network. Torch-free."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field, model_validator

from compress.network.signature import IMAGE_AXES, ExampleShape
from compress.values.raw_values import FACTORS, LARGEST

MOST_CHANNELS = 16
"""Of what is normalised channel by channel; three axes with more are no image."""
_MOST_COLUMNS = 4096
"""Of the rows of a table, each of whose columns has a mean of its own."""
Channel = Annotated[float, Field(ge=-LARGEST, le=LARGEST)]
Deviation = Annotated[float, Field(gt=0, le=LARGEST)]


class Normalisation(BaseModel, frozen=True, extra="forbid"):
    """What happens to raw values before the first layer: ``(x * scale - mean) / std`` per channel.

    It becomes part of every exported file, so files take the dataset's raw values. Its limits are
    those of the values themselves (``compress.values.raw_values``).
    """

    scale: float = Field(default=1.0, gt=0, le=LARGEST)
    mean: tuple[Channel, ...] = Field(min_length=1, max_length=_MOST_COLUMNS)
    std: tuple[Deviation, ...] = Field(min_length=1, max_length=_MOST_COLUMNS)

    @classmethod
    def identity(cls, channels: int) -> Normalisation:
        """Leave raw values of so many channels as they are."""
        return cls(mean=(0.0,) * channels, std=(1.0,) * channels)

    @classmethod
    def identity_of(cls, input_shape: ExampleShape) -> Normalisation:
        """Leave raw examples as they are: images channel by channel, all others as a whole."""
        return cls.identity(input_shape[0] if _has_channels(input_shape) else 1)

    def fits(self, input_shape: ExampleShape) -> bool:
        """Whether it has a mean and a deviation for each channel, the first axis of an example.

        Those of examples that are no images may have one for all.
        """
        may_be_one = not _has_channels(input_shape)
        return len(self.mean) == input_shape[0] or (may_be_one and len(self.mean) == 1)

    @property
    def words(self) -> str:
        """The numbers, as a job file or a command takes them."""
        mean, std = (", ".join(f"{each:.4g}" for each in row) for row in (self.mean, self.std))
        return f"{{scale: {self.scale:.6g}, mean: [{mean}], std: [{std}]}}"

    @property
    def is_identity(self) -> bool:
        """Whether it leaves raw values as they are."""
        return self == Normalisation.identity(len(self.mean))

    @model_validator(mode="after")
    def _same_length(self) -> Normalisation:
        if len(self.mean) != len(self.std):
            raise ValueError(
                f"mean and std need one entry per channel, got {self.mean}, {self.std}"
            )
        return self

    @model_validator(mode="after")
    def _within_float32(self) -> Normalisation:
        least, most = FACTORS
        for channel, (mean, std) in enumerate(zip(self.mean, self.std, strict=True)):
            if not least <= self.scale / std <= most:
                raise ValueError(
                    f"scale / std of channel {channel} is {self.scale / std:.3g}, which float32 "
                    f"does not hold (expected {least:g} to {most:g}): rescale the values"
                )
            if abs(mean) / self.scale > LARGEST:
                raise ValueError(
                    f"mean / scale of channel {channel}, {mean / self.scale:.3g}, is no raw value: "
                    f"these are at most {LARGEST:g}"
                )
        return self


def _has_channels(input_shape: ExampleShape) -> bool:
    return len(input_shape) == IMAGE_AXES and input_shape[0] <= MOST_CHANNELS
