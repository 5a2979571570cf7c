"""torch's exporter serves whoever has a torch module on their own machine, and nobody else."""

import ast

from tests.architecture.sources import files_where

ALLOWED = {"compress/export/onnx_trace.py", "featherweight/torch/exporting.py"}


def exports(source: str) -> list[int]:
    """Lines that name ``torch.onnx``, or take ``onnx`` from torch."""
    return sorted(node.lineno for node in ast.walk(ast.parse(source)) if _is_exporter(node))


def _is_exporter(node: ast.AST) -> bool:
    match node:
        case ast.Attribute(value=ast.Name(id="torch"), attr="onnx"):
            return True
        case ast.Import(names=names):
            return any(f"{name.name}.".startswith("torch.onnx.") for name in names)
        case ast.ImportFrom(module=str(module), names=names):
            taken = {f"{module}.{name.name}." for name in names}
            return any(name.startswith("torch.onnx.") for name in taken)
        case _:
            return False


def test_torch_modules_are_exported_in_two_places():
    assert files_where(exports) == ALLOWED


def test_an_export_would_be_found_however_it_is_written():
    ways = (
        "torch.onnx.export(net)",
        "import torch.onnx",
        "from torch import onnx",
        "from torch.onnx import ops",
    )
    assert exports("\n".join(ways)) == [1, 2, 3, 4]
    assert exports("import onnx\nimport torch\nfrom torch import nn\nnet.onnx") == []
