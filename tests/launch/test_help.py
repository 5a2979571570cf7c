"""``--help`` answers at once and says what every command is; the completion of a shell works."""

import importlib

import pytest
import typer

from featherweight import __version__
from launch import commands
from tests.running import call

WITHOUT_A_RESULT = {"serve", "search", "worker", "dashboard", "snippet"}
"""Commands that run a process and print what a log prints, or that print a program."""


def leaves(name, found):
    """Every command that can be called, by its words."""
    below = getattr(found, "commands", {})
    if not below or found.invoke_without_command:
        yield name, found
    for word, command in below.items():
        yield from leaves(f"{name} {word}", command)


@pytest.fixture(scope="module")
def loaded():
    return {name: commands.load(name) for panel in commands.PANELS.values() for name in panel}


def test_what_the_help_says_of_a_command_is_what_the_command_says_of_itself(loaded):
    said = {name: place.help for panel in commands.PANELS.values() for name, place in panel.items()}
    assert {name: found.help.split("\n\n")[0] for name, found in loaded.items()} == said


def test_no_command_of_a_module_is_missing_in_the_help(loaded):
    modules = {place.module for panel in commands.PANELS.values() for place in panel.values()}
    for module in modules - {
        one for one in modules if one.endswith(("tokens", "models", "datasets"))
    }:
        found = typer.main.get_command(importlib.import_module(module).app)
        assert set(getattr(found, "commands", {})) <= set(loaded)


def test_every_command_with_a_result_gives_it_as_json(loaded):
    every = [leaf for name, found in loaded.items() for leaf in leaves(name, found)]
    without = {
        name
        for name, command in every
        if not any("--json" in getattr(one, "opts", ()) for one in command.params)
    }
    assert without == WITHOUT_A_RESULT


def test_the_help_names_every_command_and_the_version_is_an_option():
    shown = call("--help", COLUMNS="80")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert all(f" {name} " in shown.stdout for panel in commands.PANELS.values() for name in panel)
    assert all(len(line) <= 80 for line in shown.stdout.splitlines())
    assert "\x1b" not in shown.stdout
    assert call("--version").stdout == f"{__version__}\n"
    assert "FEATHERWEIGHT_URL" in call("jobs", "--help", COLUMNS="120").stdout


def test_a_misspelt_command_is_answered_with_what_is_nearly_so(run):
    done = run("fornt")
    assert (done.status, done.out) == (2, "")
    assert "Did you mean 'front'?" in done.err


@pytest.mark.parametrize(
    ("words", "expected"),
    [("featherweight fro", "front"), ("featherweight jobs --sta", "--state")],
)
def test_a_shell_completes_commands_and_options(words, expected):
    done = call(
        _FEATHERWEIGHT_COMPLETE="complete_bash",
        COMP_WORDS=words,
        COMP_CWORD=str(len(words.split()) - 1),
    )
    assert expected in done.stdout.split()
