"""A job that one checkout begins and another one ends, in the same folder.

The old processes are killed (SIGKILL) while trials remain. Then the new ones migrate the databases
and go on: what was there has to stay, and the budget has to be met exactly.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.same_as import documents, jobs, rows, runs
from benchmarks.same_as.api import Api, Json
from benchmarks.same_as.comparing import lost
from benchmarks.same_as.house import House, running, until

_KEY = "half-done"
_ENDED_TRIALS = 6
_LONGEST = 300.0
_WIDTH = 300
_ENDED = frozenset({"complete", "stopped", "failed"})


@dataclass(frozen=True, kw_only=True)
class Check:
    """Something that has to hold, whether it does, and what was found otherwise."""

    what: str
    wrong: tuple[str, ...]
    looked_at: int

    @property
    def holds(self) -> bool:
        """Whether nothing was wrong, with at least one thing that was looked at."""
        return self.looked_at > 0 and not self.wrong

    def __str__(self) -> str:
        """One line."""
        first = f": {self.wrong[0]}" if self.wrong else ""
        good = self.looked_at - len(self.wrong)
        return f"{'ok ' if self.holds else 'BAD'} {self.what}: {good} of {self.looked_at}{first}"


@dataclass(frozen=True, kw_only=True)
class Left:
    """What the old processes left: the job, its trials, the digests of its files, its events."""

    job: str
    trials: Mapping[str, Json]
    files: Mapping[str, str]
    manifests: Mapping[str, Json]
    events: list[Json]
    studies: Mapping[str, Json]


def check(old: Path, new: Path, folder: Path, data: Path) -> list[Check]:
    """Begin with the old checkout, end with the new one, and look at everything."""
    print(f"begun by {old}", flush=True)
    place = folder / "house"
    left = _begun(old, place, data)
    print(f"killed with {len(left.trials)} trials; ended by {new}", flush=True)
    with running(new, place) as house:
        again = list(_asked_again(house, left))
        house.start("worker")
        ended = runs.ended_job(house, left.job)
        return [*again, *_checks(house, left, ended)]


def _begun(old: Path, place: Path, data: Path) -> Left:
    """Run the job until some of its trials have ended, then kill everything.

    What the killed processes left is read from a service that is started once more, alone.
    """
    with running(old, place) as house:
        runs.upload(house, data)
        job = house.api.post("/v1/jobs", jobs.HALF_DONE, key=_KEY)["id"]
        house.start("worker")
        until(lambda: house.is_well() and _is_half_done(house.api, job), seconds=_LONGEST)
        house.kill()
        house.start("serve")
        until(lambda: house.is_well() and house.api.answers(), seconds=60)
        return _left(house, job)


def _is_half_done(api: Api, job: str) -> bool:
    states = [trial["state"] for trial in api.items(f"/v1/jobs/{job}/trials")]
    return sum(state in _ENDED for state in states) >= _ENDED_TRIALS and "running" in states


def _left(house: House, job: str) -> Left:
    trials = {trial["id"]: trial for trial in house.api.items(f"/v1/jobs/{job}/trials")}
    ids = documents.files_of(house.api, trials)
    found = ((file, house.api.find(f"/v1/artifacts/{file}/manifest")) for file in ids)
    return Left(
        job=job,
        trials=trials,
        files={file: house.api.digest(file) for file in ids},
        manifests={file: manifest for file, manifest in found if manifest is not None},
        events=rows.events(house.database),
        studies=rows.studies(house.studies, {}),
    )


def _asked_again(house: House, left: Left) -> Iterator[Check]:
    """Before a worker runs: the same submission and the same candidates are known again."""
    again = house.api.post("/v1/jobs", jobs.HALF_DONE, key=_KEY)["id"]
    yield _check("the same key and body is the same job", {"job": (left.job, again)})
    tried = [trial for trial in left.trials.values() if trial["phase"] == "search"]
    asked = [{"steps": trial["candidate"]["steps"]} for trial in tried]
    answers = house.api.post(f"/v1/jobs/{left.job}/candidates", asked)
    pairs = list(zip(tried, answers, strict=True))
    digests = {t["id"]: (t["candidate_digest"], a["candidate_digest"]) for t, a in pairs}
    yield _check("candidates have the digests that they had", digests)
    found = {t["id"]: (t["id"], a["trial"]) for t, a in pairs}
    yield _check("candidates are known to be tried", found)


def _checks(house: House, left: Left, ended: Json) -> Iterator[Check]:
    """After the job's end."""
    yield _check("the job has succeeded", {"state": ("succeeded", ended["state"])})
    trials = {trial["id"]: trial for trial in house.api.items(f"/v1/jobs/{left.job}/trials")}
    yield from _budget(trials)
    yield from _kept_trials(left, trials)
    yield from _kept_files(house.api, left)
    yield from _kept_rows(house, left)
    house.call("doctor", "--deep")  # raises where anything is wrong
    yield _check("the doctor finds nothing", {"status": (0, 0)})


def _budget(trials: Mapping[str, Json]) -> Iterator[Check]:
    counted = [trial for trial in trials.values() if trial["phase"] != "test"]
    allowed = jobs.HALF_DONE["budget"]["trials"]
    yield _check("the budget is exact", {"trials": (allowed, len(counted))})
    numbers = sorted(trial["number"] for trial in trials.values())
    yield _check("numbers have no gap", {"numbers": (list(range(len(trials))), numbers)})
    digests = {trial["candidate_digest"] for trial in counted if trial["phase"] == "search"}
    searched = sum(trial["phase"] == "search" for trial in counted)
    yield _check("no candidate is searched twice", {"digests": (searched, len(digests))})


def _kept_trials(left: Left, trials: Mapping[str, Json]) -> Iterator[Check]:
    ended = {key: trial for key, trial in left.trials.items() if trial["state"] in _ENDED}
    yield _check("ended trials are as they were", {k: (t, trials.get(k)) for k, t in ended.items()})
    begun = {key: trial for key, trial in left.trials.items() if key not in ended}
    fields = ("number", "phase", "origin", "candidate", "candidate_digest", "seed")
    same = {
        f"{key}.{name}": (trial[name], trials.get(key, {}).get(name))
        for key, trial in begun.items()
        for name in fields
    }
    yield _check("trials that waited or ran are the same trials", same)
    states = {key: (True, trials[key]["state"] in _ENDED) for key in begun if key in trials}
    yield _check("they have ended", states)


def _kept_files(api: Api, left: Left) -> Iterator[Check]:
    found = {file: (digest, api.digest(file)) for file, digest in left.files.items()}
    yield _check("old files are delivered with the same bytes", found)
    manifests = {
        file: (_untested(manifest), _untested(api.get(f"/v1/artifacts/{file}/manifest")))
        for file, manifest in left.manifests.items()
    }
    yield _check("old manifests say the same", manifests)


def _untested(manifest: Json) -> Json:
    """A manifest without the figures on test, which are added once they are measured."""
    measured = manifest["measurement"]
    for figures in ("accuracy", "class_correct"):
        measured = {**measured, figures: {**measured[figures], "test": None}}
    return {**manifest, "measurement": measured}


def _kept_rows(house: House, left: Left) -> Iterator[Check]:
    now = rows.events(house.database)[: len(left.events)]
    events = {str(n): pair for n, pair in enumerate(zip(left.events, now, strict=True))}
    yield _check("old events are as they were", events)
    studies = rows.studies(house.studies, {})
    kept = {
        key: (trial, studies.get(key)) for key, trial in left.studies.items() if _is_told(trial)
    }
    yield _check("trials that the study knew are as they were", kept)


def _is_told(study: Json) -> bool:
    return study.get("state") in ("COMPLETE", "PRUNED")


def _check(what: str, pairs: Mapping[str, tuple[Json, Json]]) -> Check:
    """Whether nothing that the first value of a pair tells is told otherwise by the second."""
    wrong = {key: next(lost(*pair, key), None) for key, pair in pairs.items()}
    found = (f"{path}: {old} -> {new}" for path, old, new in filter(None, wrong.values()))
    return Check(what=what, wrong=tuple(text[:_WIDTH] for text in found), looked_at=len(pairs))
