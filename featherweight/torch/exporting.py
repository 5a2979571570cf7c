"""Write a torch module as ONNX on the user's own machine, and compare the file with the module."""

from __future__ import annotations

import copy
import inspect
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
from numpy.typing import NDArray
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
    example_inputs: Tensor | Mapping[str, Tensor],
    path: Path,
    *,
    exporter: Exporter = "auto",
    output: str | int | Sequence[str | int] | None = None,
    open_length: bool = False,
) -> Exported:
    """Write a module to ``path``, as it answers in eval mode, for any number of examples.

    BatchNorm layers stay layers, and tensors keep their names. ``example_inputs`` is a batch of
    float32, such as images ``(N, C, H, W)`` or rows of a table ``(N, F)``, or of ids, int64 or
    int32; of a module of several arguments a batch for each by its name, which is that of the
    file's input. ``auto`` tries torch's older exporter, which knows every
    operator for opset 17, and then the one built on ``torch.export``. ``output`` picks one answer
    of a module that gives several, a key of a mapping or a place in a tuple, or several of them,
    which become outputs in that order. With ``open_length`` sequences ``(N, L)`` may have any
    length. The module itself is left as it is, on its device and in its mode.

    Raises ExportFailed, saying for each exporter why, if no file answers as the module does.
    """
    given = _given(example_inputs)
    still = _still(module)
    chosen, outputs = _choosing(_called_by_place(still, given), given, output)
    form = _Form(
        inputs=tuple(given),
        outputs=outputs,
        sequences=frozenset(n for n, each in given.items() if open_length and each.ndim == 2),
    )
    tensors = tuple(given.values())
    wanted = _wanted(chosen, tensors, form)
    names = tuple(_EXPORTERS) if exporter == "auto" else (exporter,)
    failures: list[str] = []
    for name in names:
        try:
            return _exported(name, chosen, tensors, wanted, path, form)
        except ExportFailed as error:
            failures.append(f"{name} exporter: {error}")
    path.unlink(missing_ok=True)
    raise ExportFailed("the module cannot be exported.\n  " + "\n  ".join(failures))


@dataclass(frozen=True, kw_only=True)
class _Form:
    """The names of a file's inputs and outputs; ``sequences`` are inputs of any length."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    sequences: frozenset[str]

    def axes(self, name: str) -> dict[int, str]:
        return {0: "batch", 1: "length"} if name in self.sequences else {0: "batch"}


def _given(example_inputs: Tensor | Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return batches on the CPU by the names of their inputs. Raises ExportFailed for others."""
    if isinstance(example_inputs, Mapping) and example_inputs:
        given = dict(example_inputs)
    else:
        given: dict[str, Any] = {INPUT: example_inputs}
    for each in given.values():
        if not isinstance(each, Tensor) or each.dtype not in _TAKEN:
            raise ExportFailed(
                "example_inputs must be one tensor, or one by the name of each argument, float32 "
                "such as images (N, C, H, W), or int64 or int32 if they are ids, got "
                f"{_described(each)}: call .float() on them and on the module"
            )
        if each.ndim < (2 if len(given) == 1 else 1) or len(each) < 1:
            raise ExportFailed(
                f"example_inputs must be a batch, got shape {tuple(each.shape)}: "
                "unsqueeze(0) makes one of a single example"
            )
    if len({len(each) for each in given.values()}) > 1:
        raise ExportFailed(
            "example_inputs must have as many examples for every argument, got "
            f"{ {name: len(each) for name, each in given.items()} }"
        )
    return {name: each.detach().cpu() for name, each in given.items()}


class _ByName(nn.Module):
    """A module whose arguments are given in the order of these names."""

    def __init__(self, network: nn.Module, names: Sequence[str]) -> None:
        super().__init__()
        self.network, self.names = network, tuple(names)

    def forward(self, *tensors: Tensor) -> object:
        """Its answer."""
        return self.network(**dict(zip(self.names, tensors, strict=True)))


def _called_by_place(module: nn.Module, given: Mapping[str, Tensor]) -> nn.Module:
    """Return what takes the tensors one after the other: the module itself where it does."""
    if tuple(given) == (INPUT,):
        return module
    known = list(inspect.signature(module.forward).parameters)
    return module if known[: len(given)] == list(given) else _ByName(module, list(given))


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


class _SomeOfSeveral(nn.Module):
    """A module that gives some of the answers of another, in this order."""

    def __init__(self, network: nn.Module, outputs: Sequence[str | int]) -> None:
        super().__init__()
        self.network, self.outputs = network, tuple(outputs)

    def forward(self, *tensors: Tensor) -> Tensor | tuple[Tensor, ...]:
        """The chosen answers."""
        given = self.network(*tensors)
        found = tuple(given[output] for output in self.outputs)
        return found[0] if len(found) == 1 else found


def _choosing(
    module: nn.Module,
    given: Mapping[str, Tensor],
    output: str | int | Sequence[str | int] | None,
) -> tuple[nn.Module, tuple[str, ...]]:
    """Return what gives the chosen answers, and how the file calls them."""
    answer = _answer(module, tuple(given.values()))
    if output is None and isinstance(answer, Tensor):
        return module, (OUTPUT,)
    found = _answers(answer)
    asked = [output] if isinstance(output, str | int) else list(output or ())
    if not asked and len(found) == 1:
        asked = list(found)
    if not asked or any(each not in found for each in asked):
        said = ", ".join(f"{key!r}: {_described(each)}" for key, each in found.items())
        raise ExportFailed(
            f"the module gives {len(found)} answers ({said}): name one of them with output=, or "
            "several"
        )
    names = (OUTPUT,) if len(asked) == 1 else tuple(map(_called, asked))
    return _SomeOfSeveral(module, asked), names


def _called(output: str | int) -> str:
    return output if isinstance(output, str) else f"{OUTPUT}_{output}"


def _answers(answer: object) -> Mapping[str | int, Any]:
    if isinstance(answer, Mapping):
        return dict(answer)
    if isinstance(answer, Sequence):
        return dict(enumerate(answer))
    raise ExportFailed(f"the module must answer with a tensor, got {_described(answer)}")


def _answer(module: nn.Module, tensors: Sequence[Tensor]) -> object:
    try:
        with torch.no_grad():
            return module(*tensors)
    except Exception as error:
        raise ExportFailed(
            f"the module does not run on {_all_described(tensors)}: {type(error).__name__}: {error}"
        ) from error


@dataclass(frozen=True)
class _Wanted:
    """Inputs, and what the module answers for them."""

    tensors: Sequence[Tensor]
    answers: Sequence[Tensor]


def _wanted(module: nn.Module, tensors: Sequence[Tensor], form: _Form) -> Sequence[_Wanted]:
    found: list[_Wanted] = []
    for batch in _batches(tensors, form):
        try:
            first, second = _answer(module, batch), _answer(module, batch)
        except ExportFailed as error:
            raise ExportFailed(
                f"the module runs on {_shapes(tensors)}, but not on {_shapes(batch)}, so a "
                f"number of images is written into it, for example by a view: {error}"
            ) from error
        firsts, seconds = _tensors(first), _tensors(second)
        if not all(torch.equal(one, other) for one, other in zip(firsts, seconds, strict=True)):
            raise ExportFailed(
                "what the module answers in eval mode differs from call to call: let it draw no "
                "random numbers then, and keep no state"
            )
        found.append(_Wanted(batch, firsts))
    return found


def _tensors(answer: object) -> tuple[Tensor, ...]:
    found: list[Tensor] = []
    for each in answer if isinstance(answer, tuple) else (answer,):
        if not isinstance(each, Tensor):
            raise ExportFailed(f"the module must answer with a tensor, got {_described(each)}")
        found.append(each)
    return tuple(found)


def _batches(tensors: Sequence[Tensor], form: _Form) -> Iterator[Sequence[Tensor]]:
    for size in _BATCHES:
        yield [_batch(each, size, is_alone=len(tensors) == 1) for each in tensors]
    if form.sequences:
        named = zip(form.inputs, tensors, strict=True)
        yield [
            each[:, : max(1, (each.shape[1] + 1) // 2)] if name in form.sequences else each
            for name, each in named
        ]


def _batch(images: Tensor, size: int, *, is_alone: bool) -> Tensor:
    """So many inputs like the examples; floats are no two the same, ids those that occur.

    Beside others rows stay whole: a mask belongs to its ids.
    """
    generator = torch.Generator().manual_seed(size)
    if not images.is_floating_point() and is_alone:
        drawn = torch.randint(images.numel(), (size, *images.shape[1:]), generator=generator)
        return images.flatten()[drawn]
    rows = torch.arange(size) % len(images)
    if not images.is_floating_point():
        return images[rows]
    noise = torch.randn((size, *images.shape[1:]), generator=generator)
    return images[rows] + 0.1 * images.std(correction=0).clamp_min(1e-3) * noise


def _exported(
    exporter: str,
    module: nn.Module,
    tensors: Sequence[Tensor],
    wanted: Sequence[_Wanted],
    path: Path,
    form: _Form,
) -> Exported:
    # Two images or more: an exporter takes a batch of one for a constant.
    example = tuple(each if len(each) > 1 else torch.cat([each, each]) for each in tensors)
    try:
        with torch.no_grad(), _quietly():
            _EXPORTERS[exporter](module, example, path, form)
        onnx.checker.check_model(onnx.load(path))
    except Exception as error:
        raise ExportFailed(f"{type(error).__name__}: {_first_lines(str(error))}") from error
    session = _session(path)
    return Exported(
        path=path, exporter=exporter, error=max(_error(session, each, form) for each in wanted)
    )


def _legacy(module: nn.Module, example: tuple[Tensor, ...], path: Path, form: _Form) -> None:
    axes = {name: form.axes(name) for name in form.inputs}
    with older_exporter.quietly(module):
        torch.onnx.export(
            module,
            example,
            str(path),
            dynamo=False,
            # Or BatchNorm is folded into the layer before it, and trains worse after compression.
            training=torch.onnx.TrainingMode.PRESERVE,
            do_constant_folding=False,
            opset_version=_OPSETS["legacy"],
            input_names=list(form.inputs),
            output_names=list(form.outputs),
            dynamic_axes=axes | {name: {0: "batch"} for name in form.outputs},
        )


def _dynamo(module: nn.Module, example: tuple[Tensor, ...], path: Path, form: _Form) -> None:
    words = {0: torch.export.Dim("batch", min=1), 1: torch.export.Dim("length", min=1)}
    shapes = tuple({axis: words[axis] for axis in form.axes(name)} for name in form.inputs)
    torch.onnx.export(
        module,
        example,
        str(path),
        dynamo=True,
        optimize=False,  # as above: the optimiser folds BatchNorm
        external_data=False,
        opset_version=_OPSETS["dynamo"],
        input_names=list(form.inputs),
        output_names=list(form.outputs),
        dynamic_shapes=(shapes,) if isinstance(module, _Wrapped) else shapes,
        verbose=False,
    )


_Wrapped = _ByName | _SomeOfSeveral
"""Modules that take their tensors as ``*tensors``, of which torch says the shapes in a tuple."""
_EXPORTERS: Mapping[str, Callable[[nn.Module, tuple[Tensor, ...], Path, _Form], None]] = {
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


def _error(session: onnxruntime.InferenceSession, wanted: _Wanted, form: _Form) -> float:
    """Return the largest error of the file's answers, of the spread of the module's."""
    count = len(wanted.tensors[0])
    taken = {port.name for port in session.get_inputs()}
    named = zip(form.inputs, wanted.tensors, strict=True)
    try:
        got = session.run(
            list(form.outputs), {name: each.numpy() for name, each in named if name in taken}
        )
    except Exception as error:
        raise ExportFailed(
            f"the file does not run on {count} images: {_first_lines(str(error))}. A number of "
            "images is written into the module, for example by a view or a loop over the batch"
        ) from error
    pairs = zip(wanted.answers, got, strict=True)
    return max(_apart(each.float().numpy(), np.asarray(other), count) for each, other in pairs)


def _apart(expected: NDArray[Any], answered: NDArray[Any], count: int) -> float:
    """Return the largest error of one output. Raises ExportFailed for one that is too large."""
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


def _shapes(tensors: Sequence[Tensor]) -> str:
    return " and ".join(str(tuple(each.shape)) for each in tensors)


def _all_described(tensors: Sequence[Tensor]) -> str:
    return " and ".join(map(_described, tensors))


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
