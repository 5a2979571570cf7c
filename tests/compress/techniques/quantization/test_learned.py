"""The contract of everything that gradients train: it moves, and by a sensible share.

What is learned is found, not listed: whatever the optimiser is given by any choice of any
technique of the catalog, on a network, on the constraints of its layers, or beside it.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal, get_args, get_origin

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from compress import pipeline, techniques
from compress.network.layers import WeightedLayer, weighted
from compress.network.network import Network
from compress.network.sources.family import FamilyMembers
from compress.tasks.images import Images
from compress.tasks.kinds.image_classification.task import IMAGE_CLASSIFICATION
from compress.techniques.candidate import Candidate
from compress.techniques.family_member.config import FamilyMember
from compress.techniques.quantization import rounding
from compress.techniques.quantization.constraint import Sharing
from compress.techniques.quantization.learned_step import LearnedStep
from compress.techniques.quantization.observers import GridRule
from compress.techniques.registry import TechniqueConfig
from compress.techniques.training.distillation.config import Distillation
from compress.training import constraints
from compress.training import loop as training
from compress.training.constraints import WeightConstraint
from compress.training.context import TrialContext
from compress.training.distillation import comparison
from compress.training.loop import Hooks, Loop, TrainingPlan
from compress.training.objectives import Labels, OnlineTeacher, TrainingObjective
from compress.values.errors import InvalidCandidate
from tests.compress import contract
from tests.compress.techniques.quantization.test_rounding import correlated, grid_of
from tests.devices import DEVICE

LEAST, MOST = 1e-4, 1.0
"""Of a quantity's size: how far it moves in an epoch at the usual rate."""
PLAN = TrainingPlan(
    epochs=1, seed=0, batch_size=64, learning_rate=0.02, augment="none", precision="fp32"
)


@dataclass(frozen=True)
class Learner:
    """A network, what it learns from, and everything that the optimiser would move."""

    network: Network
    teacher: Network
    candidate: Candidate
    images: Images

    @cached_property
    def loop(self) -> Loop:
        """Ready to train a copy of the network, for one epoch."""
        student = replace(self.network, module=copy.deepcopy(self.network.module).train())
        return Loop(
            student,
            self.images,
            PLAN,
            objective=self._objective(student),
            hooks=Hooks(),
            task=IMAGE_CLASSIFICATION,
        )

    def _objective(self, student: Network) -> TrainingObjective:
        config = self.candidate.configs[-1]
        if not isinstance(config, Distillation) or not config.is_online:
            return Labels(IMAGE_CLASSIFICATION)
        teacher = None if config.teacher == "self" else self.teacher
        x_BCHW = self.images.x_NCHW[: PLAN.batch_size]
        return OnlineTeacher(
            student, teacher, config, x_BCHW=x_BCHW, precision="fp32", task=IMAGE_CLASSIFICATION
        )

    @property
    def quantities(self) -> Mapping[str, nn.Parameter]:
        """Everything that is trained, by name."""
        return {
            name: parameter
            for module in (self.loop.module, self.loop.objective.trained)
            for name, parameter in module.named_parameters()
            if parameter.requires_grad
        }

    @property
    def constraints(self) -> Mapping[str, WeightConstraint]:
        """The constraints that learn something, by the names of what they learn."""
        return {
            f"{name}.{own}": part
            for name, part in self.loop.module.named_modules()
            if isinstance(part, WeightConstraint)
            for own, _ in part.named_parameters()
        }

    @property
    def kinds(self) -> frozenset[object]:
        """What tells one set of learned quantities from another."""
        own = {type(part).__name__ for part in self.constraints.values()}
        return frozenset(own | {(n, tuple(p.shape)) for n, p in self.quantities.items()})

    def frozen(self) -> Learner:
        """The same, but constraints learn nothing."""
        module = copy.deepcopy(self.network.module)
        for name in self.constraints:
            module.get_parameter(name).requires_grad_(False)
        return replace(self, network=replace(self.network, module=module))

    def moved(self) -> Mapping[str, float]:
        """Train, and say how far everything has moved relative to its size."""
        before = {name: each.detach().clone() for name, each in self.quantities.items()}
        self.loop.run()
        return {name: share(before[name], p.detach()) for name, p in self.quantities.items()}

    @property
    def stored(self) -> Mapping[str, Tensor]:
        """The weights that a file would hold."""
        baked = constraints.bake(self.loop.network)[0]
        return {layer.name: layer.module.weight.detach() for layer in weighted(baked)}


def share(before: Tensor, after: Tensor) -> float:
    return float((after - before).double().norm() / before.double().norm())


def choices() -> Iterator[Candidate]:
    """What the contract tries, and every value of each choice of the first case of a technique."""
    seen = set()
    for case in contract.CASES:
        configs = [case.config]
        if case.technique not in {config.technique for config in seen}:
            configs += others(case.config)
        for config in configs:
            seen.add(config)
            # A teacher that is wider than its student needs regressors between their maps.
            narrow = [FamilyMember(width=0.5)] if case.technique == "distillation" else []
            yield Candidate(steps=(*narrow, config))


def others(config: TechniqueConfig) -> Iterator[TechniqueConfig]:
    for name, field in type(config).model_fields.items():
        if name == "technique" or get_origin(field.annotation) is not Literal:
            continue
        for value in get_args(field.annotation):
            with suppress(ValidationError):
                yield type(config).model_validate({**config.model_dump(), name: value})


@pytest.fixture(scope="module")
def learners(digits):
    """One for each set of things that are learned together."""
    five = contract.five_classes(digits)
    plan = replace(PLAN, epochs=4, learning_rate=0.1)
    # oneDNN of torch 2.13 corrupts memory where narrow 1x1 convolutions with a stride train.
    baseline = contract.fresh("residual with pad shortcuts")
    teacher, _ = training.fit(baseline, five.train, plan, device=DEVICE, task=IMAGE_CLASSIFICATION)
    few = replace(five, train=Images(x_NCHW=five.train.x_NCHW[:64], y_N=five.train.y_N[:64]))
    context = TrialContext(
        members=FamilyMembers(),
        data=few,
        device=DEVICE,
        seed=0,
        teacher=teacher,
        uploaded_teacher=teacher,
        task=IMAGE_CLASSIFICATION,
    )
    found: dict[frozenset[object], Learner] = {}
    for candidate in choices():
        with suppress(InvalidCandidate):
            network = pipeline.start(teacher, candidate, context).network
            one = Learner(network, teacher, candidate, five.train)
            found.setdefault(one.kinds, one)
    return list(found.values())


@pytest.mark.proof
def test_everything_that_is_learned_moves_by_a_sensible_share_in_an_epoch(learners):
    for one in learners:
        shares = replace(one).moved()
        wrong = {name: found for name, found in shares.items() if not LEAST <= found <= MOST}
        assert not wrong, f"{one.candidate.steps} moves {wrong}"


@pytest.mark.proof
def test_what_constraints_learn_is_in_the_file(learners):
    found = [one for one in learners if one.constraints]
    assert found
    for one in found:
        free, frozen = replace(one), one.frozen()
        free.loop.run()
        frozen.loop.run()
        for name in one.constraints:
            before = one.network.module.get_parameter(name)
            assert torch.equal(frozen.loop.module.get_parameter(name), before)
        learning = {name.split(".parametrizations")[0] for name in one.constraints}
        before = frozen.stored
        assert all(not torch.equal(free.stored[name], before[name]) for name in learning)


@pytest.mark.proof
def test_every_file_that_makes_something_to_learn_is_under_this_contract(learners):
    """A technique whose parameters no choice above reaches would be trained unseen."""
    folders = [Path(inspect.getfile(each)).parent for each in (techniques, comparison)]
    files = [path for folder in folders for path in folder.rglob("*.py")]
    makers = {path for path in files if "nn.Parameter(" in path.read_text()}
    seen = {
        Path(inspect.getfile(type(part))) for one in learners for part in one.constraints.values()
    }
    if any(list(one.loop.objective.trained.parameters()) for one in learners):
        seen.add(Path(inspect.getfile(comparison)))
    assert makers == seen


def test_adaround_learns_its_choices_in_no_units():
    """Its own descent: frozen it rounds to the nearest, and sizes of weights or inputs are one."""
    weight = torch.randn(8, 24, generator=torch.Generator().manual_seed(1))
    moment, grid = correlated(24), grid_of(weight, scale=0.6, top=3.0)
    frozen = rounding.adaround(weight, moment, grid, steps=0)
    learned = rounding.adaround(weight, moment, grid)
    assert torch.equal(frozen, grid.nearest(weight))
    assert 0.01 < float((learned != frozen).float().mean()) < 0.5
    for size, inputs in ((1e-6, 1.0), (1e4, 1.0), (1.0, 1e-6), (1.0, 1e6)):
        scaled = grid_of(weight, scale=0.6 * size, top=3.0)
        found = rounding.adaround(weight * size, moment * inputs, scaled)
        assert float((found != learned).float().mean()) < 0.02


@pytest.mark.parametrize("factor", [1e-3, 1.0, 1e3])
def test_a_step_per_tensor_moves_by_the_same_share_whatever_batchnorm_multiplies_by(factor):
    generator = torch.Generator().manual_seed(0)
    weight, gradient = torch.randn(2, 6, 4, 3, 3, generator=generator)
    shares = []
    for each in (1.0, factor):
        module, norm = nn.Conv2d(4, 6, 3, bias=False), nn.BatchNorm2d(6)
        with torch.no_grad():
            module.weight.copy_(weight)
            norm.weight.copy_(each * torch.linspace(0.5, 2.0, 6))
        layer = WeightedLayer(name="layer", module=module, norm=norm.eval())
        step = LearnedStep(layer, GridRule(bits=4), Sharing(granularity="tensor"))
        step(weight).backward(gradient)
        shares.append(float(step.step_S.grad / step.step_S.detach()))
    assert shares[1] == pytest.approx(shares[0], rel=1e-3)
