"""A file of the wrong kind is refused on the user's machine, before a byte of it is sent."""

import pickle

import pytest

from featherweight.client.client import Client
from featherweight.client.transport import RetryPolicy
from featherweight.errors import UploadRefused
from tests import onnx_files

NOBODY = "http://127.0.0.1:9"
"""Nothing listens on this port: whatever was sent there would fail otherwise."""


@pytest.fixture
def client():
    with Client(NOBODY, retry=RetryPolicy(attempts=1)) as found:
        yield found


def test_a_pickle_as_network_and_a_network_as_data_are_not_sent(client, tmp_path):
    path = tmp_path / "net.pth"
    path.write_bytes(pickle.dumps({"weight": 1}))
    with pytest.raises(UploadRefused, match=r"net\.pth cannot be used: .*add_model"):
        client.upload_model(path, name="mine")
    path.write_bytes(onnx_files.network())
    with pytest.raises(UploadRefused, match="featherweight models add FILE"):
        client.upload_dataset(path, name="mine")
