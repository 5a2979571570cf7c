"""Draws keep what must stay, and groups whose channels do not leave as they say are fixed."""

from dataclasses import replace

import numpy as np
import pytest

from compress.network.graph.coupling import proof
from compress.network.graph.coupling.couplings import couple
from compress.values.errors import InvalidNetwork
from tests.compress.network.graph.coupling.graphs import bound, graph, network, node, runner
from tests.compress.onnx_networks import NETWORKS


@pytest.mark.parametrize("name", NETWORKS)
def test_all_groups_of_a_network_are_proven(name):
    whole, shapes = network(name)
    couplings = couple(whole, shapes)
    run = runner(shapes, words=NETWORKS[name].words)
    assert proof.prove(whole, shapes, couplings, run, seed=0) is couplings
    assert couplings.groups


@pytest.mark.parametrize("seed", range(4))
def test_a_draw_keeps_one_of_every_subset_and_sections_alike(seed):
    whole, shapes = network("shuffle")
    couplings = couple(whole, shapes)
    gone = proof.draw(couplings, np.random.default_rng(seed), share=0.99)
    for group in couplings.groups:
        left = set(range(group.num_channels)) - set(gone[group.root])
        assert left
        assert all(left & set(subset) for subset in group.subsets)
        units = group.num_channels // group.sections
        assert len({left_of % units for left_of in left}) * group.sections == len(left)


def two_convolutions():
    return graph(
        node("Conv", ("x", "w"), "made"),
        node("Conv", ("x", "w2"), "other"),
        node("Concat", ("made", "other"), "both", axis=1),
        node("Conv", ("both", "v"), "answer"),
        w=(6, 3, 1, 1),
        w2=(4, 3, 1, 1),
        v=(2, 10, 1, 1),
    )


def test_a_group_that_was_coupled_wrongly_is_fixed_and_the_others_stay():
    whole = two_convolutions()
    shapes = {"x": (2, 3, 8, 8), "made": (2, 6, 8, 8), "other": (2, 4, 8, 8)}
    shapes |= {"both": (2, 10, 8, 8), "answer": (2, 2, 8, 8)}
    right = couple(whole, shapes)
    one, swapped, *rest = (axis.copy() for axis in right.axes["v"])
    swapped[:6] = swapped[:6][::-1]
    wrong = replace(right, axes={**right.axes, "v": (one, swapped, *rest)})
    proven = proof.prove(whole, shapes, wrong, runner(shapes), seed=0)
    assert [group.root for group in proven.groups] == ["other"]
    assert "made" in proven.fixed
    assert proven.axes["made"][1].tolist() == [0] * 6
    assert proof.prove(whole, shapes, proven, runner(shapes), seed=1) is proven


def chain(length):
    maps = ["x", *(f"t{n}" for n in range(length))]
    nodes = [node("Conv", (maps[n], f"w{n}"), maps[n + 1]) for n in range(length)]
    return graph(*nodes, **{f"w{n}": (8, 3 if n == 0 else 8, 1, 1) for n in range(length)})


@pytest.mark.parametrize("most", [None, 4, 1])
def test_halves_are_tried_until_the_wrong_group_is_found_or_no_trial_is_left(most):
    whole = chain(9)
    shapes = bound(whole)
    right = couple(whole, shapes)
    roots = [group.root for group in right.groups]
    assert len(roots) == 8
    one, swapped, *rest = (axis.copy() for axis in right.axes["w6"])
    swapped[:] = swapped[::-1]
    wrong = replace(right, axes={**right.axes, "w6": (one, swapped, *rest)})
    runs, run = [], runner(shapes)

    def counted(asked):
        runs.append(asked)
        return run(asked)

    proven = proof.prove(whole, shapes, wrong, counted, seed=0, most_trials=most)
    left = [group.root for group in proven.groups]
    assert len(runs) <= 2 * (most or 8)
    fixed = {root: proven.fixed[root] for root in roots if root not in left}
    if most is None:
        assert fixed == {roots[5]: proof.OTHERWISE}
    else:
        assert left == (roots[:4] if most == 4 else [])
        assert set(fixed.values()) == {proof.UNTRIED}


def test_answers_that_are_no_numbers_have_to_be_none_in_both():
    whole, shapes = two_convolutions(), {"x": (2, 3, 8, 8), "made": (2, 6, 8, 8)}
    shapes |= {"other": (2, 4, 8, 8), "both": (2, 10, 8, 8), "answer": (2, 2, 8, 8)}
    couplings, run = couple(whole, shapes), runner(shapes)

    def odd(asked):
        [found] = run(asked)
        found = found.copy()
        found[0, 0, 0, 0] = np.nan
        return [found]

    assert proof.prove(whole, shapes, couplings, odd, seed=0) is couplings


def test_a_graph_that_does_not_run_fixes_all_groups():
    def refuse(_):
        raise InvalidNetwork("it does not run")

    whole = two_convolutions()
    shapes = {"x": (2, 3, 8, 8), "made": (2, 6, 8, 8), "other": (2, 4, 8, 8)}
    shapes |= {"both": (2, 10, 8, 8), "answer": (2, 2, 8, 8)}
    proven = proof.prove(whole, shapes, couple(whole, shapes), refuse, seed=0)
    assert proven.groups == ()
    assert set(proven.fixed) == {"made", "other", "answer"}
