"""How many threads a network's training steps are worth."""

from __future__ import annotations

from compress.network.families import layout
from compress.network.families.catalog import Architecture

_MACS_PER_THREAD = 10**9


def suited(
    architecture: Architecture,
    *,
    input_shape: tuple[int, int, int],
    num_classes: int,
    images: int,
    most: int,
) -> int:
    """Threads, 1 to ``most``, for steps of ``images`` images ``(C, H, W)``.

    A thread is worth a billion multiply-accumulates per step: below that, threads wait for each
    other more than they work. Digits at 10^8 per step took as long with two threads as with one
    on an idle machine, and ten times as long on a busy one.
    """
    channels, height, width = input_shape
    macs = layout.macs(
        architecture, in_channels=channels, num_classes=num_classes, height=height, width=width
    )
    return max(1, min(most, macs * images // _MACS_PER_THREAD))
