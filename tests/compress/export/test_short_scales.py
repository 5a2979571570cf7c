"""Scales of few bits: integer kernels and float arithmetic give the same answers, bit for bit."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import numpy_helper

from compress.evaluation import runtime
from compress.export import parity, writer
from compress.export.activation_calibration import ActivationRange
from compress.network.stored_weight import shortened
from compress.tasks.kinds.image_classification.task import IMAGE_CLASSIFICATION
from compress.techniques.compressed import CompressedModel
from compress.techniques.quantization import grid
from tests.compress.applying import quantized

NO_SATURATION = {"reduced_range": True}
"""Without VNNI, processors add two products of 8 bits in 16, which may saturate."""
ENDS = st.floats(-1e4, 1e4).filter(lambda end: end == 0 or abs(end) > 1e-3)


def written(network, data, folder, **config):
    changed = quantized(CompressedModel(network=network), data, **config)
    return writer.write(changed, folder, data=data, task=IMAGE_CLASSIFICATION).path


def both_ways(path, data):
    x_NCHW = parity.images(data.validation)
    return [
        runtime.answers(runtime.session(path, optimise=optimise), x_NCHW)
        for optimise in (True, False)
    ]


def scales(path, kind, index):
    """The constants that nodes of a kind read as their scales."""
    model = onnx.load(path)
    tensors = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    read = [node.input[index] for node in model.graph.node if node.op_type == kind]
    return [tensors[name] for name in read if name in tensors]


@pytest.mark.parametrize("bits", [4, 3, 2])
def test_integer_kernels_give_the_bits_of_float_arithmetic(trained, digits, tmp_path, bits):
    path = written(trained, digits, tmp_path, weight_bits=bits, **NO_SATURATION)
    fused_NK, as_written_NK = both_ways(path, digits)
    np.testing.assert_array_equal(fused_NK, as_written_NK)


def test_without_short_scales_some_answers_differ(trained, digits, tmp_path):
    path = written(trained, digits, tmp_path, short_scales=False)
    fused_NK, as_written_NK = both_ways(path, digits)
    assert (fused_NK != as_written_NK).any()


def test_scales_of_activations_are_powers_of_two_at_most_twice_as_coarse(trained, digits, tmp_path):
    free, short = (
        np.array(scales(written(trained, digits, tmp_path, short_scales=s), "QuantizeLinear", 1))
        for s in (False, True)
    )
    assert len(short) == len(free) > 5
    assert (np.frexp(short)[0] == 0.5).all()
    assert ((short >= free * 0.99) & (short < free * 2.02)).all()


def test_float_activations_have_no_use_for_short_scales(trained, digits, tmp_path):
    contents = {
        written(trained, digits, tmp_path, activations="float", short_scales=s).read_bytes()
        for s in (False, True)
    }
    assert len(contents) == 1


def test_it_goes_with_16_bit_scales(trained, digits, tmp_path):
    path = written(trained, digits, tmp_path, weight_bits=4, scale_bits=16, **NO_SATURATION)
    fused_NK, as_written_NK = both_ways(path, digits)
    np.testing.assert_array_equal(fused_NK, as_written_NK)


@given(low=ENDS, high=ENDS)
def test_the_range_of_a_power_of_two_covers_the_range_it_is_for(low, high):
    low, high = min(low, high), max(low, high)
    wide = ActivationRange(low=low, high=high).on_power_of_two()
    scale, zero_point = grid.affine_parameters(wide.low, wide.high)
    exact, _ = grid.affine_parameters(low, high)
    assert np.frexp(scale)[0] == 0.5
    assert exact <= scale < 2 * exact
    bottom, top = -int(zero_point) * float(scale), (255 - int(zero_point)) * float(scale)
    assert bottom <= min(low, 0.0) + 0.51 * scale
    assert top >= max(high, 0.0) - 0.51 * scale


@given(st.floats(1e-30, 1e30))
def test_a_short_scale_has_eight_bits_and_lies_within_one_part_in_256(scale):
    (short,) = shortened(np.array([scale], np.float32))
    assert abs(short - np.float32(scale)) <= np.float32(scale) / 256
    in_units = np.frexp(short)[0] * 256
    assert in_units == round(in_units)
