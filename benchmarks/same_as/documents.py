"""What the service answers about the jobs, and the files that it delivers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from benchmarks.same_as.api import Api, Json

_OF_A_JOB = ("front", "recommendation", "report")
_TIMED = frozenset({"manifest", "profile"})
"""Roles of files with times in them: they are compared as documents, without their digests."""


@dataclass(kw_only=True)
class Answers:
    """Documents by topic and by name within it, and the labels of all ids in them."""

    labels: dict[str, str] = field(default_factory=dict)
    topics: dict[str, dict[str, Json]] = field(default_factory=dict)

    def add(self, topic: str, name: str, document: Json) -> None:
        """Keep a document."""
        self.topics.setdefault(topic, {})[name] = document


def ask(api: Api, jobs: Mapping[str, str]) -> Answers:
    """Everything there is to know of these jobs, whose ids are given by name."""
    answers = Answers()
    for name, job in jobs.items():
        answers.labels[job] = name
        _ask_job(api, answers, name, job)
    for kind in ("models", "datasets"):
        for item in api.items(f"/v1/{kind}"):
            answers.labels[item["id"]] = item["name"]
            answers.add(kind, item["name"], item)
    return answers


def _ask_job(api: Api, answers: Answers, name: str, job: str) -> None:
    answers.add("jobs", name, api.get(f"/v1/jobs/{job}"))
    for topic in _OF_A_JOB:
        answers.add(topic, name, api.get(f"/v1/jobs/{job}/{topic}"))
    for proposed in api.items(f"/v1/jobs/{job}/candidates"):
        answers.add("proposed candidates", f"{name}/{proposed['number']}", proposed)
    for trial in api.items(f"/v1/jobs/{job}/trials"):
        _ask_trial(api, answers, f"{name}/{trial['number']}", trial)


def _ask_trial(api: Api, answers: Answers, name: str, trial: Json) -> None:
    answers.labels[trial["id"]] = name
    answers.add("candidate digests", name, trial["candidate_digest"])
    answers.add("candidates", name, trial["candidate"])
    answers.add("measurements", name, trial["measurement"])
    answers.add("trials", name, trial)
    answers.add("reasons of trials", name, api.get(f"/v1/trials/{trial['id']}/why"))
    for file in api.get(f"/v1/trials/{trial['id']}/artifacts"):
        _ask_file(api, answers, f"{name}/{file['rung']}/{file['role']}", file)


def _ask_file(api: Api, answers: Answers, name: str, file: Json) -> None:
    answers.labels[file["id"]] = name
    if file["role"] in _TIMED:
        answers.labels[file["sha256"]] = f"<digest of {name}>"
    else:
        delivered = api.digest(file["id"])
        answers.add("files", name, {**file, "delivered": delivered})
    if file["role"] == "onnx":
        # None for a file that a trial of the phase test measured: it was made by another trial.
        answers.add("manifests", name, api.find(f"/v1/artifacts/{file['id']}/manifest"))
    if file["role"] == "profile":
        answers.add("profiles", name, api.document(file["id"]))


def files_of(api: Api, trials: Iterable[str]) -> list[str]:
    """The ids of all files of these trials."""
    listed = (api.get(f"/v1/trials/{trial}/artifacts") for trial in trials)
    return [file["id"] for files in listed for file in files]
