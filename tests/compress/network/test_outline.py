"""What an outline says of a network, with members and without."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from compress.network.families.residual.config import Residual
from compress.network.member import Shape
from compress.network.outline import LayerInfo, Outline
from compress.network.signature import Signature
from compress.network.sources.source import FamilySource
from compress.values.errors import InvalidCandidate

FAMILY = FamilySource(Residual(widths=(4, 8), depths=(1, 2)))
SIZES = {"input_shape": (3, 16, 16), "num_classes": 5}


def plain() -> Outline:
    """A network of no family: one convolution and a linear layer."""
    return Outline(
        signature=Signature.of_examples((3, 16, 16), num_classes=5),
        layers=(
            LayerInfo(
                name="conv",
                kind="conv",
                weight_shape=(4, 3, 3, 3),
                parameters=112,
                macs=27_648,
                stage=None,
            ),
            LayerInfo(
                name="last", kind="linear", weight_shape=(5, 4), parameters=25, macs=20, stage=None
            ),
        ),
        blocks=(),
    )


def test_what_it_counts() -> None:
    found = plain()
    assert (found.parameters, found.macs, found.image) == (137, 27_668, (16, 16))


def test_a_network_of_no_family_is_read_from_its_document() -> None:
    found = plain()
    written = found.model_dump_json(exclude_defaults=True)
    assert Outline.model_validate_json(written) == found
    assert not {"elastic", "least_input", "resolution", "edge", "operation"} & set(
        written.replace('"', " ").split()
    )


def test_members_are_no_part_of_a_document() -> None:
    found = FAMILY.outline(**SIZES)
    read = Outline.model_validate_json(found.model_dump_json())
    assert (found.elastic is None, read.elastic) == (False, None)
    assert read.layers == found.layers
    with pytest.raises(ValidationError):
        Outline.model_validate_json(found.model_dump_json()[:-1] + ', "elastic": {}}')
    assert "elastic" not in Outline.model_json_schema()["properties"]


def test_a_network_without_members_is_its_own_only_member() -> None:
    found = plain()
    assert found.member(Shape()) is found
    with pytest.raises(InvalidCandidate, match="only a network of a family has members"):
        found.member(Shape(width=0.5))


def test_a_member_is_outlined_like_any_network_of_its_family() -> None:
    shape = Shape(width=0.5, depth=1)
    member = FAMILY.outline(**SIZES).member(shape)
    assert member == FamilySource(FAMILY.config.member(shape)).outline(**SIZES)
