import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from compress.network.network import Network
from compress.network.preprocessing import Normalisation
from compress.network.structure.channel_groups import ChannelGroup, Member
from compress.network.structure.importance import Evidence, importance, lamp
from compress.tasks.images import ImageData, Images
from compress.tasks.kinds.image_classification.task import IMAGE_CLASSIFICATION
from compress.techniques.filter_pruning import calibration, strategies
from compress.techniques.filter_pruning.config import FilterPruning
from compress.techniques.filter_pruning.strategies import Ranked
from compress.training.context import TrialContext
from compress.values.errors import InvalidCandidate, NumericalError
from tests.devices import DEVICE


def member(weight, kind="filter", *, layer="a", channels=None, slices=None):
    number = weight.shape[1] if kind == "reader" else weight.shape[0]
    return Member(
        layer=layer,
        kind=kind,
        weight=weight,
        tensor=f"{layer}.weight",
        channel_S=torch.tensor(channels or range(number)),
        slice_S=torch.tensor(slices or range(number)),
        axis=1 if kind == "reader" else 0,
    )


def group(*members, size=2):
    return ChannelGroup(root="a", stage=0, num_channels=size, members=members)


def measured(name, *members, size=2, combination="sum", **evidence):
    found = importance(
        group(*members, size=size),
        name=name,
        combination=combination,
        evidence=Evidence(**evidence),
    )
    return found.tolist()


PRODUCER = member(torch.tensor([[3.0, 4.0], [0.0, 1.0]]))
READER = member(torch.tensor([[1.0, -2.0], [1.0, 2.0]]), "reader", layer="b")
SCALES = member(torch.tensor([-0.5, 0.25]), "batchnorm", layer="n")


def test_norms_are_summed_over_the_layers_of_a_group():
    assert measured("l2", PRODUCER, READER) == pytest.approx([5 + 2**0.5, 1 + 8**0.5])
    assert measured("l1", PRODUCER, READER, SCALES) == pytest.approx([9.5, 5.25])


def test_a_mean_weighs_every_layer_alike():
    loud = member(1000 * torch.tensor([[1.0], [3.0]]))
    quiet = member(torch.tensor([[3.0], [1.0]]), layer="b")
    assert measured("l1", loud, quiet) == pytest.approx([1003, 3001])
    assert measured("l1", loud, quiet, combination="mean") == pytest.approx([1.0, 1.0])


def test_a_channel_with_several_slices_has_one_norm_over_all_of_them():
    flattened = member(
        torch.tensor([[3.0, 4.0, 1.0, 2.0]]),
        "reader",
        channels=[0, 0, 1, 1],
        slices=[0, 1, 2, 3],
    )
    assert measured("l2", flattened) == pytest.approx([5, 5**0.5])


def test_a_layer_that_holds_a_part_of_the_group_counts_for_that_part():
    part = member(torch.tensor([[2.0], [4.0], [6.0]]), layer="b", channels=[1], slices=[2])
    assert measured("l1", PRODUCER, part) == pytest.approx([7, 1 + 6])
    ones = member(torch.ones(2, 1))
    assert measured("l1", ones, part, combination="mean") == pytest.approx([1.0, 1.0])


def test_batchnorm_looks_at_the_size_of_its_scales_only():
    assert measured("batchnorm", PRODUCER, SCALES, READER) == [0.5, 0.25]


def test_lamp_divides_by_all_that_are_no_smaller():
    assert lamp(torch.tensor([4.0, 1.0, 5.0])).tolist() == pytest.approx([4 / 9, 1 / 10, 1.0])
    assert measured("lamp", PRODUCER) == pytest.approx([1.0, 1 / 26])


def test_fpgm_is_the_sum_of_distances_to_the_other_filters():
    filters = member(torch.tensor([[0.0, 0.0], [3.0, 4.0], [0.0, 1.0]]))
    root18 = math.sqrt(18)
    assert measured("fpgm", filters, size=3) == pytest.approx([6, 5 + root18, 1 + root18])
    assert measured("fpgm", filters, SCALES, READER, size=3) == measured("fpgm", filters, size=3)


def test_taylor_and_hessian_sum_the_squares_of_gradient_times_weight():
    squares = {"a.weight": torch.tensor([[1.0, 4.0], [9.0, 16.0]])}
    assert measured("taylor", PRODUCER, squared_gradients=squares) == [9 + 64, 16]
    assert measured("hessian", PRODUCER, squared_gradients=squares) == [36.5, 8]


def test_activations_are_those_that_the_readers_see():
    inputs = {"b": torch.tensor([0.25, 2.0])}
    for name in ("activation", "apoz"):
        assert measured(name, PRODUCER, SCALES, READER, inputs=inputs) == [0.25, 2.0]
    with pytest.raises(InvalidCandidate, match="have no importance 'apoz'"):
        measured("apoz", PRODUCER, SCALES)


def test_random_is_drawn_from_its_own_generator():
    draw = [measured("random", PRODUCER, generator=torch.Generator().manual_seed(3)) for _ in "ab"]
    assert draw[0] == draw[1]
    assert len(set(draw[0])) == 2


def test_an_infinite_importance_is_a_numerical_error():
    with pytest.raises(NumericalError, match="of 'a' is not finite"):
        measured("l1", member(torch.tensor([[3e38, 3e38], [0.0, 1.0]])))


class Tiny(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 1, bias=False)
        self.out = nn.Linear(2, 2)
        self.conv.weight.data.copy_(torch.tensor([1.0, -1.0]).reshape(2, 1, 1, 1))

    def forward(self, x):
        return self.out(functional.relu(self.conv(x)).mean((2, 3)))


@pytest.fixture
def tiny():
    torch.manual_seed(0)
    plain = Normalisation(mean=(0.0,), std=(1.0,))
    return Network(module=Tiny().eval(), normalisation=plain, input_shape=(1, 2, 2), num_classes=2)


@pytest.fixture
def images():
    x = torch.tensor([[1.0, 2, 0, 0], [-1, 0, 0, 0], [4, 1, 0, 1]]).reshape(3, 1, 2, 2)
    split = Images(x_NCHW=x, y_N=torch.tensor([0, 1, 0]))
    data = ImageData(train=split, validation=split, test=None, num_classes=2)
    return TrialContext(data=data, device=DEVICE, seed=0, task=IMAGE_CLASSIFICATION)


def config(importance, **changes):
    return FilterPruning(scope="uniform", ratio=0.5, importance=importance, **changes)


def test_calibration_measures_what_reaches_the_readers(tiny, images):
    size = calibration.gather(tiny, config("activation"), images, step=0).inputs
    assert size["out"].tolist() == pytest.approx([(3 / 4 + 6 / 4) / 3, (1 / 4) / 3])
    assert size["conv"].tolist() == pytest.approx([10 / 12])
    nonzero = calibration.gather(tiny, config("apoz"), images, step=0).inputs
    assert nonzero["conv"].tolist() == pytest.approx([6 / 12])
    assert nonzero["out"].tolist() == pytest.approx([2 / 3, 1 / 3])


def test_hessian_squares_gradients_image_by_image_and_taylor_of_batches(tiny, images):
    def gradient(rows):
        train = images.data.train
        loss = functional.cross_entropy(tiny.module(train.x_NCHW[rows]), train.y_N[rows])
        return torch.autograd.grad(loss, tiny.module.conv.weight)[0]

    by_image = calibration.gather(tiny, config("hessian"), images, step=0).squared_gradients
    mean = sum(gradient([row]).square() for row in range(3)) / 3
    torch.testing.assert_close(by_image["conv.weight"], mean)
    by_batch = calibration.gather(tiny, config("taylor"), images, step=0).squared_gradients
    torch.testing.assert_close(by_batch["conv.weight"], gradient([0, 1, 2]).square())


def test_calibration_uses_no_more_images_than_it_may(tiny, images):
    one = calibration.gather(tiny, config("activation", calibration_images=1), images, step=0)
    sizes = [3 / 4, 1 / 4, 6 / 4]
    assert any(float(one.inputs["conv"]) == pytest.approx(size) for size in sizes)


def ranked(*scores, sections=1):
    return [
        Ranked(
            group=ChannelGroup(
                root=f"g{index}",
                stage=index,
                num_channels=len(score),
                members=(),
                sections=sections,
            ),
            importance_O=torch.tensor(score),
            original=len(score),
        )
        for index, score in enumerate(scores)
    ]


def counted(found, amount, **changes):
    return list(strategies.counts(found, FilterPruning(**changes), amount).values())


EVEN = [float(value) for value in range(1, 11)]


def test_every_scope_counts_in_its_own_way():
    found = ranked(EVEN, [value / 100 for value in EVEN[:4]], EVEN[:6])
    plain = {"ratio": 0.5, "round_to": 1}
    assert counted(found, 1.0, ratios=(0.5, 0.0, 0.34), round_to=1) == [5, 4, 4]
    assert counted(found, 0.5, scope="uniform", **plain) == [5, 2, 3]
    assert counted(found, 0.5, scope="same_number", **plain) == [6, 1, 2]
    raw = {"scope": "global", "normalisation": "none", "keep_at_least": 0.25}
    assert counted(found, 0.5, **raw, **plain) == [6, 1, 3]


def test_normalised_groups_share_a_global_ranking_whatever_their_size():
    found = ranked(EVEN, [1e-6 * value for value in EVEN])
    assert counted(found, 0.5, scope="global", ratio=0.5, round_to=1) == [5, 5]


def test_a_global_ranking_of_equal_scores_still_removes_what_was_asked():
    found = ranked([1.0] * 10, [1.0] * 10)
    assert sum(counted(found, 0.5, scope="global", ratio=0.5, round_to=1)) == 10


def test_counts_are_multiples_of_the_rounding_and_of_the_sections():
    found = ranked([1.0] * 24, sections=4)
    assert counted(found, 0.5, scope="uniform", ratio=0.5, round_to=6) == [12]
    assert counted(found, 0.6, scope="uniform", ratio=0.5, round_to=6) == [12]
    assert counted(found, 0.6, scope="global", ratio=0.5, round_to=1) == [8]
