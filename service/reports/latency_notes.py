"""Notes of a report on latencies that were measured on busy machines."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence

from compress.values.latency.latency import Latency
from compress.values.measurement import Measurement

_FEWEST = 3
"""So many quiet measurements of the baseline's file are held against the one that was not."""


def of_front(front: Sequence[Measurement]) -> Iterator[str]:
    """Yield how many files of the front have a doubtful latency, and what follows from that."""
    doubtful = [one.latency for one in front if one.latency.busy]
    if doubtful:
        worst = max(doubtful, key=lambda latency: latency.within)
        yield (
            f"latency of {len(doubtful)} of {len(front)} files of the front was "
            f"{worst.remark}: such a file takes another from the front only if it is faster "
            "whatever the doubt; for sharper figures run the trial again on a quiet machine "
            "(rerun)"
        )


def of_baseline(baseline: Measurement | None, tried: Sequence[Measurement]) -> Iterator[str]:
    """Yield a note if the baseline was timed on a busy machine, so the scale is doubtful.

    All compared latencies are scaled by what the trial of the baseline recorded. Later trials time
    its file again; the median of those on the same device that met a quiet machine is reported.
    """
    if baseline is None or not baseline.latency.busy:
        return
    recorded = baseline.latency
    again = [one.latency for one in tried if _is_better(one.latency, recorded)]
    found = [one.baseline_ms for one in again if one.baseline_ms is not None]
    later = (
        f"; {len(found)} later files were timed beside it on a quiet one, where it took "
        f"{statistics.median(found):.3g} ms"
        if len(found) >= _FEWEST
        else ""
    )
    yield (
        f"the baseline's latency, {recorded.median_ms:.3g} ms, was {recorded.remark}{later}: what "
        "is compared are ratios to it, and they hold; a bound in milliseconds is held against "
        "that scale, so write it as a share ('0.5 x baseline')"
    )


def _is_better(latency: Latency, recorded: Latency) -> bool:
    is_alike = (latency.device, latency.threads) == (recorded.device, recorded.threads)
    return is_alike and latency.clock is not None and not latency.busy
