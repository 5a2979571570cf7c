"""How many threads a network's training steps are worth."""

from __future__ import annotations

from compress.network.outline import Outline

_MACS_PER_THREAD = 10**9


def suited(outline: Outline, *, images: int, most: int) -> int:
    """Threads, 1 to ``most``, for steps of ``images`` images.

    A thread is worth a billion multiply-accumulates per step: below that, threads wait for each
    other more than they work. Digits at 10^8 per step took as long with two threads as with one
    on an idle machine, and ten times as long on a busy one.
    """
    return max(1, min(most, outline.macs * images // _MACS_PER_THREAD))
