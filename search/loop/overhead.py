"""What a search costs besides its trials: the seconds of its asks and its tells."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Spent:
    """The seconds that one job's proposals and outcomes took this searcher, waits for locks too."""

    def __init__(self) -> None:
        self.num_asks = self.num_tells = 0
        self.ask_seconds = self.tell_seconds = 0.0

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Trials are proposed: by the sampler, in the study and in our tables."""
        began = time.perf_counter()
        yield
        self.ask_seconds += time.perf_counter() - began

    @contextmanager
    def telling(self, outcomes: int) -> Iterator[None]:
        """The study learns how trials ended, and our tables that it has."""
        began = time.perf_counter()
        yield
        self.num_tells += outcomes
        self.tell_seconds += time.perf_counter() - began

    def __str__(self) -> str:
        return (
            f"{self.num_asks} asks took {self.ask_seconds:.3f} s, "
            f"{self.num_tells} tells {self.tell_seconds:.3f} s"
        )
