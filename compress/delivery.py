"""Write the file of a candidate in the form of its target: what is written is what is measured."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import onnx
from torch import Tensor

from compress.conversion import convert
from compress.evaluation import runtime
from compress.export import parity, writer
from compress.network.network import Artifact
from compress.targets import needs
from compress.targets.registry import AS_MADE
from compress.targets.target import Target
from compress.tasks.images import ImageData
from compress.tasks.kinds.image_classification.task import IMAGE_CLASSIFICATION
from compress.tasks.task import Task
from compress.techniques.compressed import CompressedModel
from compress.values.errors import (
    ExportParityError,
    InvalidNetwork,
    TargetParityError,
    TargetRuleBroken,
)

_LEAST_SAME = 0.5
"""Of the images, the share that must keep their answers on other grids: less is a broken file."""


def write(
    compressed: CompressedModel,
    folder: Path,
    *,
    target: Target,
    data: ImageData,
    task: Task = IMAGE_CLASSIFICATION,
    name: str = "model",
) -> Artifact:
    """Write ``folder / f"{name}.onnx"`` in the form of the target.

    The file passes the gates of ``compress.export.writer`` before it gets another form, and that
    form has proofs of its own: its constants are the same to the bit, and its answers the same.

    Raises what the writer raises, and TargetParityError if the target cannot hold the network or a
    proof fails. Then nothing is left behind.
    """
    if target is AS_MADE:
        return writer.write(compressed, folder, data=data, task=task, name=name)
    made = writer.write(compressed, folder, data=data, task=task, name=name, packs=False)
    try:
        return _in_form(made, target, data=data, task=task)
    except (InvalidNetwork, TargetRuleBroken, TargetParityError) as error:
        made.path.unlink()
        raise TargetParityError(
            f"the file has no form for the target {target.name!r} (oldest runtimes "
            f"{_listed(target)}): {error}. Name another target in the job, such as "
            f"{AS_MADE.name!r}"
        ) from error


def _in_form(made: Artifact, target: Target, *, data: ImageData, task: Task) -> Artifact:
    given = onnx.load_model_from_string(made.path.read_bytes())
    model = convert.converted(given, target)
    content = model.SerializeToString(deterministic=True)
    if convert.moves_grids(given, target):
        made = _on_other_grids(made, content, x_NCHW=parity.images(data.validation), task=task)
    partial = made.path.with_name(f".{made.path.name}.partial")
    partial.write_bytes(content)
    partial.replace(made.path)
    return replace(
        made,
        sha256=hashlib.sha256(content).hexdigest(),
        size_bytes=len(content),
        target=target.name,
        runtimes=needs.oldest(model, target),
    )


def _on_other_grids(made: Artifact, content: bytes, *, x_NCHW: Tensor, task: Task) -> Artifact:
    """Return the artifact with what was proven of the new file. Raises TargetParityError."""
    signature = made.signature
    try:
        gate, found_NK = parity.check_integer(
            content, x_NCHW=x_NCHW, task=task, signature=signature
        )
    except ExportParityError as error:
        raise TargetParityError(str(error)) from error
    before = runtime.session(made.path.read_bytes())
    expected_NK = runtime.answers(before, x_NCHW, signature=signature)
    same = task.agreement(found_NK, expected_NK)
    said = f"{same:.1%} of {len(x_NCHW)} images as on unsigned grids"
    if same < _LEAST_SAME:
        raise TargetParityError(f"on symmetric grids the file answers only {said}")
    return replace(
        made,
        max_abs_error=gate.max_abs_error,
        agreement=gate.agreement,
        parity_images=gate.images,
        equal_classes=gate.equal_classes,
        notes=(*made.notes, f"on symmetric grids of activations it answers {said}"),
    )


def _listed(target: Target) -> str:
    found = ", ".join(f"{runtime.name} {runtime.oldest}" for runtime in target.runtimes)
    return found or target.unproven
