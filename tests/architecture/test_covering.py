"""A cover holds every value of every axis, and few combinations."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import covering


@pytest.mark.parametrize("sizes", [(3, 3), (16, 14), (2, 9, 4)])
def test_a_cover_of_a_product_is_as_long_as_its_longest_axis(sizes):
    product = list(itertools.product(*([str(i) for i in range(size)] for size in sizes)))
    assert len(covering.cover(product)) == max(sizes)


@given(st.lists(st.tuples(*[st.sampled_from("abcd")] * 3), max_size=30))
def test_every_value_of_every_axis_is_held(combinations):
    chosen = [combinations[number] for number in covering.cover(combinations)]
    for axis in range(3):
        assert {each[axis] for each in chosen} == {each[axis] for each in combinations}


def test_a_cover_may_be_one_of_some_combinations():
    product = list(itertools.product("abc", "xy"))
    found = covering.rows(product, [first + second for first, second in product])
    assert [row.id for row in found if not row.marks] == ["ax", "by", "cx"]
    found = covering.rows(product, list("012345"), among=lambda first, second: first != "a")
    assert [row.values for row in found if not row.marks] == [(("b", "x"),), (("c", "y"),)]


def test_a_crossed_test_runs_its_cover_first_and_the_rest_as_proofs(pytester_items):
    quick, proofs = pytester_items
    assert len(quick) == 3
    assert len(proofs) == 6


@pytest.fixture
def pytester_items(tmp_path, monkeypatch):
    """The items of a small crossed test, without and with the marker ``proof``."""
    (tmp_path / "test_small.py").write_text(
        "import pytest\n"
        "@pytest.mark.cross('a', 'b')\n"
        "@pytest.mark.parametrize('a', [1, 2, 3])\n"
        "@pytest.mark.parametrize('b', [object(), object(), object()])\n"
        "def test_both(a, b): assert a\n"
    )
    found: list[pytest.Item] = []

    class Collected:
        @pytest.hookimpl(trylast=True)
        def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
            covering.mark(items)
            found.extend(items)

    arguments = ["--collect-only", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    assert pytest.main([*arguments, "--rootdir", str(tmp_path)], plugins=[Collected()]) == 0
    proofs = [item for item in found if item.get_closest_marker("proof")]
    return [item for item in found if item not in proofs], proofs
