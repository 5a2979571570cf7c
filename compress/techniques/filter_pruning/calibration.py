"""Collect the evidence for importances: gradients and activations on a few training images.

Legend: N images, B images of a batch, A inputs of a layer, P positions, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from compress.network import layers
from compress.network.network import Network
from compress.network.running import foreign
from compress.network.running.weight_views import Weighted, view_of
from compress.network.structure.importance import Evidence
from compress.tasks.task import Batch, Task
from compress.techniques.filter_pruning.config import FilterPruning
from compress.training import calibration, inference
from compress.training.context import TrialContext
from compress.values import seeds

_BATCH_SIZE = 32
Statistic = Callable[[Tensor], Tensor]


def gather(
    network: Network, config: FilterPruning, context: TrialContext, *, step: int
) -> Evidence:
    """Collect what the config's importance needs, on up to ``calibration_images`` images.

    Raises InvalidData if there are no training images or if they do not fit the network.
    """
    number = config.calibration_images
    match config.importance:
        case "taylor" | "hessian":
            size = _BATCH_SIZE if config.importance == "taylor" else 1
            batches = _batches(network, context, number=number, size=size)
            squares = squared_gradients(network, batches, context.task, context.device)
            return Evidence(squared_gradients=squares)
        case "activation" | "apoz":
            statistic = mean_size if config.importance == "activation" else share_of_nonzeros
            x_NCHW = calibration.sample(
                context.data.train, num_images=number, input_shape=network.input_shape
            )
            return Evidence(inputs=layer_inputs(network, x_NCHW, statistic, context.device))
        case _:
            seed = seeds.derive(context.seed, "random importance", step)
            return Evidence(generator=torch.Generator().manual_seed(seed))


def squared_gradients(
    network: Network, batches: Sequence[Batch], task: Task, device: torch.device
) -> Mapping[str, Tensor]:
    """Return ``E[g^2]`` per parameter; ``g`` is the gradient of the mean loss of a batch.

    Images are raw. With batches of one image this is the diagonal of the empirical Fisher matrix.
    (One image after the other: ``torch.func.vmap`` is no faster on these networks and imports
    torch's compiler.)
    """
    module = inference.copied_to(device, network).eval()
    prepare = inference.preparation_of(network, torch.device("cpu"))
    parameters = {n: p for n, p in module.named_parameters() if p.requires_grad}
    total = {name: torch.zeros_like(parameter) for name, parameter in parameters.items()}
    with torch.enable_grad():
        for batch in batches:
            x_BCHW = prepare(batch.x_BCHW).to(device)
            loss = task.loss(foreign.run(module, x_BCHW), batch)
            with foreign.blamed("this importance needs the gradients of the network"):
                found = torch.autograd.grad(loss, list(parameters.values()), materialize_grads=True)
            for name, gradient in zip(parameters, found, strict=True):
                total[name] += gradient.square()
    return {name: (value / len(batches)).cpu() for name, value in total.items()}


def layer_inputs(
    network: Network, x_NCHW: Tensor, statistic: Statistic, device: torch.device
) -> Mapping[str, Tensor]:
    """Return a statistic ``(A,)`` of every layer's inputs, over raw images and positions.

    Those of a recurrent layer are its inputs and its states. What reads no channels, such as an
    embedding, is not asked.
    """
    total: dict[str, Tensor] = {}

    def see(name: str, layer: Weighted, x: Any, share: float) -> None:
        total[name] = total.get(name, 0) + share * statistic(view_of(layer).inputs(layer, x))

    found = [layer for layer in layers.weighted(network) if layer.view.reads_channels]
    calibration.watch(network, found, x_NCHW, device=device, see=see)
    return {name: value.cpu() for name, value in total.items()}


def mean_size(x_PA: Tensor) -> Tensor:
    """Return the mean absolute activation ``(A,)``."""
    return x_PA.abs().mean(0)


def share_of_nonzeros(x_PA: Tensor) -> Tensor:
    """Return one minus the average share of zeros. Hu et al., arXiv:1607.03250, equation 1."""
    return (x_PA != 0).float().mean(0)


def _batches(network: Network, context: TrialContext, *, number: int, size: int) -> list[Batch]:
    images = context.data.train
    calibration.check(images, input_shape=network.input_shape)
    generator = torch.Generator().manual_seed(context.seed)
    chosen = torch.randperm(len(images), generator=generator)[:number]
    return [
        Batch(
            rows_B=rows_B,
            x_BCHW=images.x_NCHW[rows_B],
            labels_B=images.y_N[rows_B].to(context.device),
        )
        for rows_B in chosen.split(size)
    ]
