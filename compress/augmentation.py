"""Random crops and mirror images, drawn for a whole dataset at once.

A *view* fixes one shift and one flip per image. Fixed views let a teacher and its students see
exactly the same augmented images, so a teacher answers once per view.

Legend: N images of the dataset, B images of a batch, C channels, H height, W width, P padding.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

_LARGEST_PADDING = 4
_FULL_PADDING_SIDE = 28
_FLIP_CHANNELS = 3


@dataclass(frozen=True)
class View:
    """Shifts ``(N, 2)`` (rows, columns) in ``0..2P`` and flips ``(N,)`` of every image."""

    shift_N2: Tensor
    flip_N: Tensor
    padding: int

    def to(self, device: torch.device) -> View:
        """The same view on another device."""
        return View(self.shift_N2.to(device), self.flip_N.to(device), self.padding)

    def take(self, rows_B: Tensor) -> View:
        """The view of some images."""
        shift_B2, flip_B = (
            self.shift_N2.index_select(0, rows_B),
            self.flip_N.index_select(0, rows_B),
        )
        return View(shift_B2, flip_B, self.padding)


def draw(num_images: int, input_shape: tuple[int, int, int], generator: torch.Generator) -> View:
    """A random view; only images with three channels are mirrored (digits and letters are not)."""
    channels, height, width = input_shape
    padding = padding_of(min(height, width))
    shift_N2 = torch.randint(0, 2 * padding + 1, (num_images, 2), generator=generator)
    flip_N = torch.rand(num_images, generator=generator) < 0.5
    return View(shift_N2, flip_N & (channels == _FLIP_CHANNELS), padding)


def padding_of(side: int) -> int:
    """Pixels of padding: 4 from 28 pixels on (He et al., arXiv:1512.03385), fewer for less."""
    return _LARGEST_PADDING if side >= _FULL_PADDING_SIDE else side // 8


def apply(x_BCHW: Tensor, view: View) -> Tensor:
    """Mirrored where the view says so, padded with zeros, and cropped at the view's shifts."""
    if view.flip_N.numel() != len(x_BCHW):
        raise ValueError(f"the view is of {view.flip_N.numel()} images, the batch of {len(x_BCHW)}")
    x_BCHW = torch.where(view.flip_N[:, None, None, None], x_BCHW.flip(3), x_BCHW)
    if view.padding == 0:
        return x_BCHW
    _, _, height, width = x_BCHW.shape
    padded = functional.pad(x_BCHW, (view.padding,) * 4)
    windows = padded.unfold(2, height, 1).unfold(3, width, 1)
    images = torch.arange(len(x_BCHW), device=x_BCHW.device)
    return windows[images, :, view.shift_N2[:, 0], view.shift_N2[:, 1]]
