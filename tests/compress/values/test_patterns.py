from __future__ import annotations

import pytest

from compress.values import patterns
from compress.values.errors import InvalidCandidate

ORIGINAL = ["conv1", "layer1.0.conv1", "layer1.1.conv1", "linear"]


def resolved(text: str, present: list[str]) -> str:
    return patterns.resolved(text, original=ORIGINAL, present=present, technique="sparsity")


def test_a_list_of_patterns_matches_names_in_their_own_order() -> None:
    found = patterns.matching("linear, layer1.*", ORIGINAL, technique="sparsity")
    assert found == ("layer1.0.conv1", "layer1.1.conv1", "linear")
    assert patterns.matching("", ORIGINAL, technique="sparsity") == ()


def test_a_pattern_that_matches_nothing_is_an_error_that_names_the_layers() -> None:
    with pytest.raises(InvalidCandidate, match=r"sparsity: the pattern 'conv9'.*layer1\.0\.conv1"):
        patterns.matching("linear,conv9", ORIGINAL, technique="sparsity")


def test_bits_behind_a_pattern_are_no_part_of_it() -> None:
    assert patterns.matching("lin*=4", ORIGINAL, technique="quantization") == ("linear",)


def test_a_layer_also_means_the_factors_that_took_its_place() -> None:
    present = ["conv1.first", "conv1.last", "layer1.0.conv1", "linear"]
    assert resolved("conv1", present) == "conv1.first,conv1.last"
    assert resolved("conv1=4, linear=8", present) == "conv1.first=4,conv1.last=4,linear=8"


def test_a_layer_that_is_gone_leaves_nothing_behind() -> None:
    assert resolved("layer1.1.*", ["conv1", "layer1.0.conv1", "linear"]) == ""
    assert resolved("layer1.*", ["conv1", "layer1.0.conv1", "linear"]) == "layer1.0.conv1"


def test_a_layer_that_was_never_there_is_an_error_all_the_same() -> None:
    with pytest.raises(InvalidCandidate, match="'layer2"):
        resolved("layer2.*", ORIGINAL)


def test_the_later_of_two_bits_stays_the_later() -> None:
    found = resolved("*=2, layer1.0.*=4", ["layer1.0.conv1"])
    assert found == "layer1.0.conv1=2,layer1.0.conv1=4"
