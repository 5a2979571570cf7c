"""What an outline counts without channels is what their arithmetic says."""

from compress.network.outline import CoupledChannels, GroupAxis, GroupInfo, LayerInfo, Outline
from compress.network.signature import Signature
from compress.network.structure.narrowing import Narrowing

LAYERS = (
    LayerInfo(
        name="conv", kind="conv", weight_shape=(8, 3, 3, 3), parameters=232, macs=21600, stage=0
    ),
    LayerInfo(name="norm", kind="norm", weight_shape=(8,), parameters=16, macs=0, stage=0),
    LayerInfo(
        name="out", kind="linear", weight_shape=(5, 32), parameters=165, macs=160, stage=None
    ),
)
GROUP = GroupInfo(
    root="conv",
    stage=0,
    num_channels=8,
    axes=(
        GroupAxis(layer="conv", axis=0, indices=8),
        GroupAxis(layer="out", axis=1, indices=32),
    ),
)


def narrowing(group: GroupInfo = GROUP, *, is_counted: bool = True) -> Narrowing:
    signature = Signature.of_examples((3, 10, 10), num_classes=5)
    outline = Outline(signature=signature, layers=LAYERS, blocks=(1,))
    return Narrowing(outline, CoupledChannels(groups=(group,), is_counted=is_counted))


def test_a_network_with_all_channels_counts_what_it_is() -> None:
    whole = narrowing().without({})
    assert whole.weights_L.tolist() == [216, 0, 160]
    assert whole.biases_L.tolist() == [8, 0, 5]
    assert (whole.parameters, whole.macs) == (389, 21760)


def test_both_sides_of_a_group_get_narrower() -> None:
    smaller = narrowing().without({"conv": 6})
    assert smaller.weights_L.tolist() == [162, 0, 120]
    assert smaller.biases_L.tolist() == [6, 0, 5]
    assert smaller.macs == 21600 * 6 // 8 + 120


def test_counts_are_exact_if_channels_hold_alike_and_files_count_all() -> None:
    assert narrowing().is_exact
    assert not narrowing(is_counted=False).is_exact
    uneven = GROUP.axes[1].model_copy(update={"is_even": False})
    assert not narrowing(GROUP.model_copy(update={"axes": (GROUP.axes[0], uneven)})).is_exact
