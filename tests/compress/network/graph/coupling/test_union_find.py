"""Labels join in sets, sets are held for reasons, and 0 never joins."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from compress.network.graph.coupling.union_find import UnionFind


def test_joined_labels_are_one_set_that_its_smallest_stands_for():
    sets = UnionFind()
    one, other, third = sets.fresh(3), sets.fresh(3), sets.fresh(3)
    sets.join(other, third, "")
    sets.join(third, one, "")
    assert sets.roots(third).tolist() == one.tolist() == [1, 2, 3]


def test_a_set_is_held_with_all_that_joins_it_and_the_first_reason_stays():
    sets = UnionFind()
    one, other, free = sets.fresh(2), sets.fresh(2), sets.fresh(1)
    sets.hold(one[:1], "early")
    sets.hold(one[:1], "late")
    sets.join(one, other, "")
    assert sets.is_free(np.concatenate([other, free])).tolist() == [False, True, True]
    assert sets.reasons(other) == ["early"]


def test_what_meets_zero_is_held_for_the_reason_of_the_meeting_and_stays_apart():
    sets = UnionFind()
    one, other = sets.fresh(2), sets.fresh(1)
    sets.join(one, np.zeros(2, np.int64), "it meets the input")
    assert not sets.is_free(one).any()
    assert sets.is_free(other).all()
    assert len(set(sets.roots(one).tolist())) == 2
    assert sets.reasons(one) == ["it meets the input"]


def test_a_blurred_label_blurs_its_set():
    sets = UnionFind()
    one, other = sets.fresh(2), sets.fresh(2)
    sets.blur(other[1:])
    sets.join(one, other, "")
    assert sets.is_blurred(one).tolist() == [False, True]


@given(st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 4000)), max_size=60))
def test_joining_makes_the_sets_of_a_graph_of_pairs(pairs):
    sets = UnionFind()
    labels = sets.fresh(4001)
    for one, other in pairs:
        sets.join(labels[one : one + 1], labels[other : other + 1], "")
    component = {label: {label} for label in range(4001)}
    for one, other in pairs:
        merged = component[one] | component[other]
        for label in merged:
            component[label] = merged
    roots = sets.roots(labels)
    for one, other in pairs:
        assert roots[one] == roots[other] == min(component[one]) + 1
