"""Random crops and mirror images, drawn for a whole dataset at once.

A *view* fixes one shift and one flip per image. Fixed views let a teacher and its students see
exactly the same augmented images, so a teacher answers once per view. Views apply to normalised
images, in which zero is the mean of the channel.

Legend: N images of the dataset, B images of a batch, C channels, H height, W width, P padding.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from compress.network.signature import ExampleShape
from compress.tasks.images import Images
from compress.values.schedule import Augment, Augmented

_LARGEST_PADDING = 4
_FULL_PADDING_SIDE = 28
_FLIP_CHANNELS = 3
REVISION = 2
"""Raised whenever the same draw shows other pixels: kept answers of a teacher are named by it."""


@dataclass(frozen=True)
class ImageView:
    """The shifts ``(N, 2)`` (rows, columns) in ``0..2P`` and the flips ``(N,)`` of all images.

    If ``mirrors`` is false, no flip is set, and flips are not looked at.
    """

    shift_N2: Tensor
    flip_N: Tensor
    padding: int
    mirrors: bool = True

    def to(self, device: torch.device) -> ImageView:
        """Return the same view on another device."""
        return replace(self, shift_N2=self.shift_N2.to(device), flip_N=self.flip_N.to(device))

    def take(self, rows_B: Tensor) -> ImageView:
        """Return the view of some of the images."""
        return replace(
            self,
            shift_N2=self.shift_N2.index_select(0, rows_B),
            flip_N=self.flip_N.index_select(0, rows_B),
        )

    def apply(self, x_BCHW: Tensor) -> Tensor:
        """Mirror the images that the view flips, pad them with zeros, and crop them at its shifts.

        It is meant for normalised images: among raw values, a zero has no fixed meaning. Raises
        ValueError if the view is of another number of images.
        """
        if self.flip_N.numel() != len(x_BCHW):
            raise ValueError(
                f"the view is of {self.flip_N.numel()} images, the batch of {len(x_BCHW)}"
            )
        if self.mirrors:
            x_BCHW = torch.where(self.flip_N[:, None, None, None], x_BCHW.flip(3), x_BCHW)
        if self.padding == 0:
            return x_BCHW
        _, _, height, width = x_BCHW.shape
        padded = functional.pad(x_BCHW, (self.padding,) * 4)
        windows = padded.unfold(2, height, 1).unfold(3, width, 1)
        images = torch.arange(len(x_BCHW), device=x_BCHW.device)
        return windows[images, :, self.shift_N2[:, 0], self.shift_N2[:, 1]]


def settled(augment: Augment, images: Images) -> Augmented:
    """Decide how training images are augmented; ``auto`` is decided once, by all of them."""
    match augment:
        case "auto":
            return "shift_flip" if images.mirror_symmetry.holds else "shift"
        case "by_channels":
            is_colour = images.x_NCHW.shape[1] == _FLIP_CHANNELS
            return "shift_flip" if is_colour else "shift"
        case _:
            return augment


def explained(augment: Augment, images: Images) -> str:
    """Say what ``settled`` decides, and why, for the notes of a measurement."""
    found = settled(augment, images)
    match augment:
        case "auto":
            return f"augmentation: auto -> {found}: {images.mirror_symmetry}"
        case "by_channels":
            channels = images.x_NCHW.shape[1]
            return f"augmentation: by_channels -> {found}: images have {channels} channels"
        case _:
            return f"augmentation: {found}"


def draw(
    num_images: int,
    input_shape: ExampleShape,
    generator: torch.Generator,
    *,
    augmented: Augmented,
) -> ImageView | None:
    """Draw a random view; None if images stay as they are.

    The same numbers are drawn for shifts and for shifts with flips.
    """
    if augmented == "none":
        return None
    padding = padding_of(min(input_shape[1:])) if "shift" in augmented else 0
    shift_N2 = torch.randint(0, 2 * padding + 1, (num_images, 2), generator=generator)
    flip_N = torch.rand(num_images, generator=generator) < 0.5
    mirrors = "flip" in augmented
    return ImageView(shift_N2, flip_N & mirrors, padding, mirrors)


def padding_of(side: int) -> int:
    """Return the padding: 4 pixels from side 28 on (He et al., arXiv:1512.03385), fewer below."""
    return _LARGEST_PADDING if side >= _FULL_PADDING_SIDE else side // 8
