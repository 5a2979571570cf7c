"""Compress a network as a candidate says: apply its steps, then recover, rung by rung."""

from __future__ import annotations

from compress.network import layers
from compress.network.network import Network
from compress.network.running import foreign, memory_format
from compress.tasks.names import TEXT_TASKS
from compress.tasks.task import Task
from compress.techniques import registry
from compress.techniques.candidate import Candidate
from compress.techniques.compressed import CompressedModel
from compress.techniques.quantization.config import Quantization
from compress.techniques.registry import TechniqueConfig
from compress.techniques.training.adjusted_loss.config import AdjustedLoss
from compress.techniques.training.distillation.config import Distillation
from compress.techniques.training.noise.config import NoiseInTraining
from compress.training import batchnorm, loop, range_test, recovery
from compress.training.context import TrialContext
from compress.training.distillation.teacher import TeacherLogits
from compress.training.loop import Hooks, OnProgress, TrainingPlan, silent
from compress.training.noise import USUAL_DROPOUT, Noise
from compress.values import patterns, seeds
from compress.values.errors import Stopped
from compress.values.schedule import USUAL_RATE, Augment, LossSettings, Schedule

_BASELINE_RATES = {"sgd": 0.1, "adam": 5e-3}
_ADAM_RATE = 1e-3
"""Of a recovery with Adam, whose steps do not grow with the gradients: no test has to find it."""
_USUAL = Schedule()
_TEST_SHARE = 0.02
"""Of the images of a recovery, the most that a test of learning rates takes."""


def start(network: Network, candidate: Candidate, context: TrialContext) -> CompressedModel:
    """Apply a candidate without training; this is rung 0.

    The candidate's choice of network comes first, then its steps in the catalog's order. BatchNorm
    is re-estimated after steps that change the network, but before quantization, which corrects its
    own mean errors. That is better than new statistics would be (89.8 % against 89.3 % with 3 bits
    on the published ResNet-20).

    Patterns refer to layers of the network, or of the student if members of one are tried.

    Raises InvalidCandidate if a step does not fit the network, if a pattern matches no layer of it,
    or if the network does not return one row of logits per image.
    """
    foreign.check(network)
    compressed = CompressedModel(network=network, notes=memory_format.notes(network))
    lender = _lender(network, candidate, context)
    if candidate.network is not None:
        compressed = apply(compressed, candidate.network, context)
    for step in candidate.steps:
        if isinstance(step, Quantization):
            compressed = _settled(compressed, network, lender, context)
        compressed = apply(
            compressed, _renamed(step, network, compressed.network, context), context
        )
    quantized = compressed.step(Quantization) is not None
    return compressed if quantized else _settled(compressed, network, lender, context)


def apply(
    compressed: CompressedModel, step: TechniqueConfig, context: TrialContext
) -> CompressedModel:
    """Apply one step.

    Raises InvalidCandidate if the step does not fit the network, and Stopped when asked to stop.
    """
    if context.should_stop():
        raise Stopped(f"stopped before {step.technique}")
    return registry.BY_NAME[step.technique].apply(compressed, step, context)


def _renamed(
    step: TechniqueConfig, original: Network, network: Network, context: TrialContext
) -> TechniqueConfig:
    """Translate the step's patterns from layers of the original network to those of today.

    A block that an earlier step has removed, or a layer that it has split, is not an error.
    """
    texts = {name: getattr(step, name, "") for name in patterns.FIELDS}
    written = {name: text for name, text in texts.items() if text}
    if not written:
        return step
    before, now = (
        _original_names(original, context, step.technique),
        _names(network, step.technique),
    )
    names = {
        field: patterns.resolved(text, original=before, present=now, technique=step.technique)
        for field, text in written.items()
    }
    return step.model_copy(update=names)


def _original_names(original: Network, context: TrialContext, technique: str) -> list[str]:
    """Return ``_names`` of the largest network whose members are tried."""
    student = None if context.members is None else context.members.student(original)
    if student is None:
        return _names(original, technique)
    every = "channels" in registry.BY_NAME[technique].acts_on
    return student.names(only_trained=not every)


def _names(network: Network, technique: str) -> list[str]:
    """Return the layers that the technique may touch; channels also leave untrained layers."""
    every = "channels" in registry.BY_NAME[technique].acts_on
    return [layer.name for layer in layers.weighted(network) if layer.is_trained or every]


def _lender(network: Network, candidate: Candidate, context: TrialContext) -> Network | None:
    """Return the network that the candidate takes its weights from; None if they are new."""
    match "inherited" if candidate.network is None else candidate.network.weights:
        case "inherited":
            return network
        case "supernet":
            return context.supernet
        case "fresh":
            return None


def _settled(
    compressed: CompressedModel, original: Network, lender: Network | None, context: TrialContext
) -> CompressedModel:
    """Re-estimate the BatchNorm statistics if the network has changed.

    Images are augmented as the ``lender`` of the weights has seen them.
    """
    if compressed.network is original:
        return compressed
    fresh = batchnorm.reestimate(
        compressed.network,
        context.data.train,
        task=context.task,
        device=context.device,
        augment=context.augment,
        like=lender,
    )
    return compressed.evolve(network=fresh)


def recover(
    compressed: CompressedModel,
    context: TrialContext,
    *,
    epochs: int,
    total: int | None = None,
    schedule: Schedule = _USUAL,
    on_progress: OnProgress = silent,
) -> CompressedModel:
    """Train ``epochs`` more epochs on the labels, and on the teacher if the candidate says so.

    ``total`` are the epochs of all segments together, these by default: a test of learning rates
    before the first one takes no more than 2 % of them. Every segment anneals to zero, because
    every rung ends with a file. A recovery that made the network worse is dropped. Zero epochs
    change nothing. Raises InvalidCandidate if distillation's teacher does not exist, Stopped, and
    NumericalError.
    """
    if epochs == 0:
        return compressed
    compressed = _with_rate(compressed, context, schedule, epochs=max(epochs, total or 0))
    trained, report = loop.fit(
        compressed.network,
        context.data.train,
        _recovery_plan(compressed, context, epochs, schedule),
        task=_task(compressed, context, schedule),
        device=context.device,
        teacher=_teacher(compressed, context),
        hooks=Hooks(should_stop=context.should_stop, on_progress=on_progress),
    )
    network, note = recovery.best_of(
        compressed.network,
        _with_own_norms(trained, compressed, context, schedule),
        context.data.validation,
        context.device,
        task=context.task,
    )
    return compressed.evolve(
        network=network,
        epochs=compressed.epochs + epochs,
        train_images_per_second=report.images_per_second,
        notes=compressed.notes + ((note,) if note else ()),
    )


def _with_own_norms(
    trained: Network, compressed: CompressedModel, context: TrialContext, schedule: Schedule
) -> Network:
    """Re-estimate BatchNorm that has seen other weights than those that the file will hold."""
    quantization = compressed.step(Quantization)
    if quantization is None or quantization.trains_rounded:
        return trained
    return batchnorm.reestimate(
        trained,
        context.data.train,
        task=context.task,
        device=context.device,
        augment=schedule.augment,
    )


def train_baseline(
    network: Network,
    *,
    epochs: int,
    context: TrialContext,
    augment: Augment | None = None,
    on_progress: OnProgress = silent,
) -> Network:
    """Train a network with fresh weights, as a baseline is trained.

    ``augment`` is how images are augmented; None means as in the context.
    """
    plan = TrainingPlan(
        epochs=epochs,
        seed=context.seed,
        batch_size=context.batch_size,
        learning_rate=_BASELINE_RATES[network.optimiser],
        augment=augment or context.augment,
        noise=Noise(word_dropout=_usual_dropout(context)),
    )
    hooks = Hooks(should_stop=context.should_stop, on_progress=on_progress)
    trained, _ = loop.fit(
        network,
        context.data.train,
        plan,
        task=context.task,
        device=context.device,
        hooks=hooks,
    )
    return trained


def _teacher(compressed: CompressedModel, context: TrialContext) -> TeacherLogits | None:
    return recovery.teacher_of(
        compressed.step(Distillation),
        baseline=context.teacher_logits,
        uploaded=context.uploaded_teacher_logits,
    )


def _with_rate(
    compressed: CompressedModel, context: TrialContext, schedule: Schedule, *, epochs: int
) -> CompressedModel:
    """Decide the learning rate before the first segment; ``epochs`` are those of all segments."""
    if compressed.learning_rate is not None:
        return compressed
    if schedule.learning_rate != "auto":
        return compressed.evolve(learning_rate=schedule.learning_rate)
    if compressed.network.optimiser == "adam":
        return compressed.evolve(learning_rate=_ADAM_RATE)
    if compressed.network.ports is None:
        # It came from no file: the usual rate was chosen on such networks.
        return compressed.evolve(learning_rate=USUAL_RATE)
    found = range_test.learning_rate(
        compressed.network,
        context.data.train,
        task=context.task,
        device=context.device,
        most_images=int(_TEST_SHARE * epochs * len(context.data.train)),
        seed=seeds.derive(context.seed, "range test"),
    )
    notes = (*compressed.notes, f"recovery: {found.described}")
    return compressed.evolve(learning_rate=found.rate, notes=notes)


def _rate(compressed: CompressedModel) -> float:
    assert compressed.learning_rate is not None  # it was decided before the first segment
    return compressed.learning_rate


def _recovery_plan(
    compressed: CompressedModel, context: TrialContext, epochs: int, schedule: Schedule
) -> TrainingPlan:
    return TrainingPlan(
        epochs=epochs,
        seed=seeds.derive(context.seed, "recovery", compressed.epochs),
        batch_size=context.batch_size,
        learning_rate=_rate(compressed),
        weight_decay=schedule.weight_decay,
        warmup=schedule.warmup,
        distillation=compressed.step(Distillation),
        precision=schedule.precision,
        augment=schedule.augment,
        noise=_noise(compressed, context, schedule.word_dropout),
    )


def _task(compressed: CompressedModel, context: TrialContext, schedule: Schedule) -> Task:
    """Return the task with the loss that the candidate asks for, or else the job."""
    step = compressed.step(AdjustedLoss)
    found = LossSettings(
        label_smoothing=schedule.label_smoothing, class_weight=schedule.class_weight
    )
    return context.task.adjusted(found if step is None else step.settings)


def _noise(compressed: CompressedModel, context: TrialContext, asked: float | None) -> Noise:
    """Return the noise that the candidate asks for, or else the job, or else is usual."""
    step = compressed.step(NoiseInTraining)
    if step is not None:
        return Noise(word_dropout=step.word_dropout, embedding_noise=step.embedding_noise)
    return Noise(word_dropout=_usual_dropout(context) if asked is None else asked)


def _usual_dropout(context: TrialContext) -> float:
    return USUAL_DROPOUT if context.task.name in TEXT_TASKS else 0.0
