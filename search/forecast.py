"""How long a job will take, from the measured speed of its baseline."""

from __future__ import annotations

from compress.measurement import Measurement
from featherweight.specs.job import JobSpec, UntrainedModel
from featherweight.specs.schemas import Forecast
from search import supernets
from search.supernets import Costs

_AS_BASELINE = Costs()
_TRAINING = ("train", "recover")
"""How stages of ``Measurement.seconds`` begin that grow with epochs."""


def forecast(
    spec: JobSpec, *, train_images: int, baseline: Measurement | None, costs: Costs = _AS_BASELINE
) -> Forecast:
    """Seconds for all trials on one worker, one after the other.

    ``n`` search trials start; ``n / eta**r`` of them are expected to reach rung ``r``. Each pays
    for its epochs at the baseline's training speed, and at every rung for export and measurement as
    the baseline did. Where members are not the baseline's own, or share weights that are trained
    first, their ``costs`` say how much longer their epochs are. ``seconds`` is None, with the
    reason in ``basis``, while a speed is missing.
    """
    if baseline is None:
        return Forecast(seconds=None, basis="the baseline is not measured yet")
    if baseline.train_images_per_second is None:
        return Forecast(
            seconds=None,
            basis="the baseline was not trained here, so its training speed is unknown",
        )
    epoch = train_images / baseline.train_images_per_second
    fixed = sum(s for stage, s in baseline.seconds.items() if not stage.startswith(_TRAINING))
    own, member = _baseline(spec, epoch, fixed), costs.member * epoch
    seconds = own + _supernet(spec, costs.supernet * epoch, fixed) + _profile(spec, epoch)
    seconds += _search(spec, member, fixed) + _finish(spec, member, fixed)
    basis = (
        f"one worker, {baseline.train_images_per_second:,.0f} training images per second and "
        f"{fixed:.1f} s to export and measure, as measured of the baseline"
    )
    return Forecast(seconds=seconds, basis=basis)


def _baseline(spec: JobSpec, epoch: float, fixed: float) -> float:
    return fixed + (spec.model.epochs * epoch if isinstance(spec.model, UntrainedModel) else 0.0)


def _supernet(spec: JobSpec, epoch: float, fixed: float) -> float:
    if spec.supernet is None or not spec.trains_supernet:
        return 0.0
    epochs = spec.supernet.epochs
    return epochs * epoch + len(supernets.checkpoints(epochs)) * fixed


def _profile(spec: JobSpec, epoch: float) -> float:
    """The most that probing may take; 0 where it is not asked for or has no cap."""
    if spec.profile is None:
        return 0.0
    if spec.budget.seconds is not None:
        return spec.profile.share * spec.budget.seconds
    return spec.profile.share * _epochs(spec) * epoch


def _epochs(spec: JobSpec) -> int:
    return spec.model.epochs if isinstance(spec.model, UntrainedModel) else 0


def _search(spec: JobSpec, epoch: float, fixed: float) -> float:
    """Capped by the job's limits of epochs and of seconds, which end this phase."""
    rungs = spec.early_stopping.rungs
    steps = [rung - before for rung, before in zip(rungs, (0, *rungs), strict=False)]
    reach = [spec.search_trials / spec.early_stopping.eta**rung for rung in range(len(rungs))]
    epochs = sum(step * trials for step, trials in zip(steps, reach, strict=True))
    if spec.budget.epochs is not None:
        epochs = min(epochs, spec.budget.epochs)
    total = epochs * epoch + sum(reach) * fixed
    return total if spec.budget.seconds is None else min(total, spec.budget.seconds)


def _finish(spec: JobSpec, epoch: float, fixed: float) -> float:
    return spec.finish.trials * (spec.finish_epochs * epoch + fixed)
