"""Show how far a service is with a file, where somebody looks at the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from featherweight.client.uploads import Tell


@contextmanager
def shown() -> Iterator[Tell | None]:
    """Yield what shows stage and share on stderr; None, and nothing, if that is no terminal."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as bars:
        bar = bars.add_task("sending", total=1.0)
        yield lambda stage, share: bars.update(bar, description=stage, completed=share)
