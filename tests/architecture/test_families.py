"""What knows a family of networks, and what has to do without."""

import grimp
import pytest

FAMILIES = "compress.network.families"
ROOMS = (FAMILIES, "compress.network.supernet", "compress.network.sources", "compress.supernet")


@pytest.fixture(scope="module")
def graph():
    return grimp.build_graph("compress")


def reaches_a_family(graph, module):
    return any(is_within(name, FAMILIES) for name in graph.find_upstream_modules(module))


def is_within(module, room):
    return module == room or module.startswith(f"{room}.")


def test_only_the_rooms_of_families_supernets_and_sources_reach_a_family(graph):
    others = [m for m in graph.modules if not any(is_within(m, room) for room in ROOMS)]
    assert "compress.pipeline" in others
    assert sorted(m for m in others if reaches_a_family(graph, m)) == []


@pytest.mark.parametrize("module", ["compress.network.sources.family", "compress.supernet.start"])
def test_whoever_makes_networks_of_families_reaches_them(graph, module):
    assert reaches_a_family(graph, module)
