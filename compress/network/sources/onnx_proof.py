"""Which groups of channels of an uploaded network are not shown to leave as they should.

It is a function of the file alone, so the inspection of a file and everybody who loads it agree.
Torch-free.
"""

from __future__ import annotations

from collections.abc import Mapping

from compress.network.graph import counting
from compress.network.graph.coupling import proof
from compress.network.graph.coupling.couplings import couple
from compress.network.graph.shapes import bind
from compress.network.graph.values import Graph
from compress.network.signature import BATCH
from compress.network.sources import onnx_trial

_IMAGES, _SEED, _RUNS = 2, 0, 3
_MOST_MACS = 2e11
"""What all trials together may multiply, some ten seconds of a core."""
_LEAST_TRIALS, _MOST_TRIALS = 1, 200


def unproven(working: Graph) -> Mapping[str, str]:
    """Return the roots of the groups whose channels have to stay, and why.

    ``working`` is a network in its inner form (``onnx_form.inner``). It runs in ONNX Runtime with
    channels that are drawn at random taken out, and with what reads them zeroed.
    """
    shapes = bind(working, {BATCH: _IMAGES})
    couplings = couple(working, shapes)
    if not couplings.groups:
        return {}
    proven = proof.prove(
        working,
        shapes,
        couplings,
        onnx_trial.answering(onnx_trial.drawn(working, {BATCH: _IMAGES}, seed=_SEED)),
        seed=_SEED,
        most_trials=_trials(counting.count(working, shapes).macs),
    )
    stay = {group.root for group in couplings.groups} - {group.root for group in proven.groups}
    return {root: why for root, why in proven.fixed.items() if root in stay}


def _trials(macs: int) -> int:
    """Return how many trials are made of a network of so many multiply-accumulates a run."""
    affordable = int(_MOST_MACS // (_RUNS * max(macs, 1)))
    return max(_LEAST_TRIALS, min(_MOST_TRIALS, affordable))
