"""Record who reads what a layer puts out, operation by operation, while the network runs.

A BatchNorm may be folded into a layer only if nothing else reads that layer: not through a view or
a slice, not in place, not as an output of the network, and not the weights themselves. Names and
graphs hide such readers; the operations that torch executes hide none. Tensors are identified by
their storage, which every view and every change in place shares.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, get_args

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.hooks import RemovableHandle

from compress.network.running.weight_views import Weighted, is_weighted, view_of

Norm = nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d
# A class of its own that computes something else cannot be folded, whatever it derives from.
_PLAIN_NORM = frozenset(kind.forward for kind in get_args(Norm))


class Readers(TorchDispatchMode):
    """Watches one run of a network: its layers in order, and who reads them.

    ``order`` holds a layer as often as it ran.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.order: list[Weighted] = []
        self._module = module
        self._running: list[nn.Module] = []
        # By storage; the tensors are kept, for the place of a freed one would be used again.
        self._outputs: dict[int, tuple[Weighted, Tensor]] = {}
        self._norms: dict[Weighted, list[Norm]] = {}
        self._runs: list[Norm] = []
        self._read: set[nn.Module] = set()
        self._owners = _owners(module)
        self.shared: set[nn.Module] = set()
        """Layers and norms whose own tensors are also read elsewhere."""
        for owners in self._owners.values():
            self.shared.update(owners if len(owners) > 1 else ())

    def norm(self, layer: Weighted) -> Norm | None:
        """Return the BatchNorm that alone reads the layer and reads nothing else, if any."""
        found = self._norms.get(layer, [])
        if len(found) != 1 or self._runs.count(found[0]) != 1:
            return None
        is_plain = view_of(layer).is_plain(layer) and type(found[0]).forward in _PLAIN_NORM
        is_alone = layer not in self._read and self.shared.isdisjoint((layer, found[0]))
        return found[0] if is_plain and is_alone else None

    def finish(self, answer: object) -> None:
        """Take note of what the network returned: whoever asked for it reads it, too."""
        self._mark(tree_leaves(answer))

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Return False: telling torch's compiler to stay away would load it, for seconds."""
        return False

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run the operation, and take note that its tensors were read."""
        self._mark(_leaves(args))
        if kwargs:
            self._mark(_leaves(kwargs.values()))
        return func(*args, **(kwargs or {}))

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch the layers with hooks, and every operation, for the duration of the context."""
        handles = list(self._hooks())
        try:
            with self:
                yield
        finally:
            for handle in handles:
                handle.remove()

    def _mark(self, leaves: Iterable[object]) -> None:
        running = self._running[-1] if self._running else None
        for leaf in leaves:
            if not isinstance(leaf, Tensor):
                continue
            self.shared.update(o for o in self._owners.get(id(leaf), ()) if _is_other(o, running))
            found = self._outputs.get(_storage(leaf))
            if found is not None and not _reads_it(running, self._norms.get(found[0], [])):
                self._read.add(found[0])

    def _hooks(self) -> Iterator[RemovableHandle]:
        for part in self._module.modules():
            if is_weighted(part):
                yield part.register_forward_pre_hook(self._begins)
                # First of all hooks: another one may replace or read the output.
                yield part.register_forward_hook(self._ran, prepend=True)
            elif isinstance(part, Norm):
                yield part.register_forward_pre_hook(self._norm_begins, with_kwargs=True)
                yield part.register_forward_hook(self._norm_ran, prepend=True)

    def _begins(self, part: nn.Module, inputs: object) -> None:
        self._running.append(part)

    def _ran(self, part: nn.Module, inputs: object, output: object) -> None:
        assert is_weighted(part)
        self._running.pop()
        self.order.append(part)
        if isinstance(output, Tensor):
            self._outputs[_storage(output)] = (part, output)

    def _norm_begins(
        self, part: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> None:
        assert isinstance(part, Norm)
        x = given(args, kwargs)
        self._runs.append(part)
        found = self._outputs.get(_storage(x)) if isinstance(x, Tensor) else None
        if found is not None and found[1] is x and _has_channels(found[0], x):
            self._norms.setdefault(found[0], []).append(part)
        self._running.append(part)

    def _norm_ran(self, part: nn.Module, inputs: object, output: object) -> None:
        self._running.pop()


def given(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Return the input of a layer, by position or by name; None if there is none.

    Several, as of a recurrent layer that starts from a state, are a tuple.
    """
    if len(args) > 1:
        return args
    return args[0] if args else kwargs.get("input")


def _leaves(values: Iterable[object]) -> Iterator[object]:
    """Yield what an operation is given, lists opened; ten times as fast as ``tree_leaves``."""
    for value in values:
        if isinstance(value, list | tuple):
            yield from value
        else:
            yield value


def _has_channels(layer: Weighted, output: Tensor) -> bool:
    """Whether a BatchNorm finds the layer's output channels on its channel axis.

    Behind a linear layer on sequences it would normalise by position.
    """
    return view_of(layer).is_normalised(layer, output)


def _reads_it(running: nn.Module | None, norms: Sequence[Norm]) -> bool:
    return running is not None and any(norm is running for norm in norms)


def _is_other(owner: nn.Module, running: nn.Module | None) -> bool:
    """Whether what runs is not the owner, nor a layer whose rounding asks its BatchNorm."""
    asks = isinstance(owner, Norm) and is_weighted(running)
    return running is not owner and not asks


def _owners(module: nn.Module) -> dict[int, list[nn.Module]]:
    """Return the owners of every tensor; two layers may share one."""
    found: dict[int, list[nn.Module]] = {}
    for part in module.modules():
        if is_weighted(part) or isinstance(part, Norm):
            for tensor in {*part.parameters(), *part.buffers()}:
                found.setdefault(id(tensor), []).append(part)
    return found


def _storage(tensor: Tensor) -> int:
    """Return the address of a tensor's values; its own identity if it has no storage."""
    if tensor.layout != torch.strided:
        return id(tensor)
    return tensor.untyped_storage().data_ptr() or id(tensor)
