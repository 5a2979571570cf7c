"""At most so many bytes: a file that is made from what a profile allots keeps the bound."""

from __future__ import annotations

import pytest

from compress.export import writer
from compress.targets.onnxruntime import ONNXRUNTIME
from compress.tasks.kinds.image_classification.task import IMAGE_CLASSIFICATION
from featherweight.specs import constraints
from search.allocation.allotment import Allotter, Choices
from search.allocation.limits import Limits
from tests import factories
from tests.compress.applying import applied, quantized

RATIOS = (0.0, 0.25, 0.5)


def made(found, compressed, digits, *, scale_bits):
    """The network with an allotment's ratios and bits."""
    if any(found.ratios):
        ratios = (*found.ratios, 0.0)
        compressed = applied(compressed, digits, technique="filter_pruning", ratios=ratios)
    bits = ",".join(f"{name}={width}" for name, width in found.bits.items())
    return quantized(
        compressed, digits, weight_bits=8, layer_bits=bits, activations="float",
        edges_8bit=False, scale_bits=scale_bits,
    )  # fmt: skip


@pytest.mark.cross("part", "scale_bits")
@pytest.mark.parametrize("scale_bits", [16, 32])
@pytest.mark.parametrize(("part", "pruning"), [(5, 0.0), (8, 0.0), (12, 0.4)])
def test_a_file_keeps_the_bound_and_wastes_little_of_it(
    profile, compressed, digits, tmp_path, part, pruning, scale_bits
):
    whole = writer.write(
        compressed, tmp_path, data=digits, name="float", task=IMAGE_CLASSIFICATION
    ).size_bytes
    baseline, bound = factories.measurement(size_bytes=whole), whole // part
    asked = [constraints.parse(f"size_bytes <= {bound} B")]
    limits = Limits.of(asked, baseline, profile, scale_bits=scale_bits, counted=ONNXRUNTIME.counted)
    stages = (RATIOS,) * len(profile.stages)
    allotter = Allotter(
        profile=profile, choices=Choices(ratios=stages, bits=(2, 3, 4, 8), axis="bytes")
    )
    found = allotter.allot(limits.size, pruning=pruning, sharpness=1.0, edges_8bit=False)
    small = made(found, compressed, digits, scale_bits=scale_bits)
    size = writer.write(
        small, tmp_path, data=digits, name="small", task=IMAGE_CLASSIFICATION
    ).size_bytes
    assert 0.75 * bound < size <= bound
