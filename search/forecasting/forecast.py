"""Forecast how long a job takes, from its stopping rule and the measurements so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from compress.values.measurement import Measurement
from featherweight.specs.job import JobSpec, UntrainedModel
from featherweight.specs.schemas import Forecast
from featherweight.specs.states import Phase
from search.early_stopping import climbing
from search.early_stopping.climbing import Standing
from search.forecasting import pace
from search.forecasting.pace import Pace, Sample
from search.space import supernets
from search.space.supernets import EpochCosts

_AS_BASELINE = EpochCosts()
_BEFORE = (Phase.BASELINE, Phase.SUPERNET, Phase.PROFILE)


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a job has come. ``elapsed_seconds`` counts from its start without pauses.

    ``standing`` counts its search trials by rung, ``num_lost`` those that ended without a report,
    ``num_finished`` the trials of the finish phase that are over, and ``at_once`` the trials that
    run now. ``samples`` are some of the newest search trials of this job, or of another job on the
    same network and data.
    """

    phase: Phase = Phase.BASELINE
    is_over: bool = False
    elapsed_seconds: float = 0.0
    standing: Standing | None = None
    num_lost: int = 0
    num_finished: int = 0
    at_once: int = 1
    samples: Sequence[Sample] = ()


_NOTHING_YET = Progress()


def forecast(
    spec: JobSpec,
    *,
    train_images: int,
    baseline: Measurement | None,
    costs: EpochCosts = _AS_BASELINE,
    progress: Progress = _NOTHING_YET,
) -> Forecast:
    """Forecast the seconds of all trials, on one worker or on as many as run them now.

    The stopping rule determines how many trials are expected to train to each rung
    (``search.early_stopping.climbing``), and measurements determine the pace of epochs and files
    (``search.forecasting.pace``). If members share weights that are trained first, ``costs`` give
    the length of those epochs. If a speed is missing, ``seconds`` is None and ``basis`` says so.

    Args:
        spec: The job.
        train_images: Number of images in an epoch.
        baseline: The measurement of the same network on the same data, if there is one.
        costs: The costs of epochs of the members, in epochs of the baseline.
        progress: What has happened; for a job that does not exist yet, at most ``samples``.
    """
    elapsed = progress.elapsed_seconds
    if progress.is_over:
        return Forecast(
            seconds=elapsed,
            basis="the job is over",
            elapsed_seconds=elapsed,
            remaining_seconds=0.0,
        )
    reaching = _reaching(spec, baseline, progress)
    epochs = _capped(spec, _epochs(spec, reaching))
    if baseline is None:
        return _unknown("the baseline is not measured yet", elapsed, epochs)
    found = pace.of(baseline, progress.samples, train_images=train_images, costs=costs)
    if found.epoch_seconds is None:
        return _unknown(
            "the baseline was not trained here, so its training speed is unknown until the first "
            "search trial has trained",
            elapsed,
            epochs,
        )
    remaining = _remaining(spec, found, costs, reaching, progress)
    return Forecast(
        seconds=elapsed + remaining,
        basis=_basis(spec, found, train_images, progress),
        elapsed_seconds=elapsed,
        remaining_seconds=remaining,
        search_epochs=epochs,
    )


def _unknown(why: str, elapsed: float, epochs: float) -> Forecast:
    return Forecast(seconds=None, basis=why, elapsed_seconds=elapsed, search_epochs=epochs)


def _reaching(spec: JobSpec, baseline: Measurement | None, progress: Progress) -> tuple[float, ...]:
    """Return how many search trials are expected to reach each rung in all."""
    standing = progress.standing
    if standing is not None and progress.phase not in (*_BEFORE, Phase.SEARCH):
        return tuple(map(float, standing.reached))
    trials = max(0, spec.search_trials - progress.num_lost)
    return climbing.reaching(spec, trials=trials, baseline=baseline, standing=standing)


def _epochs(spec: JobSpec, reaching: Sequence[float]) -> float:
    rungs = spec.early_stopping.rungs
    steps = [rung - before for rung, before in zip(rungs, (0, *rungs), strict=False)]
    return sum(step * trials for step, trials in zip(steps, reaching, strict=True))


def _capped(spec: JobSpec, epochs: float) -> float:
    return epochs if spec.budget.epochs is None else min(epochs, float(spec.budget.epochs))


def _remaining(
    spec: JobSpec, found: Pace, costs: EpochCosts, reaching: Sequence[float], progress: Progress
) -> float:
    """Return the seconds until the job ends; its limits may end the search phase early."""
    assert found.epoch_seconds is not None
    reached = progress.standing.reached if progress.standing else [0.0] * len(reaching)
    epochs = max(0.0, _capped(spec, _epochs(spec, reaching)) - _epochs(spec, reached))
    files = max(0.0, sum(reaching) - sum(reached))
    search = (epochs * found.epoch_seconds + files * found.rung_seconds) / progress.at_once
    if spec.budget.seconds is not None:
        search = min(search, max(0.0, spec.budget.seconds - progress.elapsed_seconds))
    finalist = spec.finish_epochs * found.epoch_seconds + found.rung_seconds
    finish = max(0, spec.finish.trials - progress.num_finished) * finalist / progress.at_once
    return _before(spec, found, costs, progress) + search + finish


def _before(spec: JobSpec, found: Pace, costs: EpochCosts, progress: Progress) -> float:
    """Return the seconds left of the phases before the search; each of them is one trial."""
    epoch = found.own_epoch_seconds or found.epoch_seconds or 0.0
    trained = spec.model.epochs if isinstance(spec.model, UntrainedModel) else 0
    baseline = trained * epoch + found.rung_seconds
    shared = _supernet(spec, costs.supernet * epoch, found.rung_seconds)
    probed = _profile(spec, trained * epoch)
    if progress.phase not in _BEFORE:
        return 0.0
    done = 0.0 if progress.phase is Phase.BASELINE else progress.elapsed_seconds
    return max(0.0, baseline + shared + probed - done)


def _supernet(spec: JobSpec, epoch: float, fixed: float) -> float:
    if spec.supernet is None or not spec.trains_supernet:
        return 0.0
    epochs = spec.supernet.epochs
    return epochs * epoch + len(supernets.checkpoints(epochs)) * fixed


def _profile(spec: JobSpec, training: float) -> float:
    """Return the most seconds that probing may take; 0 without a profile or without a limit."""
    if spec.profile is None:
        return 0.0
    return spec.profile.share * (spec.budget.seconds or training)


def _basis(spec: JobSpec, found: Pace, train_images: int, progress: Progress) -> str:
    assert found.epoch_seconds is not None
    many = progress.at_once
    workers = "one worker" if many == 1 else f"{many} trials at once"
    ends = spec.stop.target or spec.stop.no_gain is not None
    return (
        f"{workers}, {train_images / found.epoch_seconds:,.0f} training images per second and "
        f"{found.rung_seconds:.1f} s to export and measure, {found.basis}"
        + ("; the rules in stop may end the search before" if ends else "")
    )
