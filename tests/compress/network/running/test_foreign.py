"""What a network raises is about the network; what we raise inside it is a mistake of ours."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from compress import pipeline
from compress.network.running import foreign
from compress.techniques.candidate import Candidate
from compress.techniques.sparsity.mask import Mask
from compress.training import constraints
from compress.values.errors import InvalidCandidate
from tests.compress.applying import context_of
from tests.compress.networks import wrapped


class Careless(nn.Module):
    def __init__(self, error):
        super().__init__()
        self.error = error

    def forward(self, x):
        raise self.error


@pytest.mark.parametrize(
    "error",
    [KeyError("a"), AttributeError("b"), RuntimeError("c\nd"), IndexError(), AssertionError()],
)
def test_what_a_forward_raises_is_an_invalid_candidate_on_one_line(error):
    with pytest.raises(InvalidCandidate, match=type(error).__name__) as caught:
        foreign.run(Careless(error), torch.zeros(1))
    assert "\n" not in str(caught.value)
    assert caught.value.__cause__ is error


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
        MemoryError(),
        KeyboardInterrupt(),
    ],
)
def test_no_memory_and_a_stop_stay_what_they_are(error):
    with pytest.raises(type(error)):
        foreign.run(Careless(error), torch.zeros(1))


def test_a_mistake_of_ours_inside_a_network_stays_one():
    layer = nn.Linear(4, 4)
    mask = Mask(
        layer.weight.detach(),
        rule=lambda score, share: score > 0,
        factor=torch.ones(()),
        is_gradual=False,
    )
    constraints.constrain(layer, mask)
    mask.mask = None
    with pytest.raises(TypeError):
        foreign.run(layer, torch.zeros(1, 4))


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (lambda y: (y, y), "returns a tuple"),
        (lambda y: {"logits": y}, "returns a dict"),
        (lambda y: None, "returns a NoneType"),
        (lambda y: y[..., None], r"shape \(2, 5, 1\)"),
        (lambda y: y.argmax(1), "int64"),
        (lambda y: y[:, :4], r"expected float logits of shape \(2, 5\)"),
    ],
)
def test_answers_that_are_no_logits_are_refused_in_words(answer, expected, digits):
    class Answers(nn.Module):
        def __init__(self):
            super().__init__()
            self.out = nn.Linear(64, 5)

        def forward(self, x):
            return answer(self.out(x.flatten(1)))

    with pytest.raises(InvalidCandidate, match=expected):
        pipeline.start(wrapped(Answers()), Candidate(), context_of(digits))


def test_the_check_leaves_the_modes_of_all_parts_alone():
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 5), nn.Dropout()).eval()
    network = wrapped(module)
    module[2].train()
    foreign.check(network)
    assert [part.training for part in module] == [False, False, True]
