"""Random crops and mirror images, drawn for a whole dataset at once.

A *view* fixes one shift and one flip per image. Fixed views let a teacher and its students see
exactly the same augmented images, so a teacher answers once per view. Views are of normalised
images, whose zero is the mean of the channel.

Legend: N images of the dataset, B images of a batch, C channels, H height, W width, P padding.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from compress.tasks.images import Images
from compress.values.schedule import Augment, Augmented

_LARGEST_PADDING = 4
_FULL_PADDING_SIDE = 28
_FLIP_CHANNELS = 3
REVISION = 2
"""Raised whenever the same draw shows other pixels: kept answers of a teacher are named by it."""


@dataclass(frozen=True)
class ImageView:
    """Shifts ``(N, 2)`` (rows, columns) in ``0..2P`` and flips ``(N,)`` of every image.

    Where it does not mirror, no flip is ever set, and nobody has to look.
    """

    shift_N2: Tensor
    flip_N: Tensor
    padding: int
    mirrors: bool = True

    def to(self, device: torch.device) -> ImageView:
        """The same view on another device."""
        return replace(self, shift_N2=self.shift_N2.to(device), flip_N=self.flip_N.to(device))

    def take(self, rows_B: Tensor) -> ImageView:
        """The view of some images."""
        return replace(
            self,
            shift_N2=self.shift_N2.index_select(0, rows_B),
            flip_N=self.flip_N.index_select(0, rows_B),
        )

    def apply(self, x_BCHW: Tensor) -> Tensor:
        """Mirror images where the view says so, pad them with zeros, and crop them at its shifts.

        For normalised images: among raw values a zero may be anything. Raises ValueError if the
        view is of another number of images.
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
    """What is done to training images; ``auto`` is decided by all of them, once."""
    match augment:
        case "auto":
            return "shift_flip" if images.mirror_symmetry.holds else "shift"
        case "by_channels":
            is_colour = images.x_NCHW.shape[1] == _FLIP_CHANNELS
            return "shift_flip" if is_colour else "shift"
        case _:
            return augment


def explained(augment: Augment, images: Images) -> str:
    """What ``settled`` makes of it, and why, for the notes of a measurement."""
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
    input_shape: tuple[int, int, int],
    generator: torch.Generator,
    *,
    augmented: Augmented,
) -> ImageView | None:
    """A random view; None where images stay as they are.

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
    """Pixels of padding: 4 from 28 pixels on (He et al., arXiv:1512.03385), fewer for less."""
    return _LARGEST_PADDING if side >= _FULL_PADDING_SIDE else side // 8
