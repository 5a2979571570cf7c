"""The time that a search takes in addition to its trials: asking and telling the sampler."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Overhead:
    """Time this searcher spent asking and telling for one job, lock waits included."""

    def __init__(self) -> None:
        self.num_asks = self.num_tells = 0
        self.ask_seconds = self.tell_seconds = 0.0

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Count the time of the block as asking: sampler, study and our tables."""
        began = time.perf_counter()
        yield
        self.ask_seconds += time.perf_counter() - began

    @contextmanager
    def telling(self, outcomes: int) -> Iterator[None]:
        """Count the time of the block as telling: the study and our tables."""
        began = time.perf_counter()
        yield
        self.num_tells += outcomes
        self.tell_seconds += time.perf_counter() - began

    def __str__(self) -> str:
        return (
            f"{self.num_asks} asks took {self.ask_seconds:.3f} s, "
            f"{self.num_tells} tells {self.tell_seconds:.3f} s"
        )
