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
    seconds = own + _supernet(spec, costs.supernet * epoch, fixed)
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


def _search(spec: JobSpec, epoch: float, fixed: float) -> float:
    """Capped by the job's limit of seconds, which ends this phase."""
    rungs = spec.early_stopping.rungs
    steps = [rung - before for rung, before in zip(rungs, (0, *rungs), strict=False)]
    per_trial = sum(
        (step * epoch + fixed) / spec.early_stopping.eta**rung for rung, step in enumerate(steps)
    )
    total = spec.search_trials * per_trial
    return total if spec.budget.seconds is None else min(total, spec.budget.seconds)


def _finish(spec: JobSpec, epoch: float, fixed: float) -> float:
    return spec.finish.trials * (spec.finish_epochs * epoch + fixed)
