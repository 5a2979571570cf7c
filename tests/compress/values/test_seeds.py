from __future__ import annotations

import torch

from compress.network.layers import WeightedLayer
from compress.techniques.quantization.constraint import Sharing
from compress.techniques.quantization.noise import QuantNoise, UniformNoise
from compress.techniques.quantization.observers import GridRule
from compress.values import seeds


def test_every_purpose_has_a_seed_of_its_own_and_always_the_same():
    asked = [(seed, word, number) for seed in range(5) for word in "ab" for number in range(50)]
    found = [seeds.derive(seed, word, number) for seed, word, number in asked]
    assert len(set(found)) == len(asked)
    assert found == [seeds.derive(seed, word, number) for seed, word, number in asked]
    assert all(0 <= seed < 2**63 for seed in found)


def test_numbers_are_not_run_together():
    assert seeds.derive(1, 23) != seeds.derive(12, 3) != seeds.derive(1, 2, 3)


def test_a_layer_never_draws_what_another_drew():
    """Neither its neighbour's numbers of the step before nor any others, in any epoch."""
    weight = torch.linspace(-1, 1, 24).reshape(4, 6)
    drawn = []
    for index in range(4):
        module = torch.nn.Linear(6, 4, bias=False)
        with torch.no_grad():
            module.weight.copy_(weight)
        layer = WeightedLayer(name=str(index), module=module, norm=None)
        seed = seeds.derive(0, "noise", index)
        noise = UniformNoise(layer, GridRule(bits=4), Sharing(), seed=seed).train()
        for _ in range(3):
            noise.refresh(weight)
            drawn += [noise(weight) - weight for _ in range(4)]
    different = {tuple(each.flatten().tolist()) for each in drawn}
    assert len(different) == len(drawn)


def test_neighbours_in_a_network_have_noise_of_their_own(digits, compressed):
    from tests.compress.applying import quantized

    changed = quantized(compressed, digits, weight_bits=4, edges_8bit=False, training="noise")
    kept = [part._seed for part in changed.network.module.modules() if isinstance(part, QuantNoise)]
    apart = {abs(one - other) for one in kept for other in kept if one is not other}
    assert len(kept) > 4
    assert min(apart) > 10**6
