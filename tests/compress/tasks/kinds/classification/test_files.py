"""Networks that take no images: tables, series and ids, from their files to smaller files."""

from __future__ import annotations

import io
import warnings

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from compress import delivery, pipeline
from compress.evaluation import measure, peak_memory, runtime
from compress.export import writer
from compress.network.preprocessing import Normalisation
from compress.network.sources import onnx as onnx_source
from compress.network.sources import onnx_inspection
from compress.targets.plain import PLAIN
from compress.targets.portable import PORTABLE
from compress.tasks import registry
from compress.tasks.images import ImageData, Images
from compress.tasks.kinds.single_label.quality import MEASURED
from compress.techniques.candidate import Candidate
from compress.techniques.filter_pruning.config import FilterPruning
from compress.techniques.low_rank.config import LowRank
from compress.techniques.quantization.config import Quantization
from compress.training.context import TrialContext
from tests.compress.onnx_networks import exported

TASK = registry.TASKS["classification"]
CPU = torch.device("cpu")


def table_file():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(30, 24), nn.ReLU(), nn.Linear(24, 24), nn.ReLU())
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            net.append(nn.Linear(24, 4)).eval(),
            (torch.randn(2, 30),),
            buffer,
            dynamo=False,
            input_names=["row"],
            dynamic_axes={"row": {0: "rows"}},
        )
    return buffer.getvalue()


FILES = {
    "table": (table_file, (30,), 4),
    "series": (lambda: exported("encoder"), (7, 16), 5),
    "ids": (lambda: exported("text_cnn"), (9,), 4),
}


def data_of(shape, classes, *, counted):
    """Random examples; the labels do not matter to what is tested."""
    random = np.random.default_rng(0)
    x = random.integers(0, 20, (96, *shape)) if counted else random.normal(size=(96, *shape))
    x, y = torch.tensor(x, dtype=torch.float32), torch.arange(96) % classes
    parts = [Images(x_NCHW=x[place], y_N=y[place]) for place in (slice(64), slice(64, None))]
    return ImageData(train=parts[0], validation=parts[1], test=None, num_classes=classes)


def given(name, normalisation=None):
    make, shape, classes = FILES[name]
    data = data_of(shape, classes, counted=name == "ids")
    network = onnx_source.load(
        make(), input_shape=shape, num_classes=classes, normalisation=normalisation
    )
    return make(), network, data


def written(network, data, folder, *steps):
    context = TrialContext(task=TASK, data=data, device=CPU, seed=0, teacher=network)
    compressed = pipeline.start(network, Candidate(steps=steps), context)
    if steps:
        compressed = pipeline.recover(compressed, context, epochs=1, total=1)
    return writer.write(compressed, folder, data=data, task=TASK)


@pytest.mark.parametrize("name", FILES)
def test_a_file_comes_back_with_its_own_input_and_answers(name, tmp_path):
    content, network, data = given(name)
    artifact = written(network, data, tmp_path)
    model, own = onnx.load(artifact.path), onnx.load_from_string(content)
    assert model.graph.input == own.graph.input
    few = data.validation.x_NCHW[:5]
    expected, found = (
        runtime.answers(runtime.session(file), few) for file in (content, artifact.path)
    )
    assert np.abs(expected - found).max() < 1e-5


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(
    "step",
    [Quantization(weight_bits=4, activations="int8"), FilterPruning(scope="global", ratio=0.5)],
    ids=lambda step: step.technique,
)
def test_files_get_smaller_and_are_measured(name, step, tmp_path):
    content, network, data = given(name)
    artifact = written(network, data, tmp_path, step)
    found = measure.run(artifact, data, task=TASK, splits=("validation",))
    assert found.size_bytes < len(content)
    assert set(found.quality["validation"]) == set(MEASURED) - {"accuracy"}
    taken = onnx.load(artifact.path).graph.input[0]
    assert taken == onnx.load_from_string(content).graph.input[0]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("target", [PORTABLE, PLAIN], ids=lambda target: target.name)
def test_files_have_a_form_for_every_target(name, target, tmp_path):
    content, network, data = given(name)
    context = TrialContext(task=TASK, data=data, device=CPU, seed=0, teacher=network)
    steps = (Quantization(weight_bits=4, activations="float"),)
    compressed = pipeline.start(network, Candidate(steps=steps), context)
    artifact = delivery.write(compressed, tmp_path, target=target, data=data, task=TASK)
    taken = onnx.load(artifact.path).graph.input[0]
    assert artifact.target == target.name
    assert taken == onnx.load_from_string(content).graph.input[0]


def test_ids_are_cast_nowhere_in_a_file_that_takes_them(tmp_path):
    _, network, data = given("ids")
    artifact = written(network, data, tmp_path)
    assert "Cast" not in {node.op_type for node in onnx.load(artifact.path).graph.node}
    assert peak_memory.of_file(artifact.path, shapes=[(1, 9)]).load_ms > 0


def test_inspection_tells_the_rows_of_the_table_that_ids_pick_from():
    assert onnx_inspection.inspect(exported("text_cnn"), input_shape=(9,)).info.num_ids == 20
    assert onnx_inspection.inspect(table_file()).info.num_ids is None


def test_a_table_is_normalised_as_a_whole_and_low_rank_reads_it(tmp_path):
    normalisation = Normalisation(scale=2.0, mean=(0.5,), std=(3.0,))
    content, network, data = given("table", normalisation)
    artifact = written(network, data, tmp_path)
    few = data.validation.x_NCHW[:5]
    expected = runtime.answers(runtime.session(content), (few * 2 - 0.5) / 3)
    assert np.abs(runtime.answers(runtime.session(artifact.path), few) - expected).max() < 1e-5
    assert written(network, data, tmp_path, LowRank(size_ratio=0.4)).macs < artifact.macs


@pytest.mark.parametrize(
    ("shape", "means", "fits"),
    [((3, 8, 8), 3, True), ((3, 8, 8), 1, False), ((12,), 1, True), ((12,), 12, True)],
)
def test_a_normalisation_has_a_mean_for_each_channel_or_one_for_all_that_are_no_images(
    shape, means, fits
):
    given = Normalisation(mean=(0.0,) * means, std=(1.0,) * means)
    assert given.fits(shape) is fits
    assert Normalisation.identity_of(shape).fits(shape)
