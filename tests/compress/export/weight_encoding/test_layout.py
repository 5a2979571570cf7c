import pytest

from compress.network.families import layout
from compress.network.families.residual.config import Residual

RESNET20 = Residual(widths=(16, 32, 64), depths=(3, 3, 3), shortcut="pad")


def test_resnet20_and_resnet56_have_their_published_number_of_parameters():
    deep = RESNET20.model_copy(update={"depths": (9, 9, 9)})
    assert layout.parameters(RESNET20, in_channels=3, num_classes=10) == 269_722
    assert layout.parameters(deep, in_channels=3, num_classes=10) == 853_018


def test_resnet20_has_its_published_macs_plus_the_convolutions_that_compute_the_pads():
    size = {"in_channels": 3, "num_classes": 10}
    rows = layout.layers(RESNET20, **size, image=(32, 32))
    pads = sum(row.macs or 0 for row in rows if row.kind == "pad")
    assert pads == 2 * 131_072
    assert layout.macs(RESNET20, **size, height=32, width=32) - pads == 40_551_040


def test_projection_shortcuts_have_tensors_and_pads_have_none():
    projected = Residual(widths=(4, 8), depths=(1, 1), shortcut="conv")
    padded = Residual(widths=(4, 8), depths=(1, 1), shortcut="pad")
    size = {"in_channels": 1, "num_classes": 3}
    extra = set(layout.tensor_shapes(projected, **size)) - set(layout.tensor_shapes(padded, **size))
    assert extra == {
        "layer2.0.shortcut.0.weight",
        *(f"layer2.0.shortcut.1.{name}" for name in ("weight", "bias")),
        *(f"layer2.0.shortcut.1.running_{name}" for name in ("mean", "var")),
    }


def test_rows_without_an_image_size_leave_outputs_and_macs_open():
    rows = layout.layers(RESNET20, in_channels=3, num_classes=10)
    assert {(row.output, row.macs) for row in rows} == {(None, None)}


@pytest.mark.parametrize(("side", "last"), [(8, 2), (9, 3), (28, 7), (32, 8)])
def test_every_later_stage_halves_the_image_rounding_up(side, last):
    rows = layout.layers(RESNET20, in_channels=1, num_classes=10, image=(side, side))
    assert rows[-2].output == (64, last, last)
