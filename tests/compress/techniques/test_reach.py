"""What techniques can work on in a network that is only described."""

from compress.techniques import registry
from compress.techniques.reach import DescribedLayer, reaches

LAYERS = [
    DescribedLayer(
        name="first", parameters=50, has_view=True, loses_channels=True, has_factors=True
    ),
    DescribedLayer(
        name="words", parameters=30, has_view=False, loses_channels=True, has_factors=False
    ),
    DescribedLayer(
        name="gates", parameters=10, has_view=True, loses_channels=True, has_factors=False
    ),
    DescribedLayer(
        name="last", parameters=10, has_view=True, loses_channels=False, has_factors=True
    ),
]


def test_every_technique_says_what_it_reaches_in_the_order_of_the_registry():
    found = reaches(LAYERS, is_family=True)
    assert [one.technique for one in found] == [one.name for one in registry.TECHNIQUES]
    assert found[0].layers == 4


def test_what_is_left_alone_is_named_with_the_reason():
    found = {one.technique: one for one in reaches(LAYERS, is_family=False)}
    for name in ("sparsity", "weight_sharing", "quantization"):
        one = found[name]
        assert (one.layers, one.parameters, one.left) == (3, 0.7, ("words",))
        assert "no matrices" in one.reason
    one = found["low_rank"]
    assert (one.layers, one.parameters, one.left) == (2, 0.6, ("words", "gates"))
    assert "have factors" in one.reason
    assert (found["distillation"].layers, found["distillation"].left) == (4, ())


def test_pruning_reaches_the_layers_whose_channels_may_leave():
    found = {one.technique: one for one in reaches(LAYERS, is_family=False)}["filter_pruning"]
    assert (found.layers, found.parameters, found.left) == (3, 0.9, ("last",))
    assert found.reason == "channels cannot leave"


def test_only_networks_of_a_family_have_members():
    first = reaches(LAYERS, is_family=False)[0]
    assert (first.technique, first.layers) == ("family_member", 0)
    assert "only networks of a family" in first.reason


def test_where_a_table_does_not_say_the_kind_of_a_layer_tells():
    rows = [{"name": n, "kind": n, "parameters": 1} for n in ("conv", "linear", "embedding")]
    found = [DescribedLayer.of_row(row) for row in rows]
    assert [layer.has_view for layer in found] == [True, True, False]
    assert [layer.loses_channels for layer in found] == [True, True, False]
    assert [layer.has_factors for layer in found] == [True, True, False]
    said = DescribedLayer.of_row({**rows[0], "has_view": False, "loses_channels": False})
    assert (said.has_view, said.loses_channels, said.has_factors) == (False, False, False)
    assert not DescribedLayer.of_row({**rows[0], "has_factors": False}).has_factors
