import numpy as np
from onnx import TensorProto, helper, numpy_helper

from compress.export import onnx_graph


def test_no_inner_tensor_keeps_a_name_that_another_may_get():
    weight = numpy_helper.from_array(np.ones((2, 2), np.float32), "layer.weight")
    images = helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 2])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 2])
    nodes = [
        helper.make_node("MatMul", ["input", "layer.weight"], ["layer"]),
        helper.make_node("Relu", ["layer"], ["logits"]),
    ]
    model = helper.make_model(helper.make_graph(nodes, "g", [images], [logits], [weight]))
    onnx_graph.number_tensors(model)
    [multiplied, shown] = model.graph.node
    [constant] = model.graph.initializer
    assert list(multiplied.input) == ["input", constant.name]
    assert list(shown.input) == list(multiplied.output)
    assert list(shown.output) == ["logits"]
    assert constant.name != "layer.weight"
    assert not constant.name.startswith(f"{multiplied.output[0]}.")
