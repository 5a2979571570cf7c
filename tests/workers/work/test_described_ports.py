"""What manifests say of the ports of a file."""

import pytest

from compress.network.signature import Signature
from tests.compress.export.ports.port_networks import CASES, network_of, shape_of
from workers import trial_runner

PLAIN = {"unmasked", "pixels"}


@pytest.mark.parametrize("name", list(CASES))
def test_a_manifest_has_all_ports_where_one_input_and_classes_do_not_say_them(name):
    network = network_of(name)
    found = trial_runner._input(network)
    assert (found.name, found.shape) == (next(iter(CASES[name].inputs)), shape_of(name))
    ports = trial_runner._ports(network)
    assert (ports is None) == (name in PLAIN)
    if ports is not None:
        assert [port.name for port in ports.inputs] == list(CASES[name].inputs)
        assert [port.name for port in ports.outputs] == list(CASES[name].outputs)
        assert Signature.model_validate_json(ports.model_dump_json()) == ports
