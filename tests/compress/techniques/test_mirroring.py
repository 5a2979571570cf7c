"""Mirroring: a file answers with the mean over views of an image, and stores nothing twice."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from pydantic import ValidationError

from compress import pipeline
from compress.evaluation import runtime
from compress.export import parity, views, writer
from compress.network.signature import INPUT
from compress.tasks.kinds.image_classification.task import IMAGE_CLASSIFICATION
from compress.techniques.candidate import Candidate
from compress.techniques.mirroring.config import VIEWS, Mirroring
from compress.techniques.quantization.config import Quantization
from compress.training.context import TrialContext
from compress.values.errors import ExportParityError
from tests import covering
from tests.devices import DEVICE

FORMS = {
    "float": (),
    "integer kernels": (Quantization(),),
    "4 bits": (Quantization(weight_bits=4, activations="float"),),
    "16-bit scales": (Quantization(weight_bits=4, activations="float", scale_bits=16),),
}
AXES = {"horizontal": [(3,)], "vertical": [(2,)], "both": [(3,), (2,), (2, 3)]}
MATRIX = [(form, flip) for form in FORMS for flip in sorted(AXES)]


@pytest.fixture(scope="module", params=covering.rows(MATRIX, [" ".join(row) for row in MATRIX]))
def mirrored(request, trained, digits, tmp_path_factory):
    """The file without views, the one with them, and the axes along which they are flipped."""
    context = TrialContext(
        data=digits, device=DEVICE, seed=0, teacher=trained, task=IMAGE_CLASSIFICATION
    )
    form, flip = request.param
    steps = FORMS[form]
    files = (
        written(trained, each, context, tmp_path_factory.mktemp("mirrored"))
        for each in (steps, (*steps, Mirroring(flip=flip)))
    )
    return *files, AXES[flip]


def written(network, steps, context, folder):
    made = pipeline.start(network, Candidate(steps=steps), context)
    return writer.write(made, folder, data=context.data, task=IMAGE_CLASSIFICATION)


def answers(path, x_NCHW):
    return runtime.answers(runtime.session(path), x_NCHW)


def test_a_file_answers_with_the_mean_over_its_views(mirrored, digits):
    alone, averaging, flips = mirrored
    x_NCHW = digits.validation.x_NCHW
    views = [x_NCHW, *(x_NCHW.flip(axes) for axes in flips)]
    expected_NK = np.mean([answers(alone.path, view) for view in views], axis=0)
    np.testing.assert_allclose(answers(averaging.path, x_NCHW), expected_NK, atol=1e-4)
    for count in (1, 3):
        few = answers(averaging.path, x_NCHW[:count])
        np.testing.assert_allclose(few, expected_NK[:count], atol=1e-4)


def test_views_cost_macs_and_hardly_a_byte(mirrored):
    alone, averaging, flips = mirrored
    assert averaging.macs == (1 + len(flips)) * alone.macs
    assert averaging.parameters == alone.parameters
    assert 0 < averaging.size_bytes - alone.size_bytes < 500
    seen = [value.name for value in onnx.load(averaging.path).graph.input]
    assert seen == [INPUT]


def test_an_image_and_its_mirror_image_get_the_same_answer(trained, digits, tmp_path):
    context = TrialContext(data=digits, device=DEVICE, seed=0, task=IMAGE_CLASSIFICATION)
    file = written(trained, (Mirroring(),), context, tmp_path)
    x_NCHW = digits.validation.x_NCHW
    mirrored_NK = answers(file.path, x_NCHW.flip(3))
    np.testing.assert_allclose(answers(file.path, x_NCHW), mirrored_NK, atol=1e-4)
    assert not np.allclose(answers(file.path, x_NCHW.flip(2)), mirrored_NK, atol=1e-1)


def test_the_gate_sees_a_file_that_averages_over_other_views(trained, digits, tmp_path):
    context = TrialContext(data=digits, device=DEVICE, seed=0, task=IMAGE_CLASSIFICATION)
    model = written(trained, (Mirroring(),), context, tmp_path).path.read_bytes()
    x_NCHW = parity.images(digits.validation)
    same_NK = parity.torch_logits(trained, x_NCHW, over=VIEWS["horizontal"])
    assert (
        parity.check_float(
            model, reference_NK=same_NK, x_NCHW=x_NCHW, task=IMAGE_CLASSIFICATION
        ).agreement
        == 1
    )
    other_NK = parity.torch_logits(trained, x_NCHW, over=VIEWS["vertical"])
    with pytest.raises(ExportParityError, match="float file against torch"):
        parity.check_float(model, reference_NK=other_NK, x_NCHW=x_NCHW, task=IMAGE_CLASSIFICATION)


def test_a_recovery_keeps_the_views_and_trains_the_same_network(trained, digits):
    few = replace(digits, train=replace(digits.train, x_NCHW=digits.train.x_NCHW[:64]))
    few = replace(few, train=replace(few.train, y_N=digits.train.y_N[:64]))
    context = TrialContext(data=few, device=DEVICE, seed=0, task=IMAGE_CLASSIFICATION)
    quantized = Quantization(weight_bits=2, activations="float")
    plain, mirrored = (
        pipeline.recover(
            pipeline.start(trained, Candidate(steps=steps), context), context, epochs=1
        )
        for steps in ((quantized,), (quantized, Mirroring()))
    )
    assert views.of(mirrored) == VIEWS["horizontal"]
    states = (each.network.module.state_dict() for each in (plain, mirrored))
    for one, other in zip(*(state.values() for state in states), strict=True):
        assert torch.equal(one, other)


def test_a_flip_that_does_not_exist_is_refused_and_the_others_are_named():
    with pytest.raises(ValidationError, match="'none', 'horizontal', 'vertical' or 'both'"):
        Mirroring.model_validate({"flip": "diagonal"})
