import pytest
import torch
from torch import nn

from compress.network.families.network import FamilyNetwork
from compress.network.families.plans.plan import Conv
from compress.network.families.residual.config import Residual
from compress.network.member import Shape
from compress.network.supernet import extraction
from compress.network.supernet.draw import Draw
from compress.network.supernet.execution import SharedMember
from compress.values.errors import InvalidCandidate
from tests.compress.network.families import tiny
from tests.compress.network.supernet.families import SUPERNETS

MEMBERS = 6


def drawn(name):
    architecture, elastic = SUPERNETS[name]
    draw = Draw(elastic, architecture, seed=0)
    return tiny.network(architecture), [draw.next() for _ in range(MEMBERS)]


@pytest.mark.parametrize("name", SUPERNETS)
def test_a_member_on_shared_weights_answers_exactly_like_the_slice_that_is_cut_out(name):
    network, members = drawn(name)
    assert len(set(members)) > 2
    for member in members:
        with torch.no_grad():
            shared = SharedMember(extraction.of_family(network), member)(tiny.images())
        assert torch.equal(shared, tiny.answers(extraction.extract(network, member)))


@pytest.mark.parametrize("name", SUPERNETS)
def test_in_training_a_member_gives_its_slice_the_gradients_that_it_has_by_itself(name):
    network, members = drawn(name)
    whole, member = extraction.of_family(network).train(), members[0]
    part = extraction.of_family(extraction.extract(network, member)).train()
    labels = torch.arange(3)
    for module in (SharedMember(whole, member), part):
        nn.functional.cross_entropy(module(tiny.images()), labels).backward()
    for name_of, parameter in part.named_parameters():
        if parameter.grad is None:
            continue
        shared = whole.get_parameter(name_of).grad
        assert shared is not None
        inside = extraction.cut(shared, tuple(parameter.shape))
        torch.testing.assert_close(inside, parameter.grad)
        assert shared.abs().sum() == pytest.approx(float(inside.abs().sum()), rel=1e-5)


@pytest.mark.parametrize("name", ["residual", "efficientnet"])
def test_training_a_member_never_touches_the_running_statistics_of_the_whole(name):
    network, members = drawn(name)
    whole = extraction.of_family(network).train()
    before = {name: tensor.clone() for name, tensor in whole.named_buffers()}
    SharedMember(whole, members[0])(tiny.images()).sum().backward()
    assert all(torch.equal(tensor, before[name]) for name, tensor in whole.named_buffers())


def test_the_middle_of_a_depthwise_kernel_is_what_a_member_trains():
    architecture, _ = SUPERNETS["ds_cnn"]
    whole = extraction.of_family(tiny.network(architecture)).train()
    member = architecture.member(Shape(kernel=3, width=0.5))
    SharedMember(whole, member)(tiny.images()).square().sum().backward()
    depthwise = next(
        layer for layer in whole.plan.layers if isinstance(layer, Conv) and layer.groups > 1
    )
    gradient = whole.get_parameter(f"{depthwise.name}.weight").grad
    assert gradient is not None
    touched = gradient.abs().sum((0, 1)) > 0
    expected = torch.zeros(5, 5, dtype=torch.bool)
    expected[1:4, 1:4] = True
    assert torch.equal(touched, expected)
    assert (gradient[8:] == 0).all()
    assert (gradient[:8] != 0).any()


def test_a_member_runs_in_bfloat16_on_weights_that_stay_float32():
    network, members = drawn("mobilenet_v3")
    whole = extraction.of_family(network).train()
    full = SharedMember(whole, members[0])(tiny.images())
    with torch.autocast("cpu", torch.bfloat16):
        half = SharedMember(whole, members[0])(tiny.images())
    half.float().sum().backward()
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), full, atol=0.1, rtol=0.1)
    gradients = [p.grad for p in whole.parameters() if p.grad is not None]
    assert {gradient.dtype for gradient in gradients} == {torch.float32}


def test_a_member_that_is_no_slice_is_refused():
    whole = FamilyNetwork(Residual(widths=(8, 16), depths=(1, 1)), in_channels=1, num_classes=5)
    wider = Residual(widths=(16, 16), depths=(1, 1))
    with pytest.raises(InvalidCandidate, match="conv1 is 3x3 from 1 to 16 channels, there 3x3"):
        SharedMember(whole, wider)
