"""Files of the wrong kind: known by their bytes, never opened, answered with the way out."""

import gzip
import io
import pickle
import tarfile
import zipfile

import numpy as np
import pytest
import safetensors.numpy
import torch
from PIL import Image

from compress.network.families.residual.config import Residual
from compress.network.sources import inspection as weights_inspection
from compress.tasks import inspection
from compress.values.errors import InvalidData, InvalidWeights
from compress.values.file_formats import answers
from compress.values.file_formats.recognition import FileFormat, recognise
from tests import onnx_files

WEIGHTS = {"linear.weight": torch.zeros(2, 3)}


class Trap:
    """Writes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (self.path, "w"))


def written(write):
    buffer = io.BytesIO()
    write(buffer)
    return buffer.getvalue()


def zipped(*names):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, b"content")
    return buffer.getvalue()


def tarred():
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("cat/1.png"))
    return buffer.getvalue()


def picture(kind):
    return written(lambda to: Image.new("RGB", (4, 4)).save(to, kind))


def npz():
    return written(lambda to: np.savez(to, x_train=np.zeros((4, 8, 8), np.uint8)))


FILES = {
    "empty": (b"", FileFormat.EMPTY),
    "onnx": (onnx_files.network(), FileFormat.ONNX),
    "weights": (safetensors.numpy.save({"a": np.zeros(3, np.float32)}), FileFormat.SAFETENSORS),
    "checkpoint": (written(lambda to: torch.save(WEIGHTS, to)), FileFormat.TORCH),
    "whole module": (
        written(lambda to: torch.save(torch.nn.Linear(2, 3), to)),
        FileFormat.TORCH,
    ),
    "legacy checkpoint": (
        written(lambda to: torch.save(WEIGHTS, to, _use_new_zipfile_serialization=False)),
        FileFormat.TORCH,
    ),
    "TorchScript": (zipped("net/data/0", "net/data.pkl", "net/constants.pkl"), "TorchScript"),
    "torch.export": (zipped("net/archive_format", "net/models/model.json"), "exported"),
    "pickle": (pickle.dumps({"data": 1}), FileFormat.PICKLE),
    "old pickle": (pickle.dumps({"data": 1}, protocol=2), FileFormat.PICKLE),
    "keras": (zipped("metadata.json", "config.json", "model.weights.h5"), FileFormat.KERAS),
    "h5": (b"\x89HDF\r\n\x1a\n" + bytes(100), FileFormat.HDF5),
    "tflite": (b"\x1c\x00\x00\x00TFL3" + bytes(100), FileFormat.TFLITE),
    "npz": (npz(), FileFormat.NPZ),
    "npy": (written(lambda to: np.save(to, np.zeros(3))), FileFormat.NPY),
    "pictures": (zipped("cat/1.PNG", "dog/2.jpeg"), FileFormat.PICTURES),
    "zip": (zipped("readme.txt"), FileFormat.ZIP),
    "empty zip": (zipped(), FileFormat.ZIP),
    "png": (picture("PNG"), FileFormat.PICTURE),
    "jpeg": (picture("JPEG"), FileFormat.PICTURE),
    "webp": (picture("WEBP"), FileFormat.PICTURE),
    "gzip": (gzip.compress(b"a,b\n"), FileFormat.COMPRESSED),
    "tar": (tarred(), FileFormat.TAR),
    "parquet": (b"PAR1" + bytes(100), FileFormat.PARQUET),
    "csv": (b"label,pixel0\n1,0\n" * 1000, FileFormat.TEXT),
    "umlauts": ("größe,".encode() * 1000, FileFormat.TEXT),
    "umlauts one byte later": (b"," + "größe,ß".encode() * 1000, FileFormat.TEXT),
    "noise": (bytes(range(1, 255)) * 40, FileFormat.UNKNOWN),
}


@pytest.fixture
def saved(tmp_path):
    def save(data):
        path = tmp_path / "file"
        path.write_bytes(data)
        return path

    return save


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_known_by_its_bytes(saved, name):
    data, expected = FILES[name]
    assert recognise(saved(data)).startswith(expected)


@pytest.mark.parametrize("name", ["checkpoint", "npz", "pictures", "keras", "zip"])
def test_a_zip_that_is_cut_is_known_by_its_first_member_or_is_a_zip(saved, name):
    data, _ = FILES[name]
    for length in (4, 29, 31, 50, len(data) // 2, len(data) - 1):
        assert recognise(saved(data[:length])) in FileFormat


def test_a_zip_whose_last_record_lies_has_the_name_of_its_first_member(saved):
    data = bytearray(zipped("cat/1.png"))
    end = data.rindex(b"PK\x05\x06")
    data[end + 12 : end + 16] = b"\xff\xff\xff\xff"
    assert recognise(saved(bytes(data))) == FileFormat.PICTURES


WAYS_OUT = {
    ("network", "checkpoint"): "pickles are never opened.*featherweight.torch.add_model",
    ("network", "whole module"): "featherweight.torch.add_model",
    ("network", "TorchScript"): "torch.jit.load",
    ("network", "torch.export"): "torch.export.load",
    ("network", "keras"): r"model.export\(",
    ("network", "h5"): "keras.models.load_model",
    ("network", "tflite"): "tf2onnx.convert --tflite FILE",
    ("network", "npz"): "it is a dataset: featherweight datasets add FILE",
    ("network", "gzip"): "unpack it",
    ("weights", "onnx"): "leave architecture out",
    ("weights", "checkpoint"): "safetensors.torch.save_file",
    ("weights", "npz"): "featherweight datasets add FILE",
    ("dataset", "onnx"): "featherweight models add FILE",
    ("dataset", "weights"): "featherweight models add FILE --architecture",
    ("dataset", "checkpoint"): "never opened.*numpy.savez",
    ("dataset", "csv"): "text, as csv and json are: .*numpy.savez",
    ("dataset", "h5"): "h5py",
    ("dataset", "tar"): "unpack it",
    ("dataset", "npy"): "it has no labels",
}


@pytest.mark.parametrize(("expected", "name"), WAYS_OUT)
def test_the_wrong_kind_is_answered_with_what_makes_the_right_one(saved, expected, name):
    said = answers.wrong_kind(saved(FILES[name][0]), expected)
    assert said is not None
    with pytest.raises(ValueError, match=WAYS_OUT[expected, name]):
        raise ValueError(said)


@pytest.mark.parametrize(
    ("expected", "name"),
    [("network", "onnx"), ("weights", "weights"), ("dataset", "npz"), ("network", "noise")],
)
def test_the_right_kind_and_an_unknown_one_are_left_to_their_reader(saved, expected, name):
    assert answers.wrong_kind(saved(FILES[name][0]), expected) is None


def test_the_library_says_it_too_and_opens_no_pickle(saved, tmp_path):
    trace = tmp_path / "executed"
    path = saved(written(lambda to: torch.save({"a": Trap(str(trace))}, to)))
    with pytest.raises(InvalidData, match="PyTorch checkpoint: pickles are never opened"):
        inspection.inspect_dataset(path)
    with pytest.raises(InvalidWeights, match="PyTorch checkpoint: pickles are never opened"):
        weights_inspection.inspect_weights(path, Residual(widths=(4, 8), depths=(1, 1)))
    assert not trace.exists()
