"""A delivered file answers like the upload for images of every size that its ports leave open."""

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from compress import pipeline
from compress.export import writer
from compress.network.sources.onnx import load
from compress.tasks.registry import IMAGE_CLASSIFICATION
from compress.techniques.candidate import Candidate
from compress.techniques.filter_pruning.config import FilterPruning
from compress.techniques.low_rank.config import LowRank
from compress.techniques.quantization.config import Quantization
from tests.compress.applying import context_of
from tests.compress.uploads import CLASSES, IMAGES, pictures

OTHERS = [(15, 17), (20, 13)]
EXACT = {
    "as it is": (),
    # Half of the channels are zeros, and so are the weights that read them.
    "fewer channels": (FilterPruning(scope="uniform", ratio=0.5, round_to=1),),
    # The kernels are of rank 1.
    "thinner layers": (LowRank(energy=0.999, weighting="none"),),
}
ROUNDED = {"integers": (Quantization(),)}


def upload(padding: str) -> bytes:
    """Two convolutions that pad by the size of what they read, for images of any size."""
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], name="a", auto_pad=padding, strides=[2, 2]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "v"], ["c"], name="c", auto_pad=padding, strides=[2, 2]),
        helper.make_node("Relu", ["c"], ["d"]),
        helper.make_node("GlobalAveragePool", ["d"], ["e"]),
        helper.make_node("Flatten", ["e"], ["f"]),
        helper.make_node("Gemm", ["f", "u"], ["y"]),
    ]
    weights = {
        "w": product((16, 3, 3, 3), seed=0),
        "v": product((16, 16, 4, 4), seed=1),
        "u": product((16, CLASSES), seed=2),
    }
    weights["w"][8:] = weights["v"][8:] = weights["v"][:, 8:] = weights["u"][8:] = 0
    graph = helper.make_graph(
        nodes,
        "open",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, "H", "W"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", CLASSES])],
        [numpy_helper.from_array(values, name) for name, values in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return model.SerializeToString()


def product(shape, *, seed):
    """Positive numbers, of rank 1 however their axes are grouped."""
    random = np.random.default_rng(seed)
    found = np.ones(shape)
    for axis, size in enumerate(shape):
        along = [1] * len(shape)
        along[axis] = size
        found = found * random.uniform(0.2, 1.0, size).reshape(along)
    return found.astype(np.float32)


def answers(file, x):
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0]


@pytest.mark.parametrize("padding", ["SAME_UPPER", "SAME_LOWER"])
@pytest.mark.parametrize("steps", [*EXACT, *ROUNDED])
def test_padding_goes_on_following_the_size_of_the_image(steps, padding, tmp_path):
    data = pictures(64)
    network = load(upload(padding), input_shape=IMAGES, num_classes=CLASSES)
    candidate = Candidate(steps=(EXACT | ROUNDED)[steps])
    made = pipeline.start(network, candidate, context_of(data))
    file = writer.write(made, tmp_path, data=data, task=IMAGE_CLASSIFICATION)
    whole = 3 * 16 * 9 + 16 * 16 * 16 + 16 * CLASSES
    assert (file.parameters < whole) == (steps in ("fewer channels", "thinner layers"))
    for height, width in OTHERS:
        x = np.random.default_rng(3).uniform(0, 2, (4, 3, height, width)).astype(np.float32)
        expected, found = answers(upload(padding), x), answers(str(file.path), x)
        near = 0.05 if steps in ROUNDED else 1e-4
        np.testing.assert_allclose(found, expected, atol=near * np.abs(expected).max())
