"""The names of all commands, and the module of each: a module is imported when its command is used.

So ``--help``, ``--version`` and the completion of a shell answer at once, without pydantic, numpy
and the schemas. What is said here of a command is the first line of its own help; a test holds the
two together.
"""

from __future__ import annotations

import importlib
from typing import Any, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup


class CommandPlace(NamedTuple):
    """Where a command is, and what ``--help`` says of it."""

    module: str
    help: str


_JOBS, _RESULTS = "Jobs", "Results"
_STORED, _RUNNING = "Data, networks and workers", "Running the service"
_OF_JOBS, _OF_CLUSTER = "featherweight.cli.jobs", "featherweight.cli.inventory"
_OF_RESULTS = "featherweight.cli.ends.results"
_PROCESSES = "launch.processes"
PANELS: dict[str, dict[str, CommandPlace]] = {
    _JOBS: {
        "up": CommandPlace(
            "launch.up",
            "Run service, dashboard, searcher and workers here; submit a job and show its front.",
        ),
        "init": CommandPlace(
            "featherweight.cli.ends.begin",
            "Write a commented job file from five answers; what no option gives is asked.",
        ),
        "submit": CommandPlace(
            _OF_JOBS, "Start a job from a file, uploading its data and model if need be."
        ),
        "jobs": CommandPlace(_OF_JOBS, "List jobs, newest first."),
        "watch": CommandPlace(
            _OF_JOBS,
            "Follow a job to its end; --json prints one event per line. Fails if the job does.",
        ),
        "propose": CommandPlace(
            _OF_JOBS, "Let a job try candidates of your own before the sampler's next ones."
        ),
        "edit": CommandPlace(
            _OF_JOBS,
            "Change a job's name, tags or priority; more budget opens a search that is over again.",
        ),
        "pause": CommandPlace(_OF_JOBS, "Hand out no more trials of a job."),
        "resume": CommandPlace(_OF_JOBS, "Continue a paused job."),
        "cancel": CommandPlace(_OF_JOBS, "Stop a job for good; its files stay."),
        "delete": CommandPlace(
            _OF_JOBS, "Delete jobs that have ended, with their trials, files and studies."
        ),
    },
    _RESULTS: {
        "front": CommandPlace(_OF_JOBS, "Show the best files so far."),
        "report": CommandPlace(_OF_JOBS, "Show what a job found."),
        "compare": CommandPlace(
            _OF_RESULTS,
            "Show two jobs beside each other: their fronts, and the files that they recommend.",
        ),
        "recommend": CommandPlace(
            _OF_RESULTS, "Show the file to take, and why. Fails while there is none."
        ),
        "trials": CommandPlace(_OF_RESULTS, "List the trials of a job by number."),
        "why": CommandPlace(_OF_JOBS, "Explain why a trial ended as it did."),
        "download": CommandPlace(
            _OF_JOBS, "Download every file of a job's front, or one file; verified by SHA-256."
        ),
        "snippet": CommandPlace(
            "featherweight.cli.files",
            "Print a program that runs a file in ONNX Runtime; a card beside it is read, too.",
        ),
    },
    _STORED: {
        "datasets": CommandPlace(
            "featherweight.cli.datasets",
            "List uploaded datasets; add one, or show what is in one.",
        ),
        "models": CommandPlace(
            "featherweight.cli.models",
            "List uploaded models; add one, or show what is in one.",
        ),
        "targets": CommandPlace(
            _OF_CLUSTER, "List where files can run, and in what form they come for it."
        ),
        "workers": CommandPlace(
            _OF_JOBS, "List the workers heard of lately, and those that are set aside."
        ),
        "meters": CommandPlace(
            _OF_CLUSTER, "List the devices that measure files of others, and what waits for each."
        ),
        "audit": CommandPlace(
            _OF_CLUSTER,
            "List what was created, changed and deleted, and by whom, newest first; for admins.",
        ),
    },
    _RUNNING: {
        "serve": CommandPlace(_PROCESSES, "Run the service."),
        "search": CommandPlace(
            _PROCESSES, "Run the searcher. One is active; others wait to take over."
        ),
        "worker": CommandPlace(
            _PROCESSES, "Run trials for a service, or measure its files on this device."
        ),
        "dashboard": CommandPlace(
            _PROCESSES,
            "Run the read-only dashboard of Optuna, to which the service forwards requests.",
        ),
        "migrate": CommandPlace(
            _PROCESSES,
            "Upgrade the database and Optuna's storage; make the tokens named in the environment.",
        ),
        "doctor": CommandPlace(
            "launch.doctor",
            "Compare database, files, studies and processes; say what is wrong and how to mend it.",
        ),
        "study": CommandPlace(_PROCESSES, "Optuna's copy of the trials."),
        "token": CommandPlace("launch.tokens", "Bearer tokens, straight in the database."),
        "schema": CommandPlace("launch.about", "Print the JSON schema of a job."),
        "version": CommandPlace("launch.about", "Print the version of this package."),
    },
}
_PLACES = {name: place for panel in PANELS.values() for name, place in panel.items()}


class LazyCommands(TyperGroup):
    """Every command, as a stand-in with its help until it is used."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        for panel, places in PANELS.items():
            for name, place in places.items():
                self.add_command(TyperCommand(name=name, help=place.help, rich_help_panel=panel))

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Return the command that the arguments begin with, loaded."""
        name, found, rest = super().resolve_command(ctx, args)
        return name, found if name is None else load(name), rest


def load(name: str) -> Any:
    """Return a command from its module."""
    app: typer.Typer = importlib.import_module(_PLACES[name].module).app
    found = typer.main.get_command(app)
    return found.commands.get(name, found) if isinstance(found, TyperGroup) else found
