"""Weights of a family's networks as safetensors files."""

from __future__ import annotations

from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from compress.network.families import layout
from compress.network.families.catalog import Architecture
from compress.network.families.drawn import network as drawn
from compress.network.families.drawn.catalog import DrawnArchitecture
from compress.network.families.drawn.config import DrawnConfig
from compress.network.families.network import FamilyNetwork, pad_shortcuts, pad_weight
from compress.network.network import Network
from compress.network.preprocessing import Normalisation
from compress.network.signature import ExampleShape
from compress.network.sources import inspection, safetensors_header
from compress.values.errors import InvalidWeights, NumericalError

COUNTER = ".num_batches_tracked"


def load(
    path: Path,
    *,
    architecture: Architecture | DrawnArchitecture,
    normalisation: Normalisation,
    input_shape: ExampleShape,
    num_classes: int,
) -> Network:
    """The network of a weights file, in float32 and ready to predict.

    Raises InvalidWeights when the tensors do not fit, NumericalError when one holds NaN or
    infinity.
    """
    if isinstance(architecture, DrawnConfig):
        safetensors_header.read(path)
        return drawn.loaded(
            architecture,
            _read(path),
            normalisation=normalisation,
            input_shape=input_shape,
            num_classes=num_classes,
        )
    found = inspection.match_tensors(safetensors_header.read(path), architecture)
    _check_fit(found, (input_shape[0], num_classes), normalisation)
    module = FamilyNetwork(architecture, in_channels=input_shape[0], num_classes=num_classes).eval()
    tensors = _read(path)
    names = inspection.own_names(tensors, architecture)
    own = module.state_dict()
    # All shapes match, but for 1x1 convolutions that are linear layers here.
    fitting = {names[name]: t.reshape(own[names[name]].shape) for name, t in tensors.items()}
    module.load_state_dict(fitting, strict=False)
    return Network(
        module=module,
        normalisation=normalisation,
        input_shape=input_shape,
        num_classes=num_classes,
    )


def save(network: Network, path: Path) -> None:
    """Write a network that is still a whole member of its family, or as it was drawn.

    Raises ValueError for a pruned network or a cut student: the names and shapes of a family
    cannot say which channels are left.
    """
    tensors = {name: tensor.contiguous().cpu() for name, tensor in _tensors(network).items()}
    part = path.with_name(path.name + ".part")
    safetensors.torch.save_file(tensors, part)
    part.replace(path)


def _tensors(network: Network) -> dict[str, Tensor]:
    module = network.module
    if drawn.is_drawn(network):
        return drawn.weights(network)
    if not isinstance(module, FamilyNetwork) or not is_whole(module):
        raise ValueError("only a network with the layout of its family can be saved as weights")
    return _published(module)


def is_whole(module: FamilyNetwork) -> bool:
    """Whether every tensor has the name and the shape of the family, pad shortcuts their values."""
    shapes = {name: tuple(tensor.shape) for name, tensor in _published(module).items()}
    expected = layout.tensor_shapes(
        module.architecture,
        in_channels=module.plan.layers[0].inputs,
        num_classes=module.plan.layers[-1].outputs,
    )
    return shapes == expected and all(
        torch.equal(pad.weight.cpu(), pad_weight(pad.in_channels, pad.out_channels))
        for _, pad in pad_shortcuts(module)
    )


def _check_fit(
    found: tuple[int, int], expected: tuple[int, int], normalisation: Normalisation
) -> None:
    if found != expected:
        raise InvalidWeights(
            f"the weights are for {found[0]} channels and {found[1]} classes, the data has "
            f"{expected[0]} channels and {expected[1]} classes"
        )
    if len(normalisation.mean) != expected[0]:
        raise InvalidWeights(
            f"the input normalisation is for {len(normalisation.mean)} channels, the network "
            f"takes {expected[0]}"
        )


def _read(path: Path) -> dict[str, Tensor]:
    try:
        tensors = safetensors.torch.load_file(path)
    except SafetensorError as error:
        raise InvalidWeights(f"the weights file cannot be read: {error}") from error
    kept = {
        name: tensor.to(torch.float32)
        for name, tensor in tensors.items()
        if not name.endswith(COUNTER)
    }
    for name, tensor in kept.items():
        if not bool(torch.isfinite(tensor).all()):
            raise NumericalError(f"tensor {name!r} holds a NaN or an infinity")
    return kept


def _published(module: FamilyNetwork) -> dict[str, Tensor]:
    fixed = {f"{name}.weight" for name, _ in pad_shortcuts(module)}
    return {
        name: tensor
        for name, tensor in module.state_dict().items()
        if name not in fixed and not name.endswith(COUNTER)
    }
