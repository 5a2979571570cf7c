"""How each technique is applied: the catalog's other half, for the rooms that may use torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from compress.techniques.compressed import CompressedModel
from compress.techniques.distillation import apply as distillation
from compress.techniques.family_member import apply as family_member
from compress.techniques.filter_pruning import apply as filter_pruning
from compress.techniques.low_rank import apply as low_rank
from compress.techniques.mirroring import apply as mirroring
from compress.techniques.quantization import apply as quantization
from compress.techniques.registry import TechniqueConfig
from compress.techniques.sparsity import apply as sparsity
from compress.techniques.weight_sharing import apply as weight_sharing
from compress.training.context import Task
from compress.values.errors import Stopped

# Every apply takes its own config; the catalog's union guarantees that it gets no other.
Apply = Callable[[CompressedModel, Any, Task], CompressedModel]

_APPLY: Mapping[str, Apply] = {
    "family_member": family_member.apply,
    "filter_pruning": filter_pruning.apply,
    "low_rank": low_rank.apply,
    "distillation": distillation.apply,
    "sparsity": sparsity.apply,
    "weight_sharing": weight_sharing.apply,
    "quantization": quantization.apply,
    "mirroring": mirroring.apply,
}


def apply(compressed: CompressedModel, step: TechniqueConfig, task: Task) -> CompressedModel:
    """The network after one step.

    Raises InvalidCandidate where the step does not fit it, and Stopped when asked to stop.
    """
    if task.should_stop():
        raise Stopped(f"stopped before {step.technique}")
    return _APPLY[step.technique](compressed, step, task)
