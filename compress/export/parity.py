"""The gate every file passes before it counts: does it answer like the network it came from?

Comparisons on the same raw images, at most ``MOST_IMAGES`` of the validation split:

* **float gate**: the float file in ONNX Runtime against the torch module on normalised input.
  Every logit differs by at most 0.1 % of its image's unit, and 99 % of the images get the same
  class. Where the float graph is compared with a rounded network, the network with its BatchNorm
  folded has passed the same bounds against the network as it was trained.
* **halving gate**, where scales and biases are rounded to 16 bits: the rounded torch network
  against the one before, within 2 % of the unit; the rounded one is then the float gate's
  reference.
* **integer gate**, for a quantized file: the file as it will run, with its fused integer kernels,
  against the same graph run node by node as written, which is float arithmetic on the integers'
  grid. 98 % of the images get the same class, and half of them logits within a quarter of their
  unit. It proves that the kernels do what the file says
  (a saturating 8-bit kernel or an overflowing bias fails it). How much accuracy the grid itself
  costs is not a matter of parity: it is measured, and the search decides.

A quantized file's float graph passes the float gate first, so each step is proved once.

Classes are the same when the reference likes the file's class as much as its own best, up to a
tie of 0.1 % (float) or 5 % (integer) of the unit: rounding may order two equal logits either way,
and a heavily pruned network that has not been trained yet has many of those. The plain share of
equal classes is kept beside it.

The unit of an image is the spread of its logits, in a robust size (``units``): a huge logit must
open the gate neither for other images nor for the other logits of its own.

Shapes: N images, C channels, H rows, W columns, K classes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from compress.evaluation import runtime
from compress.export import views
from compress.network.network import Network
from compress.network.preprocessing import Normalisation
from compress.network.running import foreign
from compress.network.signature import Signature
from compress.tasks.images import Images
from compress.tasks.registry import IMAGE_CLASSIFICATION
from compress.tasks.task import Task
from compress.techniques.mirroring.config import THE_IMAGE, Views
from compress.values.errors import ExportParityError, InvalidData, NumericalError
from compress.values.measurement import Parity

MOST_IMAGES = 256
_FEWEST_WIDE, _MOST_ANSWERS = 8, 2**22
"""Images whose answers are compared, though these are wide, and numbers of all answers at once."""
_FEW_IMAGES = (1, 7)


@dataclass(frozen=True, kw_only=True)
class Gate:
    """The bounds of one comparison; ``error`` and ``tie`` are shares of an image's unit.

    ``resolution`` is what rounding may do to a number, as a share of the number itself. ``usual``
    bounds the median image's error, if single images may exceed it.
    """

    name: str
    error: float
    agreement: float
    tie: float
    resolution: float
    usual: float = float("inf")
    way_out: str = ""

    @property
    def bounds(self) -> str:
        """The allowed errors, in words."""
        if np.isfinite(self.error):
            return f"at most {self.error:g} of it"
        return f"half of the images within {self.usual:g} of theirs"


FLOAT = Gate(name="float file against torch", error=1e-3, agreement=0.99, tie=1e-3, resolution=1e-5)
FOLDED = replace(FLOAT, name="BatchNorm folded against the network as trained")
HALVED = Gate(
    name="16-bit scales against 32-bit ones",
    error=2e-2,
    agreement=0.98,
    tie=2e-2,
    resolution=2.0**-10,
)
INTEGER = Gate(
    name="integer kernels against the graph as written",
    error=float("inf"),
    agreement=0.98,
    tie=5e-2,
    resolution=1e-3,
    usual=0.25,
    way_out="; a processor without VNNI adds products of 8 bits in 16, which may saturate: let "
    "quantization.reduced_range be true, or weight_bits be less than 8",
)
_MOST_OF_VARIATION = 30
"""A unit is at most so many times what logits vary by between images."""
_MOST_IMAGES_VARY = 0.9
_FEWEST_IMAGES = 8


def images(validation: Images, *, width: int = 1) -> Tensor:
    """Return the raw images of the gates, ``(N, C, H, W)``. Raises InvalidData without any.

    ``width`` counts the numbers of an answer: there are fewer images where it is above 16384.
    """
    if len(validation) == 0:
        raise InvalidData("the parity gate needs at least one validation image, got none")
    most = min(MOST_IMAGES, max(_FEWEST_WIDE, _MOST_ANSWERS // width))
    return validation.x_NCHW[:most]


def torch_logits(
    network: Network, x_NCHW: Tensor, *, over: Views = THE_IMAGE
) -> NDArray[np.float32]:
    """Return the answers ``(N, K)`` of a module in eval mode, averaged over the views.

    If files give probabilities, they are the logarithms of these, as ``runtime.answers`` has it.
    """

    def answer(x_NCHW: Tensor) -> Tensor:
        return foreign.run(network.module, _normalised(x_NCHW, network.normalisation))

    with torch.no_grad():
        logits = [views.mean(answer, torch.from_numpy(x), over) for x in runtime.batches(x_NCHW)]
    found_NK = torch.cat(logits)
    if network.signature.outputs[0].softmax:
        found_NK = torch.log_softmax(found_NK, dim=-1).clamp_min(runtime.LEAST_LOGIT)
    logits_NK = found_NK.numpy()
    if not np.isfinite(logits_NK).all():
        raise NumericalError("the network gives NaN or infinity on validation images")
    return logits_NK


def check_float(
    model: bytes,
    *,
    reference_NK: NDArray[np.float32],
    x_NCHW: Tensor,
    task: Task,
    signature: Signature | None = None,
) -> Parity:
    """Check the float gate. Raises ExportParityError or NumericalError."""
    logits_NK = runtime.answers(runtime.session(model), x_NCHW, signature=signature)
    return check(logits_NK, reference_NK=reference_NK, gate=FLOAT, task=task)


def check_few(
    model: bytes, *, network: Network, x_NCHW: Tensor, task: Task, over: Views = THE_IMAGE
) -> None:
    """Check the float gate on one image and on a few, in case a traced batch size remains.

    The network answers them anew, for it may look at all images of a batch. Raises
    ExportParityError or NumericalError.
    """
    opened = runtime.session(model)
    for few in _FEW_IMAGES:
        some_NCHW = x_NCHW[:few]
        reference_NK = torch_logits(network, some_NCHW, over=over)
        found_NK = runtime.answers(opened, some_NCHW, signature=network.signature)
        check(found_NK, reference_NK=reference_NK, gate=FLOAT, task=task)


def check_folded(
    network: Network,
    *,
    reference_NK: NDArray[np.float32],
    x_NCHW: Tensor,
    task: Task,
    over: Views = THE_IMAGE,
) -> None:
    """Check the float gate's bounds for a folded network. Raises ExportParityError."""
    logits_NK = torch_logits(network, x_NCHW, over=over)
    check(logits_NK, reference_NK=reference_NK, gate=FOLDED, task=task)


def check_halved(
    network: Network,
    *,
    reference_NK: NDArray[np.float32],
    x_NCHW: Tensor,
    task: Task,
    over: Views = THE_IMAGE,
) -> NDArray[np.float32]:
    """Check the halving gate; return the rounded network's answers. Raises ExportParityError."""
    logits_NK = torch_logits(network, x_NCHW, over=over)
    check(logits_NK, reference_NK=reference_NK, gate=HALVED, task=task)
    return logits_NK


def check_integer(
    model: bytes, *, x_NCHW: Tensor, task: Task, signature: Signature | None = None
) -> tuple[Parity, NDArray[np.float32]]:
    """Check the integer gate, and return the file's answers, too.

    Raises ExportParityError or NumericalError.
    """
    as_written = runtime.session(model, optimise=False)
    as_written_NK = runtime.answers(as_written, x_NCHW, signature=signature)
    logits_NK = runtime.answers(runtime.session(model), x_NCHW, signature=signature)
    gate = check(logits_NK, reference_NK=as_written_NK, gate=INTEGER, task=task)
    return gate, logits_NK


def check(
    logits_NK: NDArray[np.float32],
    *,
    reference_NK: NDArray[np.float32],
    gate: Gate,
    task: Task = IMAGE_CLASSIFICATION,
) -> Parity:
    """Compare two sets of answers to the same images.

    Raises ExportParityError beyond a bound, NumericalError for answers that are not finite.
    """
    if logits_NK.shape != reference_NK.shape:
        raise ExportParityError(
            f"{gate.name}: answers of shape {logits_NK.shape}, expected {reference_NK.shape}"
        )
    if not (np.isfinite(logits_NK).all() and np.isfinite(reference_NK).all()):
        raise NumericalError(f"{gate.name}: some of the answers are NaN or infinity")
    answers = task.answers
    pairs = zip(answers.rows(logits_NK), answers.rows(reference_NK), strict=True)
    found = [_Errors.of(one, two, gate, are_logits=answers.are_logits) for one, two in pairs]
    tie_N = found[0].tie_N if len(found) == 1 else None
    same = task.agreement(logits_NK, reference_NK, tie=tie_N)
    worst = max(found, key=lambda each: (each.fails, each.worst_excess))
    if worst.fails or same < gate.agreement:
        what = "same class" if answers.are_logits else "agreement"
        raise ExportParityError(
            f"{gate.name}: largest error {worst.error:.3g} at a spread of {worst.spread:.3g} "
            f"({gate.bounds}), {what} for {same:.2%} (at least {gate.agreement:.0%}) of "
            f"{len(logits_NK)} images{gate.way_out}"
        )
    return Parity(
        max_abs_error=max(each.largest for each in found),
        agreement=same,
        images=len(logits_NK),
        equal_classes=task.agreement(logits_NK, reference_NK),
    )


@dataclass(frozen=True, kw_only=True)
class _Errors:
    """How far one output of a file is from its reference, of the worst row and of all."""

    largest: float
    error: float
    spread: float
    worst_excess: float
    fails: bool
    tie_N: NDArray[np.float64]

    @classmethod
    def of(
        cls,
        logits_RK: NDArray[np.float32],
        reference_RK: NDArray[np.float32],
        gate: Gate,
        *,
        are_logits: bool,
    ) -> _Errors:
        wide_RK = reference_RK.astype(np.float64)
        unit_R, least = units(wide_RK) if are_logits else _units_of_numbers(wide_RK)
        error_RK = np.abs(logits_RK.astype(np.float64) - wide_RK)
        rounding_RK = gate.resolution * np.maximum(np.abs(wide_RK), least)
        excess_R = _excess(error_RK - rounding_RK, unit_R, share=gate.error)
        usual_R = _excess(error_RK - rounding_RK, unit_R, share=gate.usual)
        best_R1 = wide_RK.argmax(axis=1, keepdims=True)
        worst = excess_R.argmax() if np.isfinite(gate.error) else usual_R.argmax()
        return cls(
            largest=float(error_RK.max()),
            error=float(error_RK[worst].max()),
            spread=float(unit_R[worst]),
            worst_excess=float(max(excess_R.max(), usual_R.max())),
            fails=bool(excess_R.max() > 0 or np.median(usual_R) > 0),
            tie_N=gate.tie * unit_R + np.take_along_axis(rounding_RK, best_R1, axis=1)[:, 0],
        )


def _units_of_numbers(reference_RM: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Return the unit of every row and the usual one, of outputs that are no logits.

    It is what nine tenths of all numbers lie within, or their deviation if that is more, as of a
    map that is 0 but in a few places; 1 if they are all the same.
    """
    low, high = np.quantile(reference_RM, (1 - _MOST_IMAGES_VARY, _MOST_IMAGES_VARY))
    unit = max(float(high - low), float(reference_RM.std())) or float(np.ptp(reference_RM)) or 1.0
    return np.full(len(reference_RM), unit), unit


def _excess(
    error_NK: NDArray[np.float64], unit_N: NDArray[np.float64], *, share: float
) -> NDArray[np.float64]:
    """Return by how much every image's largest error exceeds its share of the unit."""
    if np.isinf(share):
        return np.full(len(error_NK), -np.inf)
    return (error_NK - share * unit_N[:, None]).max(axis=1)


def units(reference_NK: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Return the unit of every image, ``(N,)``, and the usual spread of an image's logits.

    The usual spread, largest minus smallest logit, is a median over images, without the one class
    that adds most to it: neither a huge image nor a huge class decides it. The unit starts from it,
    but is at most thirty times what logits vary by between images: if several classes are constants
    far apart, their distance says nothing of how exact the others are. An image whose logits lie
    further from those of other images than that has a unit of its own, again without its most
    extreme logit. Everything scales with the logits.
    """
    if not reference_NK.any():
        return np.ones(len(reference_NK)), 1.0
    varied_NK = reference_NK - np.median(reference_NK, axis=0)
    usual = _usual(reference_NK, 0.5) or float(np.ptp(reference_NK, axis=1).max())
    unit = usual
    if len(reference_NK) >= _FEWEST_IMAGES:
        unit = min(usual, _MOST_OF_VARIATION * _usual(varied_NK, _MOST_IMAGES_VARY))
    if reference_NK.shape[1] == 1:
        low, high = np.quantile(reference_NK, (1 - _MOST_IMAGES_VARY, _MOST_IMAGES_VARY))
        unit = usual = float(high - low)
    return np.maximum(unit, _trimmed(varied_NK)), usual


def _usual(logits_NK: NDArray[np.float64], quantile: float) -> float:
    """Return a quantile over images of the spread of all classes but the one that adds most."""
    classes = logits_NK.shape[1]
    if classes < 3:
        return float(np.quantile(np.ptp(logits_NK, axis=1), quantile))
    order_NK = np.sort(logits_NK, axis=1)
    low, high = logits_NK.argmin(axis=1), logits_NK.argmax(axis=1)
    whole_N = order_NK[:, -1] - order_NK[:, 0]
    # To leave another class out changes no image's spread.
    ends = np.unique(np.concatenate([low, high]))
    found = [float(np.quantile(whole_N, quantile))] if len(ends) < classes else []
    for left_out in ends:
        spread_N = whole_N.copy()
        spread_N[high == left_out] = (order_NK[:, -2] - order_NK[:, 0])[high == left_out]
        spread_N[low == left_out] = (order_NK[:, -1] - order_NK[:, 1])[low == left_out]
        found.append(float(np.quantile(spread_N, quantile)))
    return min(found)


def _trimmed(logits_NK: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the spread of every image's logits without the one that widens it most."""
    if logits_NK.shape[1] < 3:
        return np.zeros(len(logits_NK))
    order_NK = np.sort(logits_NK, axis=1)
    without_least_N = order_NK[:, -1] - order_NK[:, 1]
    without_most_N = order_NK[:, -2] - order_NK[:, 0]
    return np.minimum(without_least_N, without_most_N)


def note(found: Parity) -> tuple[str, ...]:
    """Return a note if a file owes its agreement to ties."""
    equal = found.equal_classes
    if equal is None or equal >= INTEGER.agreement:
        return ()
    return (
        f"the file names the very class of its reference for {equal:.1%} of {found.images} "
        f"images, for {found.agreement:.1%} up to ties of nearly equal logits",
    )


def _normalised(x_NCHW: Tensor, normalisation: Normalisation) -> Tensor:
    """Normalise, independently of the exported form, so that the gate also checks its constants.

    In float64: float32 would lose the small deviation of values that lie far from zero.
    """
    shape = (-1, *(1,) * (x_NCHW.ndim - 2))
    mean_C11 = torch.tensor(normalisation.mean, dtype=torch.float64).reshape(shape)
    std_C11 = torch.tensor(normalisation.std, dtype=torch.float64).reshape(shape)
    return ((x_NCHW.double() * normalisation.scale - mean_C11) / std_C11).float()
