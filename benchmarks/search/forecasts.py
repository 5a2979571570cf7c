"""The forecast of the sample job against what it takes, of its own network and of an uploaded one.

The second job compresses what the first one trained, as if somebody had brought it.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.cluster.processes import Cluster
from benchmarks.record import Cell, Table, keeps
from compress.network.preprocessing import Normalisation
from compress.network.sources.source import FamilySource
from featherweight import jobfile
from featherweight.client.client import Client
from featherweight.specs.job import JobSpec, UntrainedModel
from featherweight.specs.schemas import Forecast, JobSchema, TrialSchema
from featherweight.specs.states import Phase

ROOT = Path(__file__).parents[2]
_POLL_SECONDS = 0.5
_SHARES = (0.0, 0.25, 0.5, 0.75)


@dataclass(frozen=True, kw_only=True)
class Told:
    """A forecast, and how many trials had ended when it was made."""

    ended: int
    forecast: Forecast


@keeps(
    "search/forecasts", "How near does a forecast come to what a job takes (forecast over truth)?"
)
def main(table: Table) -> None:
    """Run both jobs and print the forecasts over the truth."""
    with Cluster() as cluster, Client(cluster.url) as client, tempfile.TemporaryDirectory() as name:
        cluster.wait_healthy(seconds=300)
        spec = jobfile.read(ROOT / "examples/digits.yaml").resolve(client)
        first = _followed(table, "sample job", client, spec)
        after = client.dry_run(spec).forecast
        _say("a dry run afterwards", after, _taken(client, first))
        document = _uploaded(client, first, Path(name), spec)
        before = client.dry_run(document).forecast
        print(f"uploaded, before its first trial: {before.seconds}, because {before.basis}")
        second = _followed(table, "the same network, uploaded", client, document)
        _say("a dry run afterwards", client.dry_run(document).forecast, _taken(client, second))


def _followed(table: Table, title: str, client: Client, spec: JobSpec) -> JobSchema:
    """Run a job and print what was told of it on the way."""
    job = client.submit(spec)
    told: list[Told] = []
    while not job.state.is_finished:
        job = client.job(job.id)
        ended = job.trials.complete + job.trials.stopped + job.trials.failed
        if job.forecast and (not told or told[-1].ended < ended or _is_news(told, job.forecast)):
            told.append(Told(ended=ended, forecast=job.forecast))
        time.sleep(_POLL_SECONDS)
    trials = list(client.trials(job.id))
    table.add({"job": title} | _show(title, told, job, trials) | {"bound": 1.5})
    return job


def _is_news(told: list[Told], found: Forecast) -> bool:
    """Whether there is a number for the first time."""
    return found.seconds is not None and told[-1].forecast.seconds is None


def _show(
    title: str, told: list[Told], job: JobSchema, trials: list[TrialSchema]
) -> dict[str, Cell]:
    taken = _seconds(job)
    epochs = sum(trial.epochs or 0 for trial in trials if trial.phase is Phase.SEARCH)
    lost = sum(trial.state == "failed" for trial in trials)
    print(
        f"{title}: {taken:.0f} s for {len(trials)} trials, {lost} of them failed; {epochs} epochs"
    )
    print(f"  epochs forecast at first: {told[0].forecast.search_epochs or 0.0:.0f}")
    known = [one for one in told if one.forecast.seconds is not None]
    cells: dict[str, Cell] = {"s": round(taken)}
    for share in _SHARES:
        one = next(k for k in known if k.ended >= share * len(trials))
        _say(f"  after {one.ended} trials", one.forecast, taken)
        cells[f"after {share:.0%}"] = round((one.forecast.seconds or 0.0) / taken, 2)
    print(f"  basis of the last: {known[-2].forecast.basis}")
    return cells


def _say(when: str, found: Forecast, taken: float) -> None:
    if found.seconds is None:
        print(f"{when}: no seconds, because {found.basis}")
        return
    print(f"{when}: {found.seconds:.0f} s forecast, {found.seconds / taken:.2f} of what it takes")


def _taken(client: Client, job: JobSchema) -> float:
    return _seconds(client.job(job.id))


def _seconds(job: JobSchema) -> float:
    assert job.started_at is not None
    assert job.finished_at is not None
    return (job.finished_at - job.started_at).total_seconds()


def _uploaded(client: Client, job: JobSchema, folder: Path, spec: JobSpec) -> JobSpec:
    """The same job of the network that it trained, given back as a model."""
    first = next(client.trials(job.id))
    weights = next(file for file in client.artifacts(first.id) if file.role == "weights")
    file = next(file for file in client.artifacts(first.id) if file.role == "onnx")
    found = client.manifest(file.id)
    path = client.download(weights.id, folder)
    assert isinstance(spec.model, UntrainedModel)
    assert isinstance(spec.model.architecture, FamilySource)
    model = client.upload_model(
        path,
        name="brought",
        architecture=spec.model.architecture.config,
        normalisation=Normalisation.model_validate(found["input"]["normalisation"]),
    )
    return JobSpec.model_validate(spec.model_dump(mode="json") | {"model": model.name})


if __name__ == "__main__":
    main()
