"""Decide by timing whether training in bfloat16 pays for this network on this machine.

Bfloat16 with channels-last memory takes 0.43 of the time of a dense residual network on a CPU with
AVX512-BF16, but 1.18 times that of a depthwise one, so no rule by name will do.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn

from compress.network.running import readers
from compress.network.running.weight_views import Weighted, is_weighted, view_of
from compress.training.constraints import WeightConstraint

Precision = Literal["fp32", "bf16"]
Loss = Callable[[Tensor], Tensor]
"""From the float32 logits ``(B, K)`` of a batch to its mean loss."""
_STEPS = 3
_WORTHWHILE_MACS = 10**9
_REQUIRED_GAIN = 1.15
_verdicts: dict[tuple[object, ...], Precision] = {}


def choose(module: nn.Module, x_BCHW: Tensor, loss: Loss) -> Precision:
    """Return the faster precision for a training step on this batch; bf16 must win by 15 %.

    Steps below a billion multiply-accumulates stay in fp32 without a probe, because the casts would
    cost more than they save. So do networks under constraints, whose grids bfloat16 would blur.
    Verdicts are cached per process by device, threads and shapes. ``loss`` is that of the batch.
    """
    if any(isinstance(part, WeightConstraint) for part in module.modules()):
        return "fp32"
    if _macs(module, x_BCHW[:1]) * len(x_BCHW) < _WORTHWHILE_MACS or not _supported(x_BCHW.device):
        return "fp32"
    shapes = tuple(tuple(tensor.shape) for tensor in module.parameters())
    key = (x_BCHW.device, torch.get_num_threads(), tuple(x_BCHW.shape), shapes)
    if key not in _verdicts:
        full, half = _seconds(module, x_BCHW, loss)
        _verdicts[key] = "bf16" if half * _REQUIRED_GAIN < full else "fp32"
    return _verdicts[key]


def _supported(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


@torch.no_grad()
def _macs(module: nn.Module, x_1CHW: Tensor) -> int:
    """Count multiply-accumulates with hooks: importing torch's own counter takes seconds."""
    still = copy.deepcopy(module).eval()
    counts: list[int] = []

    def count(layer: Weighted, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        positions = view_of(layer).positions(layer, readers.given(args, kwargs), output)
        counts.append(positions * layer.weight.numel())

    for layer in still.modules():
        if is_weighted(layer):
            layer.register_forward_hook(count, with_kwargs=True)
    still(x_1CHW)
    return sum(counts)


def _seconds(module: nn.Module, x_BCHW: Tensor, loss: Loss) -> tuple[float, float]:
    """Return the shortest step in float32 and in bfloat16, timed in turns: load meets both."""
    steps = [_step(module, x_BCHW, loss, bf16=bf16) for bf16 in (False, True)]
    for step in steps:
        step()
    turns = [[_timed(step, x_BCHW.device) for step in steps] for _ in range(_STEPS)]
    full, half = (min(column) for column in zip(*turns, strict=True))
    return full, half


def _step(module: nn.Module, x_BCHW: Tensor, loss: Loss, *, bf16: bool) -> Callable[[], None]:
    trial = copy.deepcopy(module).train()

    def step() -> None:
        with torch.autocast(x_BCHW.device.type, torch.bfloat16, enabled=bf16):
            logits_BK = trial(x_BCHW)
        loss(logits_BK.float()).backward()

    return step


def _timed(step: Callable[[], None], device: torch.device) -> float:
    start = time.perf_counter()
    step()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start
