"""The boundary to a network's own code, whose errors are about the network, not this program.

A network is anything that torch runs, and its forward may raise anything. Here that becomes
InvalidCandidate. An error that passes through a function of ours on its way, a hook or a constraint
inside the network, is a bug of ours and stays what it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType

import torch
from torch import Tensor, nn

from compress.network.network import Network, OwnModule
from compress.values.errors import InvalidCandidate

ERRORS = (
    RuntimeError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    AssertionError,
    NameError,
)
"""What a network's forward, or a tool that reads its graph, may raise."""
_OURS = __name__.partition(".")[0]
_NETWORKS = (f"{_OURS}.network.families.", f"{_OURS}.network.graph.")
# torch's allocator on the CPU raises a plain RuntimeError.
_NO_MEMORY = "DefaultCPUAllocator"
_BATCH = 2
_LONGEST = 300


@contextmanager
def blamed(doing: str, *, way_out: str = "", through: Sequence[str] = ()) -> Iterator[None]:
    """Turn errors of foreign code into InvalidCandidate with what was done and what failed.

    Errors of memory are left alone, and so are those that passed through a function of this
    package, except for the modules named in ``through``, which only wrap a network.
    """
    try:
        yield
    except ERRORS as error:
        if _is_memory(error) or _is_ours(error.__traceback__, through):
            raise
        raise InvalidCandidate(said(doing, error, way_out=way_out)) from error


def said(doing: str, error: Exception, *, way_out: str = "") -> str:
    """Return the message of such an error, on one line."""
    lines = str(error).strip().splitlines() or ["no reason given"]
    text = f"{doing}: {type(error).__name__}: {lines[0][:_LONGEST]}"
    return f"{text}; {way_out}" if way_out else text


def run(module: nn.Module, x_BCHW: Tensor) -> Tensor:
    """Return the module's answer. Raises InvalidCandidate if it raises or returns no tensor."""
    with blamed("the network does not run"):
        answer = module(x_BCHW)
    if not isinstance(answer, Tensor):
        raise InvalidCandidate(
            f"the network returns a {type(answer).__name__} where one tensor of logits was "
            "expected: wrap it in a module that returns the logits alone"
        )
    return answer


def check(network: Network) -> None:
    """Raise InvalidCandidate unless the network returns one logit per class.

    Networks of a family do. Only others are run, in eval mode on two images of zeros.
    """
    if isinstance(network.module, OwnModule):
        return
    device = next(network.module.parameters(), torch.zeros(0)).device
    modes = {part: part.training for part in network.module.modules()}
    network.module.eval()
    try:
        with torch.no_grad():
            zeros_BCHW = torch.zeros(_BATCH, *network.input_shape, device=device)
            logits_BK = run(network.module, zeros_BCHW)
    finally:
        for part, mode in modes.items():
            part.training = mode
    expected = (_BATCH, network.num_classes)
    if tuple(logits_BK.shape) != expected or not logits_BK.is_floating_point():
        raise InvalidCandidate(
            f"the network answers {_BATCH} images with {logits_BK.dtype} of shape "
            f"{tuple(logits_BK.shape)}, expected float logits of shape {expected}: one row per "
            "image and one number per class"
        )


def _is_memory(error: Exception) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or _NO_MEMORY in str(error)


def _is_ours(trace: TracebackType | None, through: Sequence[str]) -> bool:
    """Whether the error was raised by this package, or came through it below the guarded call."""
    frames: list[bool] = []
    while trace is not None:
        module = str(trace.tb_frame.f_globals.get("__name__", ""))
        is_wrapper = bool(frames) and module in through
        frames.append(not is_wrapper and _is_our_code(module, trace.tb_frame.f_code.co_name))
        trace = trace.tb_next
    return all(frames) or any(frames[frames.index(False) :])


def _is_our_code(module: str, function: str) -> bool:
    """Whether it is code of ours that may raise: networks are not, nor is whoever only watches."""
    is_watch = function in ("__torch_dispatch__", "__torch_function__")
    return module.startswith(f"{_OURS}.") and not module.startswith(_NETWORKS) and not is_watch
