"""Write a torch module as ONNX on the user's own machine, and compare the file with the module."""

from __future__ import annotations

import copy
import io
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor, nn

from compress.network.running import older_exporter
from featherweight.errors import FeatherweightError

Exporter: TypeAlias = Literal["auto", "legacy", "dynamo"]
INPUT, OUTPUT = "input", "output"
TOLERANCE = 1e-4
"""How far answers of the file may lie from those of the module, of the spread of the answers."""
_OPSETS = {"legacy": 17, "dynamo": 18}
_TAKEN = (torch.float32, torch.int64, torch.int32)
_BATCHES = (1, 2, 5)
"""Numbers of examples for which file and module are compared: none of them the example's alone."""


class ExportFailed(FeatherweightError):
    """A module cannot be written as an ONNX file that answers as it does."""


@dataclass(frozen=True, kw_only=True)
class Exported:
    """A file that answers as its module: by which exporter, and how far it is off at most.

    ``error`` is a share of the spread of the module's answers.
    """

    path: Path
    exporter: str
    error: float


def export(
    module: nn.Module,
    example_inputs: Tensor,
    path: Path,
    *,
    exporter: Exporter = "auto",
    output: str | int | None = None,
) -> Exported:
    """Write a module to ``path``, as it answers in eval mode, for any number of examples.

    BatchNorm layers stay layers, and tensors keep their names. ``example_inputs`` is a batch of
    float32, such as images ``(N, C, H, W)`` or rows of a table ``(N, F)``, or of ids, int64 or
    int32. ``auto`` tries torch's older exporter, which knows every
    operator for opset 17, and then the one built on ``torch.export``. ``output`` picks one answer
    of a module that gives several: a key of a mapping, or a place in a tuple. The module itself is
    left as it is, on its device and in its mode.

    Raises ExportFailed, saying for each exporter why, if no file answers as the module does.
    """
    if not isinstance(example_inputs, Tensor) or example_inputs.dtype not in _TAKEN:
        raise ExportFailed(
            "example_inputs must be one tensor, float32 such as images (N, C, H, W), or int64 or "
            f"int32 if they are ids, got {_described(example_inputs)}: call .float() on them and "
            "on the module"
        )
    if example_inputs.ndim < 2 or len(example_inputs) < 1:
        raise ExportFailed(
            f"example_inputs must be a batch, got shape {tuple(example_inputs.shape)}: "
            "unsqueeze(0) makes one of a single example"
        )
    still = _still(module)
    images = example_inputs.detach().cpu()
    chosen = _choosing(still, images, output)
    wanted = _wanted(chosen, images)
    names = tuple(_EXPORTERS) if exporter == "auto" else (exporter,)
    failures: list[str] = []
    for name in names:
        try:
            return _exported(name, chosen, images, wanted, path)
        except ExportFailed as error:
            failures.append(f"{name} exporter: {error}")
    path.unlink(missing_ok=True)
    raise ExportFailed("the module cannot be exported.\n  " + "\n  ".join(failures))


def _still(module: nn.Module) -> nn.Module:
    """Return a copy on the CPU, in eval mode, of what a training wrapper may have put around it."""
    inner: object = module
    while isinstance(inner, nn.DataParallel) or hasattr(inner, "_orig_mod"):
        inner = getattr(inner, "_orig_mod", None) or getattr(inner, "module", None)
    assert isinstance(inner, nn.Module)
    try:
        return copy.deepcopy(inner).cpu().eval()
    except (RuntimeError, TypeError, AttributeError, ValueError) as error:
        raise ExportFailed(
            f"the module cannot be copied ({_first_lines(str(error))}): give one that "
            "copy.deepcopy takes, without tensors of a running backward pass, open files, or lazy "
            "layers that have seen no input yet in it"
        ) from error


class _OneOfSeveral(nn.Module):
    """A module that gives one of the answers of another."""

    def __init__(self, network: nn.Module, output: str | int) -> None:
        super().__init__()
        self.network, self.output = network, output

    def forward(self, images: Tensor) -> Tensor:
        """The chosen answer."""
        return self.network(images)[self.output]


def _choosing(module: nn.Module, images: Tensor, output: str | int | None) -> nn.Module:
    answer = _answer(module, images)
    if output is None and isinstance(answer, Tensor):
        return module
    found = _answers(answer)
    if output is None and len(found) == 1:
        [output] = found
    if output is None or output not in found:
        said = ", ".join(f"{key!r}: {_described(each)}" for key, each in found.items())
        raise ExportFailed(
            f"the module gives {len(found)} answers ({said}): name one of them with output="
        )
    return _OneOfSeveral(module, output)


def _answers(answer: object) -> Mapping[str | int, Any]:
    if isinstance(answer, Mapping):
        return dict(answer)
    if isinstance(answer, Sequence):
        return dict(enumerate(answer))
    raise ExportFailed(f"the module must answer with a tensor, got {_described(answer)}")


def _answer(module: nn.Module, images: Tensor) -> object:
    try:
        with torch.no_grad():
            return module(images)
    except Exception as error:
        raise ExportFailed(
            f"the module does not run on {_described(images)}: {type(error).__name__}: {error}"
        ) from error


@dataclass(frozen=True)
class _Wanted:
    """Images, and what the module answers for them."""

    images: Tensor
    answers: Tensor


def _wanted(module: nn.Module, images: Tensor) -> Sequence[_Wanted]:
    found: list[_Wanted] = []
    for size in _BATCHES:
        batch = _batch(images, size)
        try:
            first, second = _answer(module, batch), _answer(module, batch)
        except ExportFailed as error:
            raise ExportFailed(
                f"the module runs on {tuple(images.shape)}, but not on {tuple(batch.shape)}, so a "
                f"number of images is written into it, for example by a view: {error}"
            ) from error
        assert isinstance(first, Tensor)
        assert isinstance(second, Tensor)
        if not torch.equal(first, second):
            raise ExportFailed(
                "what the module answers in eval mode differs from call to call: let it draw no "
                "random numbers then, and keep no state"
            )
        found.append(_Wanted(batch, first))
    return found


def _batch(images: Tensor, size: int) -> Tensor:
    """So many inputs like the examples; floats are no two the same, ids those that occur."""
    generator = torch.Generator().manual_seed(size)
    if not images.is_floating_point():
        drawn = torch.randint(images.numel(), (size, *images.shape[1:]), generator=generator)
        return images.flatten()[drawn]
    rows = torch.arange(size) % len(images)
    noise = torch.randn((size, *images.shape[1:]), generator=generator)
    return images[rows] + 0.1 * images.std(correction=0).clamp_min(1e-3) * noise


def _exported(
    exporter: str, module: nn.Module, images: Tensor, wanted: Sequence[_Wanted], path: Path
) -> Exported:
    # Two images or more: an exporter takes a batch of one for a constant.
    example = images if len(images) > 1 else torch.cat([images, images])
    try:
        with torch.no_grad(), _quietly():
            _EXPORTERS[exporter](module, example, path)
        onnx.checker.check_model(onnx.load(path))
    except Exception as error:
        raise ExportFailed(f"{type(error).__name__}: {_first_lines(str(error))}") from error
    session = _session(path)
    return Exported(
        path=path, exporter=exporter, error=max(_error(session, each) for each in wanted)
    )


def _legacy(module: nn.Module, example: Tensor, path: Path) -> None:
    with older_exporter.quietly(module):
        torch.onnx.export(
            module,
            (example,),
            str(path),
            dynamo=False,
            # Or BatchNorm is folded into the layer before it, and trains worse after compression.
            training=torch.onnx.TrainingMode.PRESERVE,
            do_constant_folding=False,
            opset_version=_OPSETS["legacy"],
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_axes={INPUT: {0: "batch"}, OUTPUT: {0: "batch"}},
        )


def _dynamo(module: nn.Module, example: Tensor, path: Path) -> None:
    torch.onnx.export(
        module,
        (example,),
        str(path),
        dynamo=True,
        optimize=False,  # as above: the optimiser folds BatchNorm
        external_data=False,
        opset_version=_OPSETS["dynamo"],
        input_names=[INPUT],
        output_names=[OUTPUT],
        dynamic_shapes=({0: torch.export.Dim("batch", min=1)},),
        verbose=False,
    )


_EXPORTERS: Mapping[str, Callable[[nn.Module, Tensor, Path], None]] = {
    "legacy": _legacy,
    "dynamo": _dynamo,
}


def _session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ExportFailed(f"ONNX Runtime cannot load the file: {error}") from error


def _error(session: onnxruntime.InferenceSession, wanted: _Wanted) -> float:
    """Return the largest error of the file's answers, of the spread of the module's."""
    count, expected = len(wanted.images), wanted.answers.float().numpy()
    try:
        [got] = session.run([OUTPUT], {INPUT: wanted.images.numpy()})
    except Exception as error:
        raise ExportFailed(
            f"the file does not run on {count} images: {_first_lines(str(error))}. A number of "
            "images is written into the module, for example by a view or a loop over the batch"
        ) from error
    answered = np.asarray(got)
    if expected.shape != answered.shape:
        raise ExportFailed(
            f"for {count} images the file answers {answered.shape}, the module {expected.shape}"
        )
    error = float(np.abs(expected - answered).max()) / (float(np.ptp(expected)) or 1.0)
    if not error <= TOLERANCE:
        raise ExportFailed(
            f"for {count} images the file's answers are off by {error:.2g} of their spread, at "
            f"most {TOLERANCE:g} is allowed: the module may branch on its input"
        )
    return error


def _described(value: object) -> str:
    if isinstance(value, Tensor):
        return f"{str(value.dtype).removeprefix('torch.')} of shape {tuple(value.shape)}"
    return type(value).__name__


def _first_lines(text: str, lines: int = 3, characters: int = 400) -> str:
    return " ".join(text.split("\n")[:lines])[:characters].strip()


@contextmanager
def _quietly() -> Iterator[None]:
    """Suppress what exporters print, warn and log: what counts is compared afterwards."""
    logger, hidden = logging.getLogger("torch.onnx"), io.StringIO()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stdout(hidden), redirect_stderr(hidden):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
