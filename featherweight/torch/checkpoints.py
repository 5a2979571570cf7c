"""Load a checkpoint into a module, whatever was around the module when it was saved."""

from __future__ import annotations

import pickle
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from compress.values.file_formats.recognition import FileFormat, recognise
from compress.values.shown import some
from featherweight.errors import FeatherweightError

_STATES = ("state_dict", "model_state_dict", "model_state", "model", "net", "network", "weights")
"""Under these keys training scripts keep the tensors beside optimiser and epoch."""
_COUNTER = ".num_batches_tracked"


class CheckpointUnfit(FeatherweightError):
    """A checkpoint does not hold the weights of the module."""


def load_weights(module: nn.Module, checkpoint: Path | str | Mapping[str, Any]) -> tuple[str, ...]:
    """Load weights into ``module``, and return notes on what was left out of the checkpoint.

    ``checkpoint`` is a file of ``torch.save`` or safetensors, or what one holds. No code in it is
    run. What DataParallel, ``torch.compile``, Lightning and other modules around the module have
    put before every name is left out, and so are entries that are not of the module. Every weight
    of the module must be there, in its shape. The module is left as it is if not.

    Raises CheckpointUnfit naming what is missing or of another shape, and OSError.
    """
    held = checkpoint if isinstance(checkpoint, Mapping) else _read(Path(checkpoint))
    tensors, place = _tensors(held)
    own: dict[str, Tensor] = module.state_dict()
    prefix = _prefix(tensors, [name for name in own if not name.endswith(_COUNTER)])
    found = {name: tensors.get(prefix + name, mine) for name, mine in own.items()}
    _check_shapes(found, own)
    module.load_state_dict(found)
    return (*place, *_notes(tensors, prefix, own))


def _read(path: Path) -> Mapping[str, Any]:
    if recognise(path) == FileFormat.SAFETENSORS:
        return safetensors.torch.load_file(path)
    try:
        held = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise CheckpointUnfit(
            f"{path} cannot be loaded without running code that it may hold. If it is a whole "
            "module of your own, load it where its class is and save its state_dict(): "
            "torch.save(network.state_dict(), ...)"
        ) from error
    if not isinstance(held, Mapping):
        raise CheckpointUnfit(f"{path} holds {type(held).__name__}, expected tensors by name")
    return held


def _tensors(held: Mapping[str, Any]) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Return the tensors by name, and a note on where they were."""
    for key in _STATES:
        if isinstance(held.get(key), Mapping):
            tensors, _ = _tensors(held[key])
            return tensors, (f"the weights are those of {key!r} in the checkpoint",)
    found = {str(name): value for name, value in held.items() if isinstance(value, Tensor)}
    if not found:
        names = some(sorted(map(str, held)))
        raise CheckpointUnfit(f"the checkpoint holds no tensors by name, only {names}")
    return found, ()


def _prefix(tensors: Collection[str], own: list[str]) -> str:
    """Return what stands before every name of the module. Raises CheckpointUnfit."""
    if not own:
        raise CheckpointUnfit("the module has no weights")
    # All of them end with the first name of the module, so this is quick.
    ends = [name.removesuffix(own[0]) for name in tensors if name.endswith(own[0])]
    known = set(tensors)
    fitting = [prefix for prefix in ends if all(prefix + name in known for name in own)]
    if "" in fitting:
        return ""
    if len(fitting) > 1:
        raise CheckpointUnfit(
            f"the checkpoint holds the weights {len(fitting)} times, named {some(fitting)}: give a "
            "mapping of those that you mean"
        )
    if not fitting:
        missing = [name for name in own if name not in known]
        raise CheckpointUnfit(
            f"the checkpoint has no weights named {some(missing)}, as the module has; it has "
            f"{some(sorted(known - set(own)))}"
        )
    return fitting[0]


def _check_shapes(found: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> None:
    wrong = [
        f"{name} is {tuple(found[name].shape)}, expected {tuple(mine.shape)}"
        for name, mine in own.items()
        if found[name].shape != mine.shape
    ]
    if wrong:
        raise CheckpointUnfit(f"weights have other shapes than those of the module: {some(wrong)}")


def _notes(tensors: Mapping[str, Tensor], prefix: str, own: Collection[str]) -> tuple[str, ...]:
    known = {prefix + name for name in own}
    left = sorted(name for name in tensors if name not in known and not name.endswith(_COUNTER))
    return (
        *([f"every weight is named {prefix!r} and then as in the module"] if prefix else []),
        *([f"{len(left)} tensors are not of the module: {some(left)}"] if left else []),
    )
