"""From a module in a notebook to a model of the service."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor, nn

from compress.network.preprocessing import Normalisation
from compress.network.signature import ExampleShape, packed_shape
from compress.network.sources.ports.made import IDS, RULES
from featherweight.client.client import Client
from featherweight.errors import UploadRefused
from featherweight.specs.schemas import ModelSchema
from featherweight.specs.states import ModelState
from featherweight.torch.exporting import Exporter, export


def add_model(  # noqa: PLR0913 - what may be said of a network
    client: Client,
    module: nn.Module,
    example_inputs: Tensor | Mapping[str, Tensor],
    *,
    name: str,
    normalisation: Normalisation | None = None,
    exporter: Exporter = "auto",
    output: str | int | Sequence[str | int] | None = None,
    open_length: bool = False,
) -> ModelSchema:
    """Export a module, compare the file with it, upload it, and wait for its inspection.

    ``example_inputs`` are a few examples as the module takes them, images float32 ``(N, C, H, W)``,
    others ``(N, ...)``: their size becomes that of the network, their number stays open.
    ``normalisation`` is what happens to raw values before the module sees them, if your dataset
    holds raw ones: it becomes part of every delivered file. ``exporter``, ``output``,
    ``open_length`` and a mapping of several inputs are those of ``export``; what is open has the
    length of the examples here.

    Returns the model, which is ready. Raises ExportFailed if no file answers as the module does,
    UploadRefused with the reasons if the service cannot use the file, and ApiError.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "module.onnx"
        export(
            module,
            example_inputs,
            path,
            exporter=exporter,
            output=output,
            open_length=open_length,
        )
        sent = client.upload_model(
            path,
            name=name,
            normalisation=normalisation,
            input_shape=_shape(example_inputs) if open_length else None,
        )
    found = client.inspected(sent.id)
    if found.state == ModelState.REFUSED:
        reasons = "\n  ".join(found.reasons)
        raise UploadRefused(f"the module was exported, but cannot be used:\n  {reasons}")
    return found


def _shape(example_inputs: Tensor | Mapping[str, Tensor]) -> ExampleShape:
    """Return the shape of one example, without the inputs that are made of ids."""
    if isinstance(example_inputs, Tensor):
        return tuple(example_inputs.shape[1:])
    given = {name: tuple(each.shape[1:]) for name, each in example_inputs.items()}
    taken = [name for name in given if name not in RULES]
    return packed_shape([given[name] for name in (taken if taken == [IDS] else given)])
