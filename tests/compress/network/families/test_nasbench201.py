import itertools
from collections import Counter

import pytest
import torch

from benchmarks.data import cifar
from compress.network.families import layout
from compress.network.families.catalog import plan_of
from compress.network.families.nasbench201.config import EDGES, NasBench201
from compress.network.member import OPERATIONS, Shape
from compress.values.errors import InvalidCandidate
from tests.compress.network.families import tiny

TABLE = cifar.DATA / "nas" / "nasbench201_cifar10.parquet"
CELLS = list(itertools.product(OPERATIONS, repeat=len(EDGES)))
CIFAR = {"in_channels": 3, "num_classes": 10}
SIZE = {"in_channels": 1, "num_classes": tiny.NUM_CLASSES}


def parameters(cell, *, channels=16, cells=5):
    """By hand, of three channels and ten classes: a BatchNorm has two per channel."""
    widths = [channels, 2 * channels, 4 * channels]
    found = 27 * channels + 2 * channels
    for narrow, wide in itertools.pairwise(widths):
        # Two 3x3 convolutions with BatchNorm, and a 1x1 one without.
        found += 9 * narrow * wide + 2 * wide + 9 * wide * wide + 2 * wide + narrow * wide
    found += 2 * widths[-1] + 10 * widths[-1] + 10
    counts = Counter(cell)
    for width in widths:
        each = 9 * counts["nor_conv_3x3"] + counts["nor_conv_1x1"]
        norms = counts["nor_conv_3x3"] + counts["nor_conv_1x1"]
        found += cells * (each * width * width + 2 * norms * width)
    return found


def published_rows():
    parquet = pytest.importorskip(
        "pyarrow.parquet", reason="reading the published table needs pyarrow"
    )
    if not TABLE.exists():
        pytest.skip("the published table of NAS-Bench-201 is not beside the repository")
    return parquet.read_table(TABLE, columns=["arch", "params", "macs"]).to_pylist()


def test_there_are_15625_cells_and_each_is_read_back_from_its_text():
    assert len(CELLS) == 15_625
    texts = set()
    for cell in CELLS[::25]:
        text = NasBench201(cell=cell).text
        assert NasBench201(cell=text).cell == cell
        texts.add(text)
    assert len(texts) == len(CELLS[::25])


@pytest.mark.parametrize("step", [25, pytest.param(1, marks=pytest.mark.proof)])
def test_every_cell_has_the_parameters_of_the_formula(step):
    whole = NasBench201(channels=4, cells=1)
    for cell in CELLS[::step]:
        count = layout.parameters(whole.member(Shape(cell=cell)), **CIFAR)
        assert count == parameters(cell, channels=4, cells=1), cell


@pytest.mark.parametrize(
    "first", [0, *(pytest.param(first, marks=pytest.mark.proof) for first in range(1, 5))]
)
def test_cells_of_every_kind_run_and_say_whether_the_image_matters(first):
    whole = NasBench201(channels=4, cells=1)
    for cell in CELLS[first * 31 :: 155]:
        member = whole.member(Shape(cell=cell))
        found = tiny.answers(tiny.network(member))
        assert bool(torch.isfinite(found).all())
        # A cell without a path blocks the image at the first of its places.
        assert plan_of(member, **SIZE).is_constant == torch.equal(found[0], found[1])


@pytest.mark.parametrize(
    ("cell", "count"),
    [
        (("nor_conv_3x3",) * 6, 1_531_546),
        (("none",) * 6, 73_306),
        (("skip_connect",) * 6, 73_306),
        (("nor_conv_1x1",) * 6, 73_306 + 6 * 5 * (16**2 + 32**2 + 64**2 + 2 * 112)),
        (("nor_conv_3x3", *("none",) * 5), 73_306 + 5 * (9 * (16**2 + 32**2 + 64**2) + 2 * 112)),
    ],
    ids=str,
)
def test_full_networks_have_the_parameters_of_the_formula(cell, count):
    assert layout.parameters(NasBench201(cell=cell), **CIFAR) == count == parameters(cell)


def test_every_published_cell_has_its_published_parameters():
    rows = published_rows()
    assert len({row["arch"] for row in rows}) == 15_625
    wrong = [
        row["arch"]
        for row in rows
        if parameters(NasBench201(cell=row["arch"]).cell) != row["params"]
    ]
    assert wrong == []


def test_published_cells_cost_what_is_published():
    rows = published_rows()[::50]
    for row in rows:
        architecture = NasBench201(cell=row["arch"])
        assert layout.parameters(architecture, **CIFAR) == row["params"]
        assert layout.macs(architecture, **CIFAR, height=32, width=32) == row["macs"]


def test_what_cannot_change_the_answer_is_counted_as_published_and_not_computed():
    # Node 2 is read by nobody.
    cell = ("nor_conv_3x3", "nor_conv_1x1", "none", "skip_connect", "nor_conv_3x3", "none")
    architecture = NasBench201(channels=4, cells=1, cell=cell)
    least = architecture.model_copy(update={"cell": architecture.least(())})
    assert least.cell == (*cell[:1], "none", *cell[2:])
    published = layout.macs(architecture, **SIZE, height=tiny.SIDE, width=tiny.SIDE)
    computed = layout.macs(least, **SIZE, height=tiny.SIDE, width=tiny.SIDE)
    assert computed < published
    assert tiny.counted(tiny.network(architecture))[1] == computed


@pytest.mark.parametrize(
    ("whole", "names", "words"),
    [
        (NasBench201(), OPERATIONS, "a cell has 6 edges, got 5 operations"),
        (NasBench201(cell=("none",) * 6), ("nor_conv_3x3",) * 6, "start from a cell with 'all'"),
        (NasBench201(), ("conv_9x9",) * 6, "the edge from 0 to 1 .* not conv_9x9"),
    ],
    ids=["edges", "held", "unknown"],
)
def test_a_member_with_operations_that_are_not_there_is_refused(whole, names, words):
    with pytest.raises(InvalidCandidate, match=words):
        whole.member(Shape(cell=tuple(names)))
