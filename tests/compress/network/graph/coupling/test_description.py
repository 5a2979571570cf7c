"""Groups in words hold of every weight what the labels say."""

from compress.network.graph import outline
from compress.network.graph.coupling import description
from compress.network.graph.coupling.couplings import couple
from compress.network.graph.coupling.removal import narrowed
from compress.network.graph.shapes import bind
from compress.network.outline import CoupledChannels, GroupAxis, Outline
from compress.network.signature import Signature
from tests.compress.network.graph.coupling.graphs import graph, network, node


def described(name):
    whole, shapes = network(name)
    layers = outline.outline(whole, bind(whole, {"N": 1})).layers
    return description.coupled(whole, shapes, layers), layers, whole, shapes


def test_a_group_says_what_its_channels_hold_of_every_layer():
    found = described("cnn")[0]
    assert [(group.root, group.num_channels, group.stage) for group in found.groups] == [
        ("first", 8, 0),
        ("second", 12, 1),
    ]
    assert found.groups[1].axes == (
        GroupAxis(layer="second", axis=0, indices=12),
        GroupAxis(layer="head", axis=1, indices=12 * 49),
    )
    assert (found.is_counted, found.fixed) == (True, {})


def test_a_grouped_convolution_reads_as_many_as_one_section_has():
    found = described("shuffle")[0]
    assert found.groups[0].sections == 2
    assert GroupAxis(layer="grouped", axis=1, indices=4) in found.groups[0].axes


def test_axes_are_those_of_the_table_of_layers_after_channels_have_left():
    for name in ("cnn", "residual", "depthwise", "vit"):
        found, layers, whole, shapes = described(name)
        gone = {
            group.root: [
                channel
                for channel in range(group.num_channels)
                if channel % (group.num_channels // group.sections) == 0
            ]
            for group in found.groups
        }
        smaller = narrowed(whole, shapes, couple(whole, shapes), gone)
        matrices = [layer for layer in layers if layer.kind != "norm"]
        weights = {layer.name: list(layer.weight_shape) for layer in matrices}
        for group in found.groups:
            for axis in group.axes:
                assert axis.is_even
                lost = axis.indices * len(gone[group.root]) // group.num_channels
                weights[axis.layer][axis.axis] -= lost
        sizes = sorted(sorted(shape) for shape in weights.values())
        made = [smaller[tensor] for tensor in sorted(tensors_of(whole, layers))]
        assert sizes == sorted(sorted(shape) for shape in made)


def tensors_of(whole, layers):
    names = {layer.name for layer in layers if layer.kind in {"conv", "linear"}}
    shapes = {layer.name: layer.weight_shape for layer in layers if layer.name in names}
    found = set()
    for each in whole.nodes:
        for name in each.inputs[1:2]:
            constant = whole.tensors.get(name)
            wanted = {tuple(sorted(shape)) for shape in shapes.values()}
            if each.op in {"Conv", "Gemm", "MatMul"} and constant is not None:
                assert tuple(sorted(constant.shape)) in wanted
                found.add(name)
    return found


def test_what_a_file_does_not_count_is_said():
    assert not described("vit")[0].is_counted
    whole = graph(
        node("MatMul", ["x", "w.weight"], "y"),
        w__weight=(3, 8, 5),
    )
    layers = outline.outline(whole, bind(whole, {"N": 1})).layers
    shapes = {"x": (2, 3, 8, 8), "y": (2, 3, 8, 5), "w.weight": (3, 8, 5)}
    assert not description.coupled(whole, shapes, layers).is_counted


def test_an_axis_that_holds_some_channels_more_often_says_so():
    whole = graph(
        node("Conv", ["x", "a.weight"], "a"),
        node("Slice", ["a", "start", "end", "axis"], "half"),
        node("Concat", ["a", "half"], "both", axis=1),
        node("Conv", ["both", "b.weight"], "y"),
        a__weight=(6, 3, 1, 1),
        b__weight=(5, 9, 1, 1),
        start=[0],
        end=[3],
        axis=[1],
    )
    shapes = {
        "x": (2, 3, 8, 8),
        "a": (2, 6, 8, 8),
        "half": (2, 3, 8, 8),
        "both": (2, 9, 8, 8),
        "y": (2, 5, 8, 8),
    }
    [group] = description.coupled(
        whole, shapes, outline.outline(whole, bind(whole, {"N": 1})).layers
    ).groups
    assert [(axis.layer, axis.indices, axis.is_even) for axis in group.axes] == [
        ("a", 6, True),
        ("b", 9, False),
    ]


def test_groups_travel_as_a_document_and_older_documents_have_none():
    channels, layers, *_ = described("residual")
    found = CoupledChannels.model_validate_json(channels.model_dump_json())
    assert found == channels
    assert all(layer.has_view for layer in layers)
    signature = Signature.of_examples((3, 16, 16), num_classes=5)
    whole = Outline(signature=signature, layers=layers, blocks=(1,), channels=channels)
    document = whole.model_dump(mode="json")
    assert Outline.model_validate(document) == whole
    del document["channels"]
    assert Outline.model_validate(document).coupled is None
