"""What techniques can work on in a network that is only described."""

from compress.techniques import registry
from compress.techniques.reach import DescribedLayer, reaches

LAYERS = [
    DescribedLayer(name="first", kind="conv", parameters=60),
    DescribedLayer(name="words", kind="embedding", parameters=30),
    DescribedLayer(name="last", kind="linear", parameters=10),
]


def test_every_technique_says_what_it_reaches_in_the_order_of_the_registry():
    found = reaches(LAYERS, is_family=True)
    assert [one.technique for one in found] == [one.name for one in registry.TECHNIQUES]
    assert found[0].layers == 3


def test_what_is_left_alone_is_named_with_the_reason():
    found = {one.technique: one for one in reaches(LAYERS, is_family=False)}
    for name in ("filter_pruning", "low_rank", "sparsity", "weight_sharing", "quantization"):
        one = found[name]
        assert (one.layers, one.parameters, one.left) == (2, 0.7, ("words",))
        assert "embedding" in one.reason
    assert (found["distillation"].layers, found["distillation"].left) == (3, ())


def test_only_networks_of_a_family_have_members():
    first = reaches(LAYERS, is_family=False)[0]
    assert (first.technique, first.layers) == ("family_member", 0)
    assert "only networks of a family" in first.reason
