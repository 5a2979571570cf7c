"""Name the weights that a technique does not reach, and the share of parameters that it does.

A technique works on layers with a view (``compress.network.running.weight_views``). A
three-dimensional convolution, a table that is also another layer's weight or a bare parameter keep
their floats, as do all recurrent layers, embeddings and transposed convolutions of a module that is
no graph, and whoever asked for 4 bits has to be told. Ordinary networks get no such note:
nothing is said if every weight is reached or was excluded by the user. Biases and the tensors of
norms, which have one axis, are not weights. They are only counted, as "biases and norms", in a note
that is made anyway or if they are more than a quarter of all parameters.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from compress.network.stored_weight import exactly

_REST = 0.25
_MOST_NAMES = 6
_CHAIN = ".parametrizations"


@dataclass(frozen=True, kw_only=True)
class Reach:
    """The layers that a technique changes, by name; other notes have named those ``described``.

    ``what`` opens the sentence, ``excluded`` are layers that the user has left out, and
    ``with_rest`` says that biases and norms are changed with the weights.
    """

    what: str
    reached: Collection[str]
    excluded: Collection[str] = ()
    described: Collection[str] = ()
    with_rest: bool = False


@dataclass(kw_only=True)
class _Counts:
    total: int = 0
    reached: int = 0
    excluded: int = 0
    rest: int = 0
    left: Counter[str] = field(default_factory=Counter)


def notes(module: nn.Module, reach: Reach) -> list[str]:
    """Return a note about the weights that a technique does not reach, if there are any.

    ``module`` is the network before the technique; it may already be under constraints.
    """
    found = _counted(module, reach)
    undescribed = set(found.left).difference(reach.described)
    if not undescribed and found.rest <= _REST * found.total:
        return []
    parts = dict(module.named_modules())
    named = [
        f"{name or 'the network'} ({_kind(parts, name)}, {number:,})"
        for name, number in found.left.most_common(_MOST_NAMES)
    ]
    others = len(found.left) - len(named)
    named += [f"{others} more"] if others else []
    named += [f"biases and norms ({found.rest:,})"] if found.rest else []
    excluded = f", {found.excluded / found.total:.1%} are excluded" if found.excluded else ""
    share = _percent(found.reached, found.total)
    return [
        f"{reach.what} cover {share} of the parameters{excluded}; not covered: {', '.join(named)}"
    ]


def _counted(module: nn.Module, reach: Reach) -> _Counts:
    counts = _Counts()
    for owner, tensor in _tensors(module):
        counts.total += tensor.numel()
        if tensor.ndim < 2:
            counts.reached += tensor.numel() if reach.with_rest else 0
            counts.rest += 0 if reach.with_rest else tensor.numel()
        elif owner in reach.reached:
            counts.reached += tensor.numel()
        elif owner in reach.excluded:
            counts.excluded += tensor.numel()
        elif _holds_integers(tensor):
            # Stored as they are, in few bits, whatever the technique.
            counts.total -= tensor.numel()
        else:
            counts.left[owner] += tensor.numel()
    return counts


def _tensors(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield what a file holds as floats, once each, with its layer; a bare parameter is its own."""
    seen: set[Tensor] = set()
    for prefix, part in module.named_modules():
        is_known = type(part).__module__.startswith("torch.nn.")
        own = [(n, t) for n, t in part.named_parameters(recurse=False)]
        own += [(n, t) for n, t in part.named_buffers(recurse=False) if t.ndim > 1]
        for name, tensor in own:
            if tensor in seen or not tensor.is_floating_point() or _is_of_constraint(prefix, name):
                continue
            seen.add(tensor)
            owner, _, _ = prefix.partition(_CHAIN)
            bare = not (is_known or _CHAIN in prefix) and tensor.ndim > 1 and name != "weight"
            yield (f"{owner}.{name}" if owner else name) if bare else owner, tensor


def _is_of_constraint(prefix: str, name: str) -> bool:
    """Whether it is a scale, a mask or a level of a constraint, and not the weight behind it."""
    return _CHAIN in prefix and not (prefix.endswith(f"{_CHAIN}.weight") and name == "original")


def _kind(parts: dict[str, nn.Module], name: str) -> str:
    return type(parts[name]).__name__ if name in parts else "parameter"


@torch.no_grad()
def _holds_integers(tensor: Tensor) -> bool:
    return not tensor.requires_grad and exactly(tensor.detach().cpu().numpy()) is not None


def _percent(part: int, whole: int) -> str:
    return f"{part / max(1, whole):.1%}"
