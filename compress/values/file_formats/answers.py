"""What to say about a file of another kind than was asked for: how to make the right one of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal, TypeAlias

from compress.values.file_formats.recognition import FileFormat, recognise

Expected: TypeAlias = Literal["network", "weights", "dataset", "arrays"]
"""An ONNX file, safetensors weights of a family, a dataset of images, or one that is of none."""

_SAVE_NPZ = 'numpy.savez("data.npz", x_train=images, y_train=labels)'
_ADD_MODULE = (
    "featherweight.torch.add_model(client, module, example_inputs, name=...) exports the module "
    "in Python, on your machine, and sends it"
)
_SAVE_WEIGHTS = (
    'safetensors.torch.save_file(torch.load("FILE", weights_only=True), "weights.safetensors") '
    "makes weights of a state dict"
)
_ADD_DATA = "it is a dataset: featherweight datasets add FILE"
_ADD_FOLDER = (
    "with a folder of pictures for each class in FOLDER, featherweight datasets add FOLDER sends "
    "them"
)
_ADD_NETWORK = "it is a network: featherweight models add FILE"
_KERAS = 'export it in Keras 3 with model.export("network.onnx", format="onnx"), and send that'
_HDF5 = (
    'if Keras wrote it, load it with keras.models.load_model, model.export("network.onnx", '
    'format="onnx"), and send that'
)
_TFLITE = "python -m tf2onnx.convert --tflite FILE --output network.onnx makes an ONNX file of it"
_UNPACK = "unpack it, and send what is inside"
_SCRIPT = f'with module = torch.jit.load("FILE"), {_ADD_MODULE}'
_PROGRAM = f'with module = torch.export.load("FILE").module(), {_ADD_MODULE}'
_NEVER = "pickles are never opened, for they can run any code"
_EMPTY = "send one with content"
_TABLE = f"read it on your machine, shape its rows into images (N, H, W, C), and {_SAVE_NPZ}"
_ADD_TABLE = "featherweight datasets add FILE --task classification --target COLUMN"
_NO_NETWORK = "export the network as ONNX (torch.onnx.export), and send that file"

_NETWORK: Mapping[FileFormat, str] = {
    FileFormat.EMPTY: _EMPTY,
    FileFormat.SAFETENSORS: (
        "it holds no network: name its architecture and its normalisation, or send an ONNX file"
    ),
    FileFormat.TORCH: f"{_NEVER}: {_ADD_MODULE}",
    FileFormat.PICKLE: f"{_NEVER}: {_ADD_MODULE}",
    FileFormat.TORCHSCRIPT: _SCRIPT,
    FileFormat.TORCH_EXPORT: _PROGRAM,
    FileFormat.KERAS: _KERAS,
    FileFormat.HDF5: _HDF5,
    FileFormat.TFLITE: _TFLITE,
    FileFormat.NPZ: _ADD_DATA,
    FileFormat.NPY: _NO_NETWORK,
    FileFormat.PICTURES: _NO_NETWORK,
    FileFormat.PICTURE: _NO_NETWORK,
    FileFormat.ZIP: f"{_UNPACK}; or {_NO_NETWORK}",
    FileFormat.TAR: _UNPACK,
    FileFormat.COMPRESSED: _UNPACK,
    FileFormat.PARQUET: _NO_NETWORK,
    FileFormat.MATLAB: _NO_NETWORK,
    FileFormat.TEXT: _NO_NETWORK,
}
_WEIGHTS: Mapping[FileFormat, str] = {
    **{found: words for found, words in _NETWORK.items() if found != FileFormat.SAFETENSORS},
    FileFormat.ONNX: "it holds its own architecture: leave architecture out",
    FileFormat.TORCH: f"{_NEVER}: {_SAVE_WEIGHTS}; of a whole module, {_ADD_MODULE}",
    FileFormat.PICKLE: f"{_NEVER}: {_SAVE_WEIGHTS}; of a whole module, {_ADD_MODULE}",
    FileFormat.NPY: "send safetensors weights",
    FileFormat.TEXT: "send safetensors weights",
}
_DATASET: Mapping[FileFormat, str] = {
    FileFormat.EMPTY: _EMPTY,
    FileFormat.ONNX: _ADD_NETWORK,
    FileFormat.SAFETENSORS: (
        "it holds weights: featherweight models add FILE --architecture ... --normalisation ..."
    ),
    FileFormat.TORCH: (
        f"{_NEVER}: if it holds a network, {_ADD_MODULE}; if it holds images, load them and "
        f"{_SAVE_NPZ}"
    ),
    FileFormat.PICKLE: f"{_NEVER}: load the images on your machine and {_SAVE_NPZ}",
    FileFormat.TORCHSCRIPT: f"it is a network: {_SCRIPT}",
    FileFormat.TORCH_EXPORT: f"it is a network: {_PROGRAM}",
    FileFormat.KERAS: f"it is a network: {_KERAS}",
    FileFormat.HDF5: f"{_HDF5}; if it holds images, read them with h5py and {_SAVE_NPZ}",
    FileFormat.TFLITE: f"it is a network: {_TFLITE}",
    FileFormat.NPY: f"it has no labels: {_SAVE_NPZ}",
    FileFormat.PICTURE: f"a dataset needs many pictures: {_ADD_FOLDER}",
    FileFormat.TAR: f"unpack it; {_ADD_FOLDER}",
    FileFormat.COMPRESSED: _UNPACK,
    FileFormat.PARQUET: f"if it is a table, {_ADD_TABLE}; of pixels, {_TABLE}",
    FileFormat.MATLAB: f"read it with scipy.io.loadmat and {_SAVE_NPZ}",
    FileFormat.TEXT: f"if it is a table, {_ADD_TABLE}; of pixels, {_TABLE}",
}
_ANSWERS: Final[Mapping[Expected, Mapping[FileFormat, str]]] = {
    "network": _NETWORK,
    "weights": _WEIGHTS,
    "dataset": _DATASET,
    "arrays": {
        found: words
        for found, words in _DATASET.items()
        if found not in (FileFormat.TEXT, FileFormat.PARQUET)
    },
}
"""What is not listed is left to the reader of the format that was asked for."""


def wrong_kind(path: Path, expected: Expected) -> str | None:
    """Return what the file is and the way to the right one; None if it may be what is expected.

    Raises OSError if it cannot be read.
    """
    found = recognise(path)
    answer = _ANSWERS[expected].get(found)
    if answer is None:
        return None
    return f"the file is {_named(found)}: {answer}"


def _named(found: FileFormat) -> str:
    if found in (FileFormat.EMPTY, FileFormat.HDF5, FileFormat.TEXT, FileFormat.SAFETENSORS):
        return "text, as csv and json are" if found == FileFormat.TEXT else str(found)
    article = "an" if found in (FileFormat.ONNX, FileFormat.NPZ, FileFormat.TORCH_EXPORT) else "a"
    return f"{article} {found}{' file' if found == FileFormat.ONNX else ''}"
