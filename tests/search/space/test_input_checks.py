"""Images that a network's strides would divide into nothing are refused before anything runs."""

from __future__ import annotations

from typing import Any

import pytest

from compress.network.families.catalog import Architecture
from compress.network.families.mobilenet_v2.config import MobileNetV2
from compress.network.families.nasbench201.config import NasBench201
from compress.network.families.residual.config import Residual
from compress.network.families.vgg_bn.config import VggBn
from compress.network.sources.source import FamilySource
from search.errors import ImagesTooSmall
from search.space import input_checks, stored_problem
from tests import factories

SMALL = Residual(widths=(4, 8), depths=(1, 1))
DIGITS = (8, 8)


def check(network: Architecture, image: tuple[int, int]) -> None:
    dataset = factories.dataset_info(input_shape=(1, *image))
    outline = stored_problem.outlined(FamilySource(network), dataset, where="model", data="digits")
    input_checks.check(outline, where="model", data="digits")


@pytest.mark.parametrize(
    ("network", "needed"),
    [
        (SMALL, 2),
        (Residual(widths=(4,), depths=(1,)), 1),
        (Residual(widths=(4, 4, 4, 4), depths=(1, 1, 1, 1)), 8),
        (NasBench201(channels=4, cells=(1, 1, 1)), 4),
        (MobileNetV2(width=0.25, stem_stride=1), 16),
        (MobileNetV2(width=0.25), 32),
        (MobileNetV2(width=0.25, stem_stride=1, strides=(1, 1, 2, 2, 1, 2, 1)), 8),
    ],
)
def test_strides_may_leave_one_pixel_and_not_less(network: Architecture, needed: int) -> None:
    check(network, (needed, needed))
    check(network, (needed, 3 * needed))
    if needed > 1:
        with pytest.raises(ImagesTooSmall, match=f"divide their sides by {needed}"):
            check(network, (needed, needed - 1))


def test_the_message_names_place_data_pixels_and_the_way_out() -> None:
    with pytest.raises(ImagesTooSmall) as refused:
        input_checks.check(factories.outline(MobileNetV2()), where="student", data="digits")
    for part in ("student: ", "'digits' are 8x8 pixels", "mobilenet_v2", "resolution of at least"):
        assert part in str(refused.value)


def test_a_resolution_of_its_own_is_what_the_network_sees() -> None:
    check(MobileNetV2(width=0.25, resolution=32), DIGITS)
    with pytest.raises(ImagesTooSmall, match="resized to 16x16"):
        check(SMALL.model_copy(update={"widths": (4,) * 6, "depths": (1,) * 6, "resolution": 16}),
              DIGITS)  # fmt: skip


def test_pooling_divides_like_strides() -> None:
    pooled = VggBn(pool=1)
    check(pooled, (32, 32))
    with pytest.raises(ImagesTooSmall, match="divide their sides by 32"):
        check(pooled, (16, 16))


def test_maps_that_cannot_be_averaged_to_a_vector_are_refused_with_the_place() -> None:
    with pytest.raises(ImagesTooSmall, match=r"model: the images of .* cannot be averaged to 7x7"):
        check(VggBn(pool=7), (32, 32))
    check(VggBn(pool=7), (224, 224))


def check_job(member: dict[str, Any], image: tuple[int, int], **changes: Any) -> None:
    spec = factories.spec(techniques={"family_member": member}, **changes)
    dataset = factories.dataset_info(input_shape=(1, *image))
    input_checks.check_job(factories.problem(spec, own=SMALL, dataset=dataset))


def test_members_are_looked_at_at_every_resolution_that_they_may_have() -> None:
    deep = {"family": "residual", "widths": [4, 4, 4, 4], "depths": [1, 1, 1, 1]}
    check_job({"resolution": [8, 16]}, (4, 4), student=deep)
    with pytest.raises(ImagesTooSmall, match=r"student at family_member\.resolution = 4: "):
        check_job({"resolution": [4, 8]}, DIGITS, student=deep)
    with pytest.raises(ImagesTooSmall, match="student: the images of"):
        check_job({}, (4, 4), student=deep)


def test_the_jobs_own_model_is_looked_at_too() -> None:
    with pytest.raises(ImagesTooSmall, match="model: the images of"):
        check_job({"resolution": 8}, (1, 1))
