"""What probes find in the trained network, once per test session."""

from __future__ import annotations

import pytest

from compress.network.network import Network
from compress.sensitivity import probes
from compress.sensitivity.document import ProfileDocument
from compress.sensitivity.probes import ProbeRequest
from compress.tasks.images import ImageData
from tests.compress.applying import context_of
from tests.compress.networks import imported

IMAGES = 128


@pytest.fixture(scope="session")
def trained(trained: Network) -> Network:
    """The network as its own file comes back: the probes remove channels from its graph."""
    return imported(trained)


@pytest.fixture(scope="session")
def profile(trained: Network, digits: ImageData) -> ProfileDocument:
    wanted = ProbeRequest(
        images=IMAGES, allowed_seconds=None, weights_sha256="0" * 64, data_sha256="1" * 64
    )
    return probes.probe(trained, context_of(digits), wanted, on_progress=lambda share: None)
