"""The weighted layers of a network, by name and in the order in which it runs them.

Every technique that works on weights layer by layer starts here: pruning patterns, masks, grids,
codebooks, factorised layers. So does the file's writer, which meets the same layers in the same
order in the exported graph.

Legend: O output channels, I everything else of a weight.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from compress.network.network import Network
from compress.network.running import foreign, readers
from compress.network.running.readers import Norm, Readers
from compress.network.running.weight_views import Weighted, WeightView, view_of
from compress.values import patterns
from compress.values.errors import InvalidCandidate

_Question = Callable[[nn.Module, Any, Any], int]
"""What is asked of a layer, its input and its output."""


@dataclass(frozen=True, kw_only=True)
class WeightedLayer:
    """A layer whose weights are matrices: one that a view covers.

    ``norm`` is the BatchNorm behind it if the two belong together: nothing else reads the layer,
    and the norm reads nothing else (``compress.network.running.readers``). ``is_shared`` says that
    its weight or its bias is also read elsewhere.
    """

    name: str
    module: Weighted
    norm: Norm | None
    is_shared: bool = False

    @property
    def view(self) -> WeightView:
        """The view that says how its type holds weights."""
        return view_of(self.module)

    @property
    def is_trained(self) -> bool:
        """Whether its weight may change; that of a pad shortcut may not."""
        return latent(self.module).requires_grad

    @property
    def num_weights(self) -> int:
        """The number of its weights, without biases."""
        return latent(self.module).numel()


def latent(module: nn.Module) -> Tensor:
    """Return the trained tensor behind ``module.weight``: the weight itself if unconstrained."""
    if hasattr(module, "parametrizations"):
        return module.get_parameter("parametrizations.weight.original")
    return module.get_parameter("weight")


def weighted(network: Network) -> tuple[WeightedLayer, ...]:
    """Return every layer with a view that the network runs, first to last.

    Raises InvalidCandidate if the network does not run on its own input shape, or runs a layer
    twice: a weight in two places cannot be changed in only one of them.
    """
    names = {part: name for name, part in network.module.named_modules()}
    seen = _run(network)
    twice = sorted({names[part] for part in seen.order if seen.order.count(part) > 1})
    if twice:
        raise InvalidCandidate(f"the network runs {twice} more than once: it cannot be compressed")
    for part in seen.order:
        _check_weight(names[part], part)
    return tuple(
        WeightedLayer(
            name=names[part], module=part, norm=seen.norm(part), is_shared=part in seen.shared
        )
        for part in seen.order
    )


def trained(network: Network, *, exclude: str = "", technique: str) -> tuple[WeightedLayer, ...]:
    """Return the layers whose weights may change, except those that ``exclude`` names.

    Raises InvalidCandidate, in the name of ``technique``, if a pattern matches no layer or if there
    are no layers.
    """
    found = [layer for layer in weighted(network) if layer.is_trained]
    if not found:
        raise InvalidCandidate(f"{technique} found no layer with a weight that it could change")
    left_out = set(patterns.matching(exclude, [layer.name for layer in found], technique=technique))
    return tuple(layer for layer in found if layer.name not in left_out)


def output_positions(network: Network) -> dict[str, int]:
    """Return how often each weighted layer, first to last, applies its weight to one image."""
    return _asked(network, lambda part, x, output: view_of(part).positions(part, x, output))


def resolutions(network: Network) -> dict[str, int]:
    """Return the pixels, or the length, of what each weighted layer, first to last, puts out."""
    return _asked(network, lambda part, _, output: view_of(part).resolution(output))


def _asked(network: Network, question: _Question) -> dict[str, int]:
    """Ask every weighted layer, first to last, about its run on a single image."""
    found: dict[str, int] = {}
    named = [(layer.name, layer.module) for layer in weighted(network)]
    handles = [
        part.register_forward_hook(_recorder(name, found, question), with_kwargs=True)
        for name, part in named
    ]
    device = next(network.module.parameters(), torch.zeros(0)).device
    try:
        with torch.no_grad():
            foreign.run(network.module, network.blank(device=device))
    finally:
        for handle in handles:
            handle.remove()
    return found


def norm_factor(layer: WeightedLayer) -> Tensor:
    """Return the factor of the BatchNorm behind a layer, per output channel, float64 ``(O,)``.

    ``gamma / sqrt(variance + epsilon)``: the factor by which an exporter scales the weights when
    it folds the two into one. Ones without a BatchNorm.
    """
    norm = layer.norm
    if norm is None or norm.running_var is None:
        return torch.ones(len(latent(layer.module)), dtype=torch.float64)
    factor_O = torch.rsqrt(norm.running_var.double() + norm.eps)
    return factor_O if norm.weight is None else factor_O * norm.weight.detach().double()


def by_name(found: Sequence[WeightedLayer]) -> Mapping[str, WeightedLayer]:
    """Return the layers by their names."""
    return {layer.name: layer for layer in found}


def _check_weight(name: str, part: Weighted) -> None:
    """Raise InvalidCandidate if something unknown computes the weight that the layer uses."""
    bent = part.get_submodule("parametrizations") if hasattr(part, "parametrizations") else None
    chains = {} if bent is None else dict(bent.named_children())
    known = all(
        getattr(each, "is_constraint", False) for c in chains.values() for each in c.children()
    )
    own = {tensor for tensor, _ in part.named_parameters(recurse=False)} | set(chains)
    if known and set(chains) <= {"weight"} and "weight" in own:
        return
    raise InvalidCandidate(
        f"something computes the weight or the bias of {name} before it is used (weight_norm, "
        "spectral_norm, a pruning mask), so it cannot be compressed: make it an ordinary one "
        "first, with torch.nn.utils.parametrize.remove_parametrizations or the remove function "
        "of what put it there"
    )


@torch.no_grad()
def _run(network: Network) -> Readers:
    modes = {part: part.training for part in network.module.modules()}
    network.module.eval()
    first = next(network.module.parameters(), torch.zeros(0))
    x_1CHW = network.blank(device=first.device)
    seen = Readers(network.module)
    doing = f"the network does not run on an input of shape {network.input_shape}"
    try:
        with foreign.blamed(doing), seen.watching():
            answer = network.module(x_1CHW)
        seen.finish(answer)
    finally:
        for part, mode in modes.items():
            part.training = mode
    return seen


def _recorder(
    name: str, found: dict[str, int], question: _Question
) -> Callable[[nn.Module, tuple[Any, ...], dict[str, Any], Any], None]:
    def record(part: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        found[name] = question(part, readers.given(args, kwargs), output)

    return record
