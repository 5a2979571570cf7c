"""Drawn networks learn, lose channels and bits, and answer in their files as they do in torch."""

from dataclasses import replace

import numpy as np
import onnxruntime
import pytest
import torch

from compress import delivery, pipeline
from compress.network.sources import family
from compress.targets import registry as targets
from compress.techniques.candidate import Candidate
from compress.techniques.compressed import CompressedModel
from compress.techniques.filter_pruning.config import FilterPruning
from compress.techniques.quantization.config import Quantization
from compress.training import loop
from tests.compress.network.families.drawn.made import CASES, CPU

EVERY = pytest.mark.parametrize("name", CASES)
OTHER_TARGETS = [one.name for one in targets.TARGETS if one is not targets.DEFAULT]
STEPS = (FilterPruning(scope="global", ratio=0.5), Quantization(weight_bits=8))


@pytest.fixture(scope="module")
def trained():
    """Each network and its data, trained once."""
    made = {}

    def of(name):
        if name not in made:
            case = CASES[name]
            data = case.data()
            network = family.aimed(case.network(), data.train.y_N)
            context = case.context(data)
            made[name] = (
                context,
                pipeline.train_baseline(network, epochs=case.epochs, context=context),
            )
        return made[name]

    return of


@EVERY
def test_a_network_learns(name, trained):
    context, network = trained(name)
    assert CASES[name].chance + 0.2 < loop.evaluate(
        network, context.data.validation, CPU, task=context.task
    )


@EVERY
def test_its_file_answers_alike_at_any_length_and_any_number_of_examples(name, trained, tmp_path):
    context, network = trained(name)
    artifact = written(CompressedModel(network=network), context, tmp_path, targets.DEFAULT)
    assert_answers_alike(CASES[name], network, artifact)


@EVERY
def test_it_loses_channels_and_bits(name, trained, tmp_path):
    context, network = trained(name)
    context = replace(context, teacher=network)
    whole = written(CompressedModel(network=network), context, tmp_path, targets.DEFAULT)
    compressed = pipeline.start(network, Candidate(steps=STEPS), context)
    compressed = pipeline.recover(compressed, context, epochs=1)
    small = written(compressed, context, tmp_path, targets.DEFAULT)
    assert small.parameters < whole.parameters
    assert small.size_bytes < whole.size_bytes


@pytest.mark.parametrize("name", ["text_encoder", "text_cnn", "feature_tagger"])
def test_integers_hide_padding_that_no_calibration_has_seen(name, trained, tmp_path):
    context, network = trained(name)
    full = replace(context.data.train, x_NCHW=context.data.train.x_NCHW.clamp(min=2))
    context = replace(context, data=replace(context.data, train=full, validation=full))
    step = Quantization(weight_bits=8, activations="int8")
    compressed = pipeline.start(network, Candidate(steps=(step,)), context)
    artifact = written(compressed, context, tmp_path, targets.DEFAULT)
    assert not [note for note in artifact.notes if "padding" in note]


@pytest.mark.parametrize("name", ["recurrent_tagger", "text_encoder", "text_cnn"])
@pytest.mark.parametrize("target", OTHER_TARGETS)
def test_every_target_has_a_form(name, target, trained, tmp_path):
    context, network = trained(name)
    artifact = written(CompressedModel(network=network), context, tmp_path, targets.find(target))
    assert_answers_alike(CASES[name], network, artifact)


def written(compressed, context, folder, target):
    return delivery.write(
        compressed, folder, target=target, data=context.data, task=context.task, name="file"
    )


def assert_answers_alike(case, network, artifact):
    session = onnxruntime.InferenceSession(artifact.path, providers=["CPUExecutionProvider"])
    [port] = session.get_inputs()
    assert port.name == ("input_ids" if case.config.takes_ids else "input")
    for count, change in ((1, 0), (5, -3), (2, 7)):
        x = resized(case, case.images(count, 9).x_NCHW, change)
        expected = network.module((x - mean(network, x)) / deviation(network, x))
        given = x.numpy().astype(np.int64 if case.config.takes_ids else np.float32)
        [found] = session.run(None, {port.name: given})
        scale = expected.abs().max().item()
        torch.testing.assert_close(
            torch.from_numpy(found), expected.detach(), atol=2e-5 * max(1, scale), rtol=1e-4
        )


def mean(network, x):
    return torch.tensor(network.normalisation.mean).reshape(-1, *(1,) * (x.ndim - 2))


def deviation(network, x):
    return torch.tensor(network.normalisation.std).reshape(-1, *(1,) * (x.ndim - 2))


def resized(case, x, change):
    """The same examples with more padding, or with fewer words, where a length is open."""
    if not case.config.open_axes:
        return x
    if change < 0:
        return x[..., :change]
    return torch.cat([x, torch.zeros(*x.shape[:-1], change)], -1)
