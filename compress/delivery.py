"""Write the file of a candidate in the form of its target: what is written is what is measured."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import onnx

from compress.conversion import convert
from compress.export import writer
from compress.network.network import Artifact
from compress.targets import needs
from compress.targets.registry import AS_MADE
from compress.targets.target import Target
from compress.tasks.image_classification.task import IMAGE_CLASSIFICATION
from compress.tasks.images import ImageData
from compress.tasks.task import Task
from compress.techniques.compressed import CompressedModel
from compress.values.errors import InvalidNetwork, TargetParityError, TargetRuleBroken


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
        return _in_form(made, target)
    except (InvalidNetwork, TargetRuleBroken, TargetParityError) as error:
        made.path.unlink()
        raise TargetParityError(
            f"the file has no form for the target {target.name!r} (oldest runtimes "
            f"{_listed(target)}): {error}. Name another target in the job, such as "
            f"{AS_MADE.name!r}"
        ) from error


def _in_form(made: Artifact, target: Target) -> Artifact:
    model = convert.converted(onnx.load_model_from_string(made.path.read_bytes()), target)
    content = model.SerializeToString(deterministic=True)
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


def _listed(target: Target) -> str:
    return ", ".join(f"{runtime.name} {runtime.oldest}" for runtime in target.runtimes)
