"""What does not fit a family is refused before anything is computed, by name and with a way out."""

import re

import pytest
import safetensors.torch
import torch
from pydantic import ValidationError

from compress.network.families import layout
from compress.network.families.catalog import BY_NAME, read
from compress.network.families.network import build
from compress.network.member import Shape
from compress.network.sources import safetensors as weights
from compress.techniques.compressed import CompressedModel
from compress.techniques.family_member import apply as family_member
from compress.techniques.family_member.config import FamilyMember
from compress.values.errors import InvalidCandidate, InvalidWeights
from tests.compress.network.families import tiny
from tests.compress.network.families.samples import SAMPLES
from tests.compress.network.supernet.families import context

SIZE = {"in_channels": 1, "num_classes": tiny.NUM_CLASSES}
EVERY = pytest.mark.parametrize("name", SAMPLES)
COARSE = [name for name, sample in SAMPLES.items() if sample.reduction > 4]


def file_of(net, folder, changes=None):
    path = folder / "w.safetensors"
    weights.save(net, path)
    if changes is not None:
        tensors = safetensors.torch.load_file(path)
        safetensors.torch.save_file(changes(tensors), path)
    return path


def load(path, architecture, net):
    return weights.load(
        path,
        architecture=architecture,
        normalisation=net.normalisation,
        input_shape=net.input_shape,
        num_classes=net.num_classes,
    )


@EVERY
def test_a_tensor_of_another_shape_is_named_with_both_shapes(name, tmp_path):
    net = tiny.network(SAMPLES[name])
    last = f"{net.module.plan.layers[-1].name}.weight"
    classes, inputs = net.module.get_parameter(last).shape

    def wider(tensors):
        return tensors | {last: torch.zeros(classes, inputs + 1)}

    words = f"of another shape: {last} is ({classes}, {inputs + 1}), expected ({classes}, {inputs})"
    with pytest.raises(InvalidWeights, match=re.escape(words)):
        load(file_of(net, tmp_path, wider), SAMPLES[name], net)


@EVERY
def test_a_tensor_that_is_missing_and_one_that_nobody_knows_are_named(name, tmp_path):
    net = tiny.network(SAMPLES[name])
    gone = f"{net.module.plan.layers[-1].name}.bias"

    def renamed(tensors):
        return {f"{key}ed" if key == gone else key: tensor for key, tensor in tensors.items()}

    with pytest.raises(InvalidWeights, match=re.escape(f"missing: {gone}; unknown: {gone}ed")):
        load(file_of(net, tmp_path, renamed), SAMPLES[name], net)


@EVERY
def test_weights_of_another_family_are_refused(name, tmp_path):
    net = tiny.network(SAMPLES[name])
    path = file_of(net, tmp_path)
    for other in SAMPLES.values():
        if other.family != SAMPLES[name].family:
            with pytest.raises(InvalidWeights, match=r"expected a tensor|do not fit"):
                load(path, other, net)


@EVERY
def test_weights_for_other_images_than_those_of_the_data_are_refused(name, tmp_path):
    net = tiny.network(SAMPLES[name])
    colour = weights.load
    with pytest.raises(InvalidWeights, match="1 channels and 5 classes, the data has 3 channels"):
        colour(
            file_of(net, tmp_path),
            architecture=SAMPLES[name],
            normalisation=net.normalisation,
            input_shape=(3, tiny.SIDE, tiny.SIDE),
            num_classes=tiny.NUM_CLASSES,
        )


@EVERY
def test_a_resolution_that_leaves_no_pixel_is_refused_with_the_least_that_does(name):
    sample = SAMPLES[name]
    least = max(4, sample.reduction)
    document = sample.model_dump() | {"resolution": least - 1}
    with pytest.raises(ValidationError, match=rf"at least {least}|greater than or equal to 4"):
        read(document)
    assert read(document | {"resolution": least}).resolution == least


@pytest.mark.parametrize("name", [name for name in SAMPLES if name != "vgg_bn"])
def test_the_least_resolution_is_enough(name):
    least = SAMPLES[name].model_copy(update={"resolution": max(4, SAMPLES[name].reduction)})
    answers = tiny.answers(tiny.network(least))
    assert answers.shape == (3, tiny.NUM_CLASSES)
    assert bool(torch.isfinite(answers).all())


def test_published_strides_divide_an_image_as_published():
    found = {name: family.config().reduction for name, family in BY_NAME.items()}
    assert found == dict.fromkeys(BY_NAME, 32) | {"residual": 4, "nasbench201": 4, "ds_cnn": 2}


@pytest.mark.parametrize("name", COARSE)
def test_a_member_at_such_a_resolution_is_not_even_built(name):
    member = SAMPLES[name].member(Shape(resolution=SAMPLES[name].reduction - 1))
    words = f"strides of {member.reduction} in all: use at least {member.reduction}, or "
    with pytest.raises(InvalidCandidate, match=words):
        build(member, **SIZE, seed=0)


@pytest.mark.parametrize("weights_of", ["inherited", "fresh"])
def test_a_candidate_at_such_a_resolution_is_refused(weights_of):
    net = tiny.network(SAMPLES["residual"])
    config = FamilyMember(resolution=3, weights=weights_of)
    with pytest.raises(InvalidCandidate, match=r"resolution 3 leaves no pixel .* use at least 4"):
        family_member.apply(CompressedModel(network=net), config, context())


@pytest.mark.parametrize(("height", "width"), [(24, 16), (16, 25)])
def test_maps_that_no_vector_can_be_made_of_are_refused_before_and_while_they_are_computed(
    height, width
):
    sample = SAMPLES["vgg_bn"]
    with pytest.raises(InvalidCandidate, match=r"averaged to 2x2.* Give the network a resolution"):
        layout.layers(sample, **SIZE, image=(height, width))
    with pytest.raises(ValueError, match="cannot be averaged to 2x2"):
        tiny.network(sample).module(torch.zeros(1, 1, height, width))


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"family": "residual", "widths": (8, 16)}, "one entry per stage, got 2 and 3"),
        ({"family": "residual", "widths": (0, 1, 2)}, "greater than or equal to 1"),
        ({"family": "residual", "shortcut": "none"}, "'pad' or 'conv'"),
        ({"family": "residual", "width": 0.5}, "Extra inputs"),
        ({"family": "residual", "resolution": 3}, "greater than or equal to 4"),
        (
            {"family": "residual", "widths": (8,) * 4, "depths": (1,) * 4, "resolution": 7},
            "least 8",
        ),
        ({"family": "resnet", "depths": (2, 2)}, "one entry per stage, got 4 and 2"),
        ({"family": "resnet", "block": "wide"}, "'basic' or 'bottleneck'"),
        ({"family": "resnet", "inner": 0}, "greater than 0"),
        ({"family": "resnet", "stem_kernel": 4}, "3, 5 or 7"),
        ({"family": "resnet", "resolution": 31}, "at least 32, or stem_stride 1, stem_pool false"),
        ({"family": "vgg_bn", "depths": (1, 1)}, "one entry per stage, got 5, 2 and 2"),
        ({"family": "vgg_bn", "places": (1, 1, 1, 1, 1)}, "places .* must be at least depths"),
        ({"family": "vgg_bn", "pool": 8}, "less than or equal to 7"),
        ({"family": "vgg_bn", "resolution": 31}, "strides of 32 in all: use at least 32, or fewer"),
        ({"family": "ds_cnn", "kernel": 4}, "3, 5 or 7"),
        ({"family": "ds_cnn", "stem_stride": (5, 1)}, "less than or equal to 4"),
        ({"family": "ds_cnn", "stem_stride": (4, 4), "stride": 2, "resolution": 7}, "least 8"),
        ({"family": "nasbench201", "cell": "|nor_conv_3x3~0|"}, "6 operations or a string like"),
        ({"family": "nasbench201", "cell": ("none",) * 5}, "at least 6 items"),
        ({"family": "nasbench201", "cell": ("conv_9x9",) * 6}, "'none', 'skip_connect'"),
        ({"family": "nasbench201", "cells": (0, 1, 1)}, "greater than or equal to 1"),
        ({"family": "nasbench201", "cells": True}, "tuple"),
        ({"family": "lenet"}, "'residual', 'mobilenet_v2'"),
    ],
    ids=str,
)
def test_settings_that_make_no_network_are_refused_with_what_was_expected(document, words):
    with pytest.raises(ValidationError, match=words):
        read(document)


@pytest.mark.parametrize("family", BY_NAME)
def test_published_settings_need_nothing_but_the_name(family):
    assert read({"family": family}) == BY_NAME[family].config()
