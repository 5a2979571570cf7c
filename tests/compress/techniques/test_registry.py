"""The registry has every technique whole."""

from __future__ import annotations

import inspect

import pytest

from compress.techniques import registry
from compress.techniques.description.technique import Technique


@pytest.mark.parametrize("technique", registry.TECHNIQUES, ids=lambda each: each.name)
def test_a_technique_is_applied_by_the_function_of_its_folder(technique: Technique) -> None:
    parameters = inspect.signature(technique.apply).parameters
    *_, folder, file = technique.apply.__module__.split(".")
    assert (folder, file) == (technique.name, "apply")
    assert technique.apply.__module__.startswith("compress.techniques.")
    assert list(parameters) == ["compressed", "config", "context"]
    assert parameters["config"].annotation == technique.config.__name__


def test_steps_are_in_the_order_of_the_tuple() -> None:
    assert list(registry.ORDER) == [technique.name for technique in registry.TECHNIQUES]
    assert list(registry.BY_NAME.values()) == list(registry.TECHNIQUES)
