"""Manners for torch's older exporter to ONNX, which traces a module."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def quietly(module: nn.Module) -> Iterator[None]:
    """Let the exporter take attention step by step, and print no graph before it raises.

    The fast path of attention is one operator, which ONNX does not have. The exporter turns its
    printing, past Python's streams, on whenever it starts, so it is turned off again when the
    module runs.
    """
    fast = torch.backends.mha.get_fastpath_enabled()
    handle = module.register_forward_pre_hook(_silence)
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
        handle.remove()


def _silence(module: nn.Module, inputs: object) -> None:
    # No public name turns it off.
    torch._C._jit_set_onnx_log_enabled(False)  # pyright: ignore[reportPrivateUsage]
