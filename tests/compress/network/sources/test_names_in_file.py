"""Checkpoints saved from within DataParallel, torch.compile and Lightning modules."""

import numpy as np
import pytest
import torch
from safetensors import numpy as tensor_files

from compress.network.families import layout
from compress.network.families.catalog import plan_of
from compress.network.families.mobilenet_v2.config import MobileNetV2
from compress.network.families.residual.config import Residual
from compress.network.preprocessing import Normalisation
from compress.network.sources import inspection, safetensors
from compress.values.errors import InvalidWeights

RESIDUAL = Residual(widths=(4, 8), depths=(1, 1))
SIZE = {"in_channels": 3, "num_classes": 5}


def saved(tmp_path, wrapper, *, architecture=RESIDUAL, names=None, **more):
    generator = np.random.default_rng(0)
    shapes = layout.tensor_shapes(architecture, **SIZE)
    tensors = {
        f"{wrapper}{(names or {}).get(name, name)}": generator.uniform(0.1, 1, shape).astype(
            np.float32
        )
        for name, shape in shapes.items()
    }
    path = tmp_path / "weights.safetensors"
    counter = {f"{wrapper}bn1.num_batches_tracked": np.zeros((), np.int64)}
    path.write_bytes(tensor_files.save(tensors | counter | more))
    return path


def loaded(path, architecture=RESIDUAL):
    return safetensors.load(
        path,
        architecture=architecture,
        normalisation=Normalisation.identity(3),
        input_shape=(3, 32, 32),
        num_classes=5,
    )


@pytest.mark.parametrize(
    "wrapper", ["module.", "_orig_mod.", "model.", "net.", "_orig_mod.module.", "model._orig_mod."]
)
def test_what_wrapped_the_network_is_left_out_of_its_names_and_said(tmp_path, wrapper):
    plain = loaded(saved(tmp_path, "")).module.state_dict()
    path = saved(tmp_path, wrapper)
    info = inspection.inspect_weights(path, RESIDUAL)
    assert info.num_classes == 5
    [note] = info.notes
    assert repr(wrapper) in note
    wrapped = loaded(path).module.state_dict()
    assert plain.keys() == wrapped.keys()
    assert all(torch.equal(plain[name], wrapped[name]) for name in plain)


def test_weights_named_as_the_family_names_them_have_no_note(tmp_path):
    assert inspection.inspect_weights(saved(tmp_path, ""), RESIDUAL).notes == ()


@pytest.mark.parametrize(
    ("wrapper", "more"),
    [
        ("teacher.", {}),
        ("module.", {"criterion.weight": np.zeros(5, np.float32)}),
        ("module.", {"module.extra": np.zeros(5, np.float32)}),
        ("model." * 5, {}),
    ],
)
def test_names_that_fit_in_no_way_are_refused_as_they_are_in_the_file(tmp_path, wrapper, more):
    with pytest.raises(InvalidWeights, match=r"expected a tensor 'conv1.weight'"):
        inspection.inspect_weights(saved(tmp_path, wrapper, **more), RESIDUAL)


def test_the_names_of_another_published_layout_may_be_wrapped_too(tmp_path):
    family = MobileNetV2(width=0.5, depths=(1,) * 7)
    drawn = plan_of(family, **SIZE)
    parts = {name: name.rpartition(".") for name in layout.tensor_shapes(family, **SIZE)}
    names = {name: f"{drawn.aliases[p]}.{last}" for name, (p, _, last) in parts.items()}
    path = saved(tmp_path, "module.", architecture=family, names=names)
    assert len(inspection.inspect_weights(path, family).notes) == 1
    assert loaded(path, family).num_classes == 5
