"""Weights of 16 bits in a search space: beside what they may stand, and what gives way."""

from __future__ import annotations

import pytest

from compress.techniques.quantization.config import Quantization
from search.errors import InfeasibleConstraint, InvalidSpace
from tests.search.space.test_feasibility import check
from tests.search.space.test_space import build


def quantization_of(params: dict[str, object], **fields: object) -> Quantization:
    found = build({"quantization": fields})
    step = found.candidate({f"quantization.{name}": value for name, value in params.items()})
    assert isinstance(step.steps[-1], Quantization)
    return step.steps[-1]


def test_16_bits_compute_in_float_and_8_beside_them_in_integers() -> None:
    widths = {bits: quantization_of({"weight_bits": bits}, weight_bits=[16, 8]) for bits in (16, 8)}
    assert {bits: step.activations for bits, step in widths.items()} == {16: "float", 8: "int8"}
    assert quantization_of({}, weight_bits=16).activations == "float"


def test_16_bits_give_sensitivity_up_where_others_have_it() -> None:
    asked = {"weight_bits": [16, 3], "allocation": ["uniform", "sensitivity"]}
    wide = quantization_of({"weight_bits": 16, "allocation": "sensitivity"}, **asked)
    narrow = quantization_of({"weight_bits": 3, "allocation": "sensitivity"}, **asked)
    assert (wide.allocation, narrow.allocation) == ("uniform", "sensitivity")


def test_16_bits_are_one_candidate_whatever_the_grid_would_have_been() -> None:
    found = build(
        {"quantization": {"weight_bits": [16, 4], "rounding": ["nearest", "gptq", "adaround"]}}
    )
    assert found.num_candidates == 4


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (
            {"weight_bits": 16, "activations": "int8"},
            ["activations", "'int8'", "weight_bits", "let activations be 'float'"],
        ),
        (
            {"weight_bits": 16, "allocation": "sensitivity"},
            ["allocation", "'sensitivity'", "weight_bits", "leave 'sensitivity' out"],
        ),
        (
            {"weight_bits": 16, "rounding": "gptq"},
            ["rounding", "has no effect", "weight_bits is not 16"],
        ),
        ({"weight_bits": {"low": 4, "high": 16}}, ["weight_bits", "9", "or 16"]),
        ({"weight_bits": [12]}, ["weight_bits", "12", "or 16"]),
        ({"weight_bits": [17]}, ["weight_bits", "17", "16"]),
    ],
)
def test_what_16_bits_cannot_stand_beside_is_refused_with_the_way_out(
    fields: dict[str, object], words: list[str]
) -> None:
    with pytest.raises(InvalidSpace) as caught:
        build({"quantization": fields})
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_the_default_range_of_widths_is_what_it_was() -> None:
    (knob,) = build({"quantization": {}}).turning
    assert (knob.name, knob.choices) == ("quantization.weight_bits", (8, 4))


def test_the_least_bytes_of_16_bits_are_below_a_file_that_was_measured() -> None:
    # docs/storage.md: the published ResNet-20; with half of its weights pruned 308,331 bytes.
    halves: dict[str, object] = {"quantization": {"weight_bits": 16}}
    assert check("size_bytes <= 478997", techniques=halves)
    assert check("size_bytes <= 308331", techniques=halves | {"sparsity": {"sparsity": 0.5}})
    with pytest.raises(InfeasibleConstraint):
        check("size_bytes <= 1000", techniques=halves)
