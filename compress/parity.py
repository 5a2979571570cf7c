"""The gate every file passes before it counts: does it answer like the network it came from?

Comparisons on the same raw images, at most ``MOST_IMAGES`` of the validation split:

* **float gate**: the float file in ONNX Runtime against the torch module on normalised input.
  The largest difference of two logits is at most 0.1 % of the logits' spread (largest minus
  smallest reference logit over all images), and 99 % of the images get the same class.
* **halving gate**, where scales and biases are rounded to 16 bits: the rounded torch network
  against the one before, within 1 % of the spread; the rounded one is then the float gate's
  reference.
* **integer gate**, for a quantized file: the file as it will run, with its fused integer kernels,
  against the same graph run node by node as written, which is float arithmetic on the integers'
  grid. 98 % of the images get the same class. It proves that the kernels do what the file says
  (a saturating 8-bit kernel or an overflowing bias fails it). How much accuracy the grid itself
  costs is not a matter of parity: it is measured, and the search decides.

A quantized file's float graph passes the float gate first, so each step is proved once.

Classes are the same when the reference likes the file's class as much as its own best, up to a
tie of 0.1 % (float) or 2 % (integer) of the spread: rounding may order two equal logits either
way, and a heavily pruned network that has not been trained yet has many of those.

Shapes: N images, C channels, H rows, W columns, K classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from compress import runtime
from compress.errors import ExportParityError, InvalidData, NumericalError
from compress.families.catalog import Normalisation
from compress.measurement import Parity
from compress.model import Images, Network
from compress.techniques.mirroring import views
from compress.techniques.mirroring.config import THE_IMAGE, Views

MOST_IMAGES = 256
_FEW_IMAGES = (1, 7)


@dataclass(frozen=True, kw_only=True)
class Gate:
    """Bounds of one comparison; ``error`` and ``tie`` are shares of the reference's spread."""

    name: str
    error: float
    agreement: float
    tie: float


FLOAT = Gate(name="float file against torch", error=1e-3, agreement=0.99, tie=1e-3)
HALVED = Gate(name="16-bit scales against 32-bit ones", error=1e-2, agreement=0.98, tie=1e-2)
INTEGER = Gate(
    name="integer kernels against the graph as written",
    error=float("inf"),
    agreement=0.98,
    tie=2e-2,
)


def images(validation: Images) -> Tensor:
    """The raw images of the gates, ``(N, C, H, W)``. Raises InvalidData if there are none."""
    if len(validation) == 0:
        raise InvalidData("the parity gate needs at least one validation image, got none")
    return validation.x_NCHW[:MOST_IMAGES]


def torch_logits(
    network: Network, x_NCHW: Tensor, *, over: Views = THE_IMAGE
) -> NDArray[np.float32]:
    """Answers ``(N, K)`` of the module, which must be in eval mode: their mean over the views."""

    def answer(x_NCHW: Tensor) -> Tensor:
        return network.module(_normalised(x_NCHW, network.normalisation))

    with torch.no_grad():
        logits = [views.mean(answer, torch.from_numpy(x), over) for x in runtime.batches(x_NCHW)]
    logits_NK = torch.cat(logits).numpy()
    if not np.isfinite(logits_NK).all():
        raise NumericalError("the network gives NaN or infinity on validation images")
    return logits_NK


def check_float(model: bytes, *, reference_NK: NDArray[np.float32], x_NCHW: Tensor) -> Parity:
    """The float gate. Raises ExportParityError or NumericalError."""
    logits_NK = runtime.answers(runtime.session(model), x_NCHW)
    return check(logits_NK, reference_NK=reference_NK, gate=FLOAT)


def check_few(model: bytes, *, reference_NK: NDArray[np.float32], x_NCHW: Tensor) -> None:
    """The float gate on the first image alone and on a few: a traced batch must not remain.

    Raises ExportParityError or NumericalError.
    """
    opened = runtime.session(model)
    for few in _FEW_IMAGES:
        logits_NK = runtime.answers(opened, x_NCHW[:few])
        check(logits_NK, reference_NK=reference_NK[:few], gate=FLOAT)


def check_halved(
    network: Network,
    *,
    reference_NK: NDArray[np.float32],
    x_NCHW: Tensor,
    over: Views = THE_IMAGE,
) -> NDArray[np.float32]:
    """The halving gate; gives the rounded network's answers. Raises ExportParityError."""
    logits_NK = torch_logits(network, x_NCHW, over=over)
    check(logits_NK, reference_NK=reference_NK, gate=HALVED)
    return logits_NK


def check_integer(model: bytes, *, x_NCHW: Tensor) -> tuple[Parity, NDArray[np.float32]]:
    """The integer gate, and the file's answers. Raises ExportParityError or NumericalError."""
    as_written_NK = runtime.answers(runtime.session(model, optimise=False), x_NCHW)
    logits_NK = runtime.answers(runtime.session(model), x_NCHW)
    return check(logits_NK, reference_NK=as_written_NK, gate=INTEGER), logits_NK


def check(
    logits_NK: NDArray[np.float32], *, reference_NK: NDArray[np.float32], gate: Gate
) -> Parity:
    """Compare two sets of answers to the same images. Raises ExportParityError past a bound."""
    if logits_NK.shape != reference_NK.shape:
        raise ExportParityError(
            f"{gate.name}: answers of shape {logits_NK.shape}, expected {reference_NK.shape}"
        )
    error = float(np.abs(logits_NK - reference_NK).max())
    spread = float(reference_NK.max() - reference_NK.min()) or 1.0
    same = agreement(logits_NK, reference_NK=reference_NK, tie=gate.tie * spread)
    if error > gate.error * spread or same < gate.agreement:
        raise ExportParityError(
            f"{gate.name}: largest error {error:.3g} at a spread of {spread:.3g} (at most "
            f"{gate.error:g} of it), same class for {same:.2%} (at least {gate.agreement:.0%}) "
            f"of {len(logits_NK)} images"
        )
    return Parity(max_abs_error=error, agreement=same, images=len(logits_NK))


def agreement(
    logits_NK: NDArray[np.float32], *, reference_NK: NDArray[np.float32], tie: float = 0.0
) -> float:
    """Share of images whose best class the reference rates within ``tie`` of its own best."""
    chosen_N = logits_NK.argmax(axis=1)
    rated_N = np.take_along_axis(reference_NK, chosen_N[:, None], axis=1)[:, 0]
    return float((reference_NK.max(axis=1) - rated_N <= tie).mean())


def _normalised(x_NCHW: Tensor, normalisation: Normalisation) -> Tensor:
    """Written apart from the exported form, so that the gate also checks the folded constants.

    In float64: float32 would lose the small deviation of values that lie far from zero.
    """
    mean_C11 = torch.tensor(normalisation.mean, dtype=torch.float64).reshape(-1, 1, 1)
    std_C11 = torch.tensor(normalisation.std, dtype=torch.float64).reshape(-1, 1, 1)
    return ((x_NCHW.double() * normalisation.scale - mean_C11) / std_C11).float()
