"""Views of the layers of imported networks that torch holds in another form.

Legend: B images, N columns, O output channels, I everything else of a weight, S groups of a
convolution, K = weights of an output channel, C channels; of a recurrent layer D directions, H
hidden units, L length.
"""

from __future__ import annotations

from math import gcd, prod

import torch
from torch import Tensor
from torch.nn import functional

from compress.network.graph.view.operators.embedding import EmbeddingTable
from compress.network.graph.view.operators.recurrent import Recurrent
from compress.network.graph.view.operators.transposed import TransposedConvolution
from compress.network.running.plain_views import in_groups, windows
from compress.network.running.weight_view import WeightView, taken


class TransposedView(WeightView):
    """A transposed convolution over one to three axes.

    It is a convolution of the input with zeros between its pixels and a kernel read backwards.
    """

    kind = TransposedConvolution
    channel_axis = 1
    sets_stage = False

    def is_normalised(self, part: TransposedConvolution, output: Tensor) -> bool:
        """Return whether the output has a batch and channels in front of the kernel's axes."""
        return output.ndim == 2 + len(part.sliding.strides)

    def groups(self, part: TransposedConvolution) -> int:
        """Return the convolution's groups."""
        return part.groups

    def sizes(self, part: TransposedConvolution) -> tuple[int, int]:
        """Return the numbers of input and output channels."""
        return part.weight.shape[1] * part.groups, len(part.weight)

    def resize_(
        self, part: TransposedConvolution, *, inputs: int, outputs: int, groups: int
    ) -> None:
        """Set the groups; the weight says the rest."""
        part.groups = groups

    def positions(self, part: TransposedConvolution, x: Tensor, output: Tensor) -> int:
        """Return the pixels of the input: each is multiplied by all that its channel weighs."""
        return x.numel() // self.sizes(part)[0]

    def columns(self, part: TransposedConvolution, x: Tensor, *, most: int | None = None) -> Tensor:
        """Return the window of every output pixel, most of it the zeros between the pixels."""
        kernel, axes = part.weight.shape[2:], range(2, x.ndim)
        found = windows(
            _spread(part, x), kernel, stride=(1,) * len(kernel), dilation=part.sliding.dilations
        )
        backwards = found.flip([found.ndim - len(kernel) + axis - 2 for axis in axes])
        return in_groups(backwards, part.groups, most=most)

    def mean_squares(self, part: TransposedConvolution, x: Tensor) -> Tensor:
        """Sum what each weight is multiplied with, by the gradient of a weight of zeros."""
        shape = (part.groups, *part.weight.shape[1:])
        with torch.enable_grad():
            weight = torch.zeros(shape, device=x.device, requires_grad=True)
            output = part.with_weight(x.square(), weight, None)
            (total,) = torch.autograd.grad(output.sum(), weight)
        return total * part.groups / output.numel()


def _spread(part: TransposedConvolution, x: Tensor) -> Tensor:
    """Return the input with ``stride - 1`` zeros between its pixels, and those around them."""
    how = part.sliding
    sizes = [(n - 1) * s + 1 for n, s in zip(x.shape[2:], how.strides, strict=True)]
    wide = x.new_zeros(*x.shape[:2], *sizes)
    wide[(slice(None), slice(None), *(slice(None, None, step) for step in how.strides))] = x
    sides: list[int] = []
    for axis in reversed(range(len(sizes))):
        whole = how.dilations[axis] * (part.weight.shape[2 + axis] - 1)
        sides += [whole - how.before[axis], whole - how.after[axis] + how.more[axis]]
    return functional.pad(wide, sides)


def _steps(x_LBI: Tensor, lengths_B: Tensor) -> Tensor:
    """Return at which steps ``(L, B)`` an example has not ended."""
    return torch.arange(len(x_LBI), device=x_LBI.device)[:, None] < lengths_B.to(x_LBI.device)


class RecurrentView(WeightView):
    """An LSTM or a GRU: at every step, and in each direction, its gates read input and state."""

    kind = Recurrent
    channel_axis = -1
    is_affine = False
    sets_stage = False

    def is_normalised(self, part: Recurrent, output: Tensor) -> bool:
        """Return False: gates are not an output."""
        return False

    def groups(self, part: Recurrent) -> int:
        """Return the directions, each with a state of its own."""
        return part.directions

    def sizes(self, part: Recurrent) -> tuple[int, int]:
        """Return the numbers of inputs and of hidden units of one direction."""
        return part.input_size, part.hidden_size

    def resize_(self, part: Recurrent, *, inputs: int, outputs: int, groups: int) -> None:
        """Set the numbers of inputs, of hidden units, and of directions."""
        part.input_size, part.hidden_size, part.directions = inputs, outputs, groups

    def positions(self, part: Recurrent, x: Tensor | tuple[Tensor, ...], output: object) -> int:
        """Return the steps of all sequences."""
        return prod((x if isinstance(x, Tensor) else x[0]).shape[:2])

    @torch.no_grad()
    def columns(
        self, part: Recurrent, x: Tensor | tuple[Tensor, ...], *, most: int | None = None
    ) -> Tensor:
        """Return what the gates of each direction have read: the input and the state before."""
        x_LBI, *given = (x,) if isinstance(x, Tensor) else x
        # The method itself, not the call: hooks have run already.
        every_LDBH = part.forward(x_LBI, *given)[0]
        first_DBH = part.first_states(x_LBI, given)[0]
        read: list[Tensor] = []
        for direction in range(part.directions):
            state_LBH, first_1BH = every_LDBH[:, direction], first_DBH[direction][None]
            before = (first_1BH, state_LBH[:-1]) if direction == 0 else (state_LBH[1:], first_1BH)
            seen_LBK = torch.cat([x_LBI, torch.cat(before)], dim=2)
            read.append(
                seen_LBK[_steps(x_LBI, given[0])] if part.has_lengths else seen_LBK.flatten(0, 1)
            )
        x_DNK = torch.stack(read)
        return x_DNK[:, taken(x_DNK.shape[1], most, x_DNK.device)]

    def inputs(self, part: Recurrent, x: Tensor | tuple[Tensor, ...]) -> Tensor:
        """Return inputs and states, those of all directions one below the other."""
        return self.columns(part, x).flatten(0, 1)

    def run_length(self, part: Recurrent) -> int:
        """Return a number that divides inputs and hidden units: no group may hold both."""
        return gcd(part.input_size, part.hidden_size)

    def mean_squares(self, part: Recurrent, x: Tensor | tuple[Tensor, ...]) -> Tensor:
        """Return the mean square of inputs and states, ``(S, K)``."""
        return self.columns(part, x).square().mean(1)


class EmbeddingView(WeightView):
    """An embedding: a product with vectors that are 1 at one word and 0 elsewhere."""

    kind = EmbeddingTable
    channel_axis = -1
    is_affine = False
    reads_channels = False
    sets_stage = False

    def is_normalised(self, part: EmbeddingTable, output: Tensor) -> bool:
        """Return False: axis 1 is the position of a word."""
        return False

    def groups(self, part: EmbeddingTable) -> int:
        """Return 1: every number of a word may come from any word."""
        return 1

    def sizes(self, part: EmbeddingTable) -> tuple[int, int]:
        """Return the numbers of words, and of the numbers for each."""
        return part.weight.shape[1], len(part.weight)

    def resize_(self, part: EmbeddingTable, *, inputs: int, outputs: int, groups: int) -> None:
        """Do nothing: the weight says it all."""

    def positions(self, part: EmbeddingTable, x: Tensor, output: Tensor) -> int:
        """Return 0: words are looked up, nothing is multiplied."""
        return 0

    def columns(self, part: EmbeddingTable, x: Tensor, *, most: int | None = None) -> Tensor:
        """Return a vector per word: long ones, so ask for ``most`` of them."""
        words_N = x.flatten()
        picked_N = words_N[taken(len(words_N), most, x.device)]
        return functional.one_hot(picked_N, part.weight.shape[1]).to(part.weight)[None]

    def moments(self, part: EmbeddingTable, x: Tensor, *, most: int) -> tuple[Tensor, int]:
        """Count how often each word occurs: no two occur in one place."""
        return self._counts(part, x)[None], x.numel()

    def mean_squares(self, part: EmbeddingTable, x: Tensor) -> Tensor:
        """Return the shares of the words, ``(1, N)``."""
        return self._counts(part, x)[None] / x.numel()

    def _counts(self, part: EmbeddingTable, x: Tensor) -> Tensor:
        return torch.bincount(x.flatten(), minlength=part.weight.shape[1]).to(part.weight)
