"""Train weights that many members share, in one schedule that may be interrupted between epochs.

Members that differ in size learn together, the largest as their teacher. Cells learn one random
path at a time, because an average over operations on every edge is not a cell.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from compress.network.families.network import FamilyNetwork
from compress.network.families.outlining import ElasticFamily
from compress.network.network import Network
from compress.network.running import memory_format
from compress.network.supernet import extraction
from compress.network.supernet.check import check
from compress.network.supernet.config import Elastic
from compress.network.supernet.draw import Draw
from compress.network.supernet.execution import SharedMember
from compress.supernet.objectives import Paths, RandomPath, Sandwich
from compress.tasks.images import Images
from compress.training import batchnorm, calibration, inference
from compress.training import loop as training
from compress.training.context import TrialContext
from compress.training.loop import FitReport, Hooks, Loop, OnProgress, TrainingPlan, silent
from compress.training.objectives import TrainingObjective
from compress.training.optimiser import NesterovSGD

_RATE = 0.1
Momentum = Mapping[str, Tensor]
"""The optimiser's, by names of parameters; those that no gradient has reached are missing."""


@dataclass(frozen=True, kw_only=True)
class TrainingReport:
    """The cost of a training, and the momentum with which the next epoch continues."""

    fit: FitReport
    momentum: Momentum


def train(  # noqa: PLR0913 - what a caller that goes on after an interruption knows, by name
    network: Network,
    elastic: Elastic,
    context: TrialContext,
    *,
    epochs: tuple[int, int],
    of: int,
    momentum: Momentum | None = None,
    on_progress: OnProgress = silent,
) -> tuple[Network, TrainingReport]:
    """Return a copy trained from epoch ``epochs[0]`` to ``epochs[1]`` (exclusive) of ``of`` in all.

    Batches, views, members and learning rates are those of an uninterrupted training. With the
    ``momentum`` of the previous epoch, so are the weights; without it the optimiser starts at rest.
    BatchNorm is re-estimated for the largest member; members that are cut out need their own
    statistics. Progress is reported as ``(epoch, of, mean loss)``.

    Raises InvalidCandidate if ``check`` does, ValueError for epochs outside the schedule,
    InvalidData without images of the network's shape, Stopped, and NumericalError.
    """
    whole = extraction.of_family(network)
    check(elastic, _members(network, whole), epochs=of)
    first, last = epochs
    if not 0 <= first < last <= of:
        raise ValueError(f"epochs {first} to {last} are none of {of}")
    train_images = context.data.train
    calibration.check(train_images, input_shape=network.input_shape)
    batchnorm.check_batch(network, train_images.x_NCHW[: context.batch_size], device=context.device)
    loop, whole = _loop(
        network,
        elastic,
        context,
        of,
        Hooks(should_stop=context.should_stop, on_progress=on_progress),
    )
    _set_momentum(loop, whole, momentum or {})
    report = loop.run(first=first, last=last)
    kept = _momentum(loop, whole)
    trained = replace(network, module=training.finished(whole))
    settled = batchnorm.reestimate(
        trained,
        train_images,
        task=context.task,
        device=context.device,
        augment=context.augment,
    )
    return settled, TrainingReport(fit=report, momentum=kept)


def _members(network: Network, whole: FamilyNetwork) -> ElasticFamily:
    return ElasticFamily(
        config=whole.architecture,
        input_shape=network.input_shape,
        num_classes=network.num_classes,
    )


def _loop(
    network: Network, elastic: Elastic, context: TrialContext, epochs: int, hooks: Hooks
) -> tuple[Loop, FamilyNetwork]:
    """Return the loop and the copy that it trains, both on the device."""
    moved = replace(network, module=inference.copied_to(context.device, network).train())
    whole = extraction.of_family(moved)
    data = context.data.train
    images = Images(x_NCHW=data.x_NCHW.to(context.device), y_N=data.y_N.to(context.device))
    plan = TrainingPlan(
        epochs=epochs,
        seed=context.seed,
        batch_size=context.batch_size,
        learning_rate=_RATE,
        augment=context.augment,
    )
    plan = training.with_augmentation(plan, data, context.task)
    plan = training.with_precision(plan, moved, images, context.task)
    assert plan.precision != "auto"
    draw = Draw(elastic, whole.architecture, seed=context.seed)
    objective: TrainingObjective
    if elastic.operations:
        module, objective = RandomPath(whole, draw), Paths(draw, task=context.task)
    else:
        prepare = inference.preparation_of(network, context.device)
        module = SharedMember(whole, whole.architecture)
        objective = Sandwich(whole, draw, prepare, plan.precision, task=context.task)
    memory_format.remember(module, torch.channels_last)
    learner = replace(moved, module=module.train())
    loop = Loop(learner, images, plan, task=context.task, objective=objective, hooks=hooks)
    return loop, whole


def _trained(whole: FamilyNetwork) -> list[tuple[str, torch.nn.Parameter]]:
    return [(name, p) for name, p in whole.named_parameters() if p.requires_grad]


def _set_momentum(loop: Loop, whole: FamilyNetwork, momentum: Momentum) -> None:
    assert isinstance(loop.optimiser, NesterovSGD)  # networks of families for images have no other
    loop.optimiser.velocities = [
        momentum[name].to(parameter.device, copy=True) if name in momentum else None
        for name, parameter in _trained(whole)
    ]


def _momentum(loop: Loop, whole: FamilyNetwork) -> Momentum:
    assert isinstance(loop.optimiser, NesterovSGD)
    return {
        name: velocity.contiguous().cpu()
        for (name, _), velocity in zip(_trained(whole), loop.optimiser.velocities, strict=True)
        if velocity is not None
    }
