"""The list: files of three published networks, of two exporters, of families and of packages.

Files of packages are taken from where they are installed; those packages are no dependencies of
ours: ``uv pip install --no-deps basic-pitch magika rapidocr-onnxruntime silero-vad speechmos``.
"""

from __future__ import annotations

import importlib.metadata
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from compress.export import onnx_trace
from compress.network.families.catalog import Architecture
from compress.network.families.efficientnet.config import EfficientNet
from tests.compress import onnx_networks
from tests.compress.network.families import tiny
from tests.compress.network.families.samples import SAMPLES

DATA = Path(__file__).resolve().parents[4] / "shared" / "data" / "onnx"
Array = NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class ListedFile:
    """One file of the list.

    ``data`` raises Absent where it cannot be had. ``shape`` is that of the first input without its
    batch, for axes that the file leaves open. ``given`` makes what the network expects of a first
    input of that shape; random numbers without it.
    """

    name: str
    data: Callable[[], bytes]
    shape: tuple[int, ...] = ()
    given: Callable[[tuple[int, ...]], Array] | None = None


class Absent(Exception):
    """The file is not on this machine; the words say how to get it."""


def listed() -> Iterator[ListedFile]:
    """Every file, in the order of the table."""
    yield from _published()
    yield from _exported()
    yield from _families()
    yield from _packaged()


def _published() -> Iterator[ListedFile]:
    names = {
        "MLPerf Tiny's ResNet-8": ("cifar10_mlperf_tiny_resnet8.onnx", (3, 32, 32), None),
        "PP-OCR's classifier": ("ch_ppocr_mobile_v2.0_cls_infer.onnx", (3, 48, 192), page),
        "PP-OCR's detector": ("ch_PP-OCRv4_det_infer.onnx", (3, 96, 192), page),
    }
    for name, (file, shape, given) in names.items():
        yield ListedFile(name=name, data=_of_folder(DATA / file), shape=shape, given=given)


def _of_folder(path: Path) -> Callable[[], bytes]:
    def data() -> bytes:
        if not path.exists():
            raise Absent(f"needs {path.name} in shared/data/onnx beside the repository")
        return path.read_bytes()

    return data


def _exported() -> Iterator[ListedFile]:
    for name, case in onnx_networks.NETWORKS.items():
        for exporter, export in (("legacy", onnx_networks.exported), ("dynamo", _by_dynamo)):
            yield ListedFile(
                name=f"{name}, {exporter}",
                data=lambda name=name, export=export: export(name),
                shape=case.shape,
            )


def _by_dynamo(name: str) -> bytes:
    """A network as torch's newer exporter writes it, by default with opset 20."""
    case = onnx_networks.NETWORKS[name]
    given = torch.from_numpy(onnx_networks.example(name)["input"])
    free = dict.fromkeys((0, *case.free), torch.export.Dim.DYNAMIC)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            onnx_networks.module_of(name),
            (given,),
            dynamo=True,
            input_names=["input"],
            output_names=list(case.outputs),
            dynamic_shapes=(free,),
            optimize=False,
            verbose=False,
        )
    assert program is not None
    return program.model_proto.SerializeToString()


def _families() -> Iterator[ListedFile]:
    samples: dict[str, Architecture] = {
        name: sample for name, sample in SAMPLES.items() if "," not in name
    }
    samples["efficientnet, 4 M"] = EfficientNet(stem_stride=1)
    for name, sample in samples.items():
        yield ListedFile(name=f"family {name}", data=lambda sample=sample: _of_family(sample))


def _of_family(sample: Architecture) -> bytes:
    network = tiny.network(sample)
    return onnx_trace.traced(network.module, tiny.images(2)).SerializeToString()


def _packaged() -> Iterator[ListedFile]:
    voice = "silero-vad", "silero_vad/data/silero_vad"
    scores = "speechmos", "speechmos"
    for name, (package, path), shape, given in (
        ("basic-pitch", ("basic-pitch", "icassp_2022/nmp.onnx"), (43844, 1), chord),
        ("magika", ("magika", "standard_v3_3/model.onnx"), (2048,), letters),
        (
            "PP-OCR's reader",
            ("rapidocr-onnxruntime", "PP-OCRv4_rec_infer.onnx"),
            (3, 48, 192),
            page,
        ),
        ("silero", (voice[0], f"{voice[1]}.onnx"), (576,), chord),
        ("silero, 16 kHz", (voice[0], f"{voice[1]}_16k_op15.onnx"), (576,), chord),
        ("silero, 16 bits", (voice[0], f"{voice[1]}_half.onnx"), (576,), chord),
        ("silero, sequence", (voice[0], f"{voice[1]}_16k_sequence.onnx"), (576,), chord),
        ("silero, no branch", (voice[0], f"{voice[1]}_op18_ifless.onnx"), (576,), chord),
        ("silero, OpenVINO's", (voice[0], f"{voice[1]}_openvino_16k.onnx"), (576,), chord),
        ("AECMOS", (scores[0], "Run_1663829550_Stage_0.onnx"), (64, 160), None),
        ("DNSMOS", (scores[0], "/dnsmos_models/sig_bak_ovr.onnx"), (144160,), chord),
        ("DNSMOS, P.808", (scores[0], "model_v8.onnx"), (900, 120), None),
        ("DNSMOS, noise", (scores[0], "bak_ovr.onnx"), (900, 161), None),
        ("PLCMOS", (scores[0], "plcmos_v2.onnx"), (64, 160), None),
    ):
        data = _of_package(package, path)
        yield ListedFile(name=name, data=data, shape=shape, given=given)


def _of_package(package: str, ending: str) -> Callable[[], bytes]:
    def data() -> bytes:
        try:
            files = importlib.metadata.files(package) or []
        except importlib.metadata.PackageNotFoundError:
            raise Absent(f"needs the package {package}, which is not installed") from None
        found = [Path(str(file.locate())) for file in files if str(file).endswith(ending)]
        if not found:
            raise Absent(f"this version of {package} has no {ending}")
        return found[0].read_bytes()

    return data


def page(shape: tuple[int, ...]) -> Array:
    """Lines of dark text on white paper, normalised as PP-OCR does."""
    _, _, height, width = shape
    picture = Image.new("L", (width, height), 255)
    ImageDraw.Draw(picture).text((8, 8), "Featherweight\nsmaller networks", fill=0, font_size=18)
    values_HW = np.asarray(picture, np.float32) / 127.5 - 1
    return np.broadcast_to(values_HW, shape).copy()


def chord(shape: tuple[int, ...]) -> Array:
    """Three tones, as samples along the longest axis."""
    longest = int(np.argmax(shape[1:])) + 1
    time_T = np.arange(shape[longest]) / 16_000
    tones_T = np.stack([np.sin(2 * np.pi * each * time_T) for each in (220.0, 277.2, 329.6)])
    along = [1] * len(shape)
    along[longest] = -1
    return np.broadcast_to(tones_T.mean(0).reshape(along), shape).astype(np.float32)


def letters(shape: tuple[int, ...]) -> Array:
    """The bytes of a text, and the number that stands for no byte behind it."""
    text = Path(__file__).read_bytes()[: shape[1] // 2]
    row = np.full(shape[1], 256, np.int32)
    row[: len(text)] = np.frombuffer(text, np.uint8)
    return np.broadcast_to(row, shape).copy()
