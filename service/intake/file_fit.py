"""Whether the network of an ONNX file fits a dataset and its task, in words where it does not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from compress.network.signature import IMAGE_AXES, AnswerForm, ExampleShape
from compress.network.sources.onnx_info import OnnxInfo, OnnxPort
from compress.network.sources.source import OnnxSource
from compress.tasks.inspection import DatasetInfo
from compress.tasks.names import EXAMPLES
from service.errors import ModelDoesNotFitData
from store.files import models
from store.tables.records import ModelRecord

_ANY = "unlabelled"
"""The task of networks whose outputs nobody explains."""
_FORMS: Mapping[str, AnswerForm] = {"sequence_labelling": "sequence"}
"""What other tasks than rows of numbers need."""
_NUMBERS = frozenset({"regression"})
"""Tasks whose answers are no classes."""
_NEEDED: Mapping[AnswerForm, str] = {
    "rows": "one output of one row for each example, (N, K)",
    "sequence": "one output of a row for each place of a sequence, (N, L, K)",
    "packed": "any outputs",
}


@dataclass(frozen=True, kw_only=True)
class File:
    """The network of a file: what is known of it, its name, and the field that names it."""

    field: str
    name: str
    info: OnnxInfo


def check(file: File, data: DatasetInfo, data_name: str) -> None:
    """Raise ModelDoesNotFitData unless the file takes such examples and answers for their task."""
    info = file.info
    is_any = data.task == _ANY
    fits = info.input_shape == data.input_shape and (is_any or _has_answer(info, data))
    if not fits:
        raise ModelDoesNotFitData(
            f"{file.field}: {file.name!r} takes {examples(info.input_shape)} ({_taken(info)}) and "
            f"{answers(info, data)}, the data {data_name!r} has {examples(data.input_shape)}"
            f"{'' if is_any else f' and {_has(data)}'}: {_way_out(info, data)}"
        )
    _check_inputs(file, data, data_name)
    _check_ids(file, data, data_name)


def warnings(model: ModelRecord | None) -> tuple[str, ...]:
    """Return what the inspection of the job's file warns of."""
    if model is None or not isinstance(models.source_of(model), OnnxSource):
        return ()
    found = OnnxInfo.model_validate(model.info).warnings
    return tuple(f"model: {model.name!r}: {warning}" for warning in found)


def examples(shape: ExampleShape) -> str:
    """Say what examples of that shape are."""
    if len(shape) != IMAGE_AXES:
        return f"examples of shape ({', '.join(map(str, shape))})"
    channels, height, width = shape
    return f"images of {channels} channel{'s'[: channels > 1]}, {height}x{width} pixels"


def answers(info: OnnxInfo, data: DatasetInfo) -> str:
    """Say what the network answers, in the words of the data's task."""
    if info.answer == "rows" and data.task not in _NUMBERS | {_ANY}:
        return f"tells {info.num_classes} classes apart"
    ports = ", ".join(f"{port.name} {_axes(port)}" for port in info.outputs)
    return f"answers {ports}"


def _has_answer(info: OnnxInfo, data: DatasetInfo) -> bool:
    return info.answer == _needed(data) and info.num_classes == data.num_classes


def _needed(data: DatasetInfo) -> AnswerForm:
    return _FORMS.get(data.task, "rows")


def _has(data: DatasetInfo) -> str:
    what = "targets" if data.task in _NUMBERS else "classes"
    return f"{data.num_classes} {what}"


def _taken(info: OnnxInfo) -> str:
    ports = ", ".join(f"{port.name} {_axes(port)}" for port in info.inputs)
    return f"{ports}, {info.layout}" if len(info.input_shape) == IMAGE_AXES else ports


def _check_inputs(file: File, data: DatasetInfo, data_name: str) -> None:
    """Raise ModelDoesNotFitData if the parts of an example are others than inputs are."""
    parts = file.info.parts
    takes = [(part.name, part.shape) for part in parts]
    has = [(part.name, part.shape) for part in data.inputs]
    if not has or has == takes:
        return
    way_out = "name its arrays as the inputs, such as NAME_train"
    if sorted(takes) == sorted(has):
        way_out = "send the data again with its arrays in the order of the inputs"
    raise ModelDoesNotFitData(
        f"{file.field}: {file.name!r} takes {_named(takes)}, an example of the data "
        f"{data_name!r} holds {_named(has)}: {way_out}"
    )


def _named(parts: Sequence[tuple[str, ExampleShape]]) -> str:
    return ", ".join(f"{name} {shape}" for name, shape in parts) or "one input"


def _check_ids(file: File, data: DatasetInfo, data_name: str) -> None:
    """Raise ModelDoesNotFitData if values of the data cannot be ids of the network's table."""
    if data.inputs:
        for taken, part in zip(file.info.parts, data.inputs, strict=True):
            where = f"the input {taken.name} of the data {data_name!r}"
            _check_values(file, taken.num_ids, part.value_range, part.is_whole, where)
        return
    _check_values(
        file, file.info.num_ids, data.value_range, data.is_whole, f"the data {data_name!r}"
    )


def _check_values(
    file: File, rows: int | None, value_range: tuple[float, float], is_whole: bool, where: str
) -> None:
    low, high = value_range
    if rows is None or (is_whole and low >= 0 and high < rows):
        return
    kind = "whole numbers" if is_whole else "numbers that are not all whole"
    raise ModelDoesNotFitData(
        f"{file.field}: {file.name!r} looks its input up in a table of {rows:,} rows, so it "
        f"takes ids from 0 to {rows - 1:,}, {where} has {kind} from {low:g} "
        f"to {high:g}: number the ids as in training"
    )


def _way_out(info: OnnxInfo, data: DatasetInfo) -> str:
    shape = data.input_shape
    if data.task != _ANY and info.answer != _needed(data):
        return (
            f"{data.task} needs {_NEEDED[_needed(data)]}; a network of other outputs is compressed "
            f"by a job of the task {_ANY}"
        )
    if len(shape) == IMAGE_AXES and info.input_shape == (*shape[1:], shape[0]):
        return (
            "if its images are NCHW, send the data again with layout: NCHW"
            if data.task == "image_classification"
            else "this network takes channels first: move the last axis of x to the second place"
        )
    if len(shape) != len(info.input_shape) and data.task == "image_classification":
        return "if its examples are no images, send the data again with task: classification"
    if info.input_shape == data.input_shape and info.num_classes > data.num_classes:
        return (
            f"if its labels leave classes out, send the data again with classes: {info.num_classes}"
        )
    if len(shape) == len(info.input_shape) and _is_open(info):
        size = "x".join(map(str, shape))
        return f"the file leaves sizes open: send it again with --input-shape {size}"
    return f"name data of its size, or export the network for these {EXAMPLES[data.task]}"


def _is_open(info: OnnxInfo) -> bool:
    """Whether an input has an open axis behind the batch."""
    return any(isinstance(axis, str) for port in info.inputs for axis in port.shape[1:])


def _axes(port: OnnxPort) -> str:
    return f"({', '.join(map(str, port.shape))})"
