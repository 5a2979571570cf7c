"""How far a long reading is, for whoever waits for it. Torch-free."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final

SHARE: Final = struct.Struct("<d")
"""How a share is written where another process reads it."""


class Watch:
    """Counts what is done of what is expected, and tells the share, from 0 to 1.

    What ``tell`` raises ends the reading: so does somebody who waits for it no more.
    """

    def __init__(self, tell: Callable[[float], None] = lambda share: None) -> None:
        """Tell every step to ``tell``, which is to be quick."""
        self._tell = tell
        self._expected = 0
        self._done = 0

    def expect(self, units: int) -> None:
        """Add to what there is to do, in units of the caller: bytes, or pictures."""
        self._expected += units

    def did(self, units: int) -> None:
        """Add to what is done. Raises what ``tell`` raises."""
        self._done += units
        self._tell(min(1.0, self._done / self._expected) if self._expected else 0.0)
