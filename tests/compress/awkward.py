"""Networks as people write them, which the techniques, the tracer or the exporter may not take."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

CHANNELS, SIDE, CLASSES = 3, 8, 5


class Awkward(nn.Module):
    """A convolution, something awkward made of its 8 channels, and logits of their means."""

    has_maps = True

    def __init__(self, *, outputs: int = 8) -> None:
        super().__init__()
        self.conv = nn.Conv2d(CHANNELS, 8, 3, padding=1)
        self.out = nn.Linear(outputs, CLASSES)

    def forward(self, x: Tensor) -> object:
        y = self.middle(functional.relu(self.conv(x)))
        return self.out(y.mean((2, 3)) if self.has_maps else y)

    def middle(self, y: Tensor) -> Tensor:
        return y


class UnlikeBranches(Awkward):
    """Maps and means of them, flattened and concatenated."""

    has_maps = False

    def __init__(self) -> None:
        super().__init__(outputs=4 * 16 + 6)
        self.left, self.right = nn.Conv2d(8, 4, 3, stride=2, padding=1), nn.Conv2d(8, 6, 1)

    def middle(self, y: Tensor) -> Tensor:
        return torch.cat([self.left(y).flatten(1), self.right(y).mean((2, 3))], 1)


class ConcatInput(Awkward):
    """What a layer puts out beside the image that it read."""

    def __init__(self) -> None:
        super().__init__()
        self.next = nn.Conv2d(8 + CHANNELS, 8, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.cat([functional.relu(self.conv(x)), x], 1)
        return self.out(self.next(y).mean((2, 3)))


class Shuffled(Awkward):
    """A PixelShuffle."""

    def __init__(self) -> None:
        super().__init__(outputs=2)
        self.shuffle = nn.PixelShuffle(2)

    def middle(self, y: Tensor) -> Tensor:
        return self.shuffle(y)


class Dense(Awkward):
    """A dense block: norms read concatenations of what others read too."""

    def __init__(self) -> None:
        super().__init__(outputs=16)
        self.norms = nn.ModuleList(nn.BatchNorm2d(8 + 4 * i) for i in range(2))
        self.convs = nn.ModuleList(nn.Conv2d(8 + 4 * i, 4, 3, padding=1) for i in range(2))

    def middle(self, y: Tensor) -> Tensor:
        for norm, conv in zip(self.norms, self.convs, strict=True):
            y = torch.cat([y, conv(functional.relu(norm(y)))], 1)
        return y


class Attention(Awkward):
    """Self-attention over the pixels, its projections in one bare parameter."""

    has_maps = False

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

    def middle(self, y: Tensor) -> Tensor:
        tokens = y.flatten(2).transpose(1, 2)
        return self.attention(tokens, tokens, tokens)[0].mean(1)


class Transformer(Awkward):
    """A class token, positions, and torch's own encoder layer."""

    has_maps = False

    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.randn(1, 1, 8))
        self.positions = nn.Parameter(torch.randn(1, 65, 8))
        self.encoder = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)

    def middle(self, y: Tensor) -> Tensor:
        tokens = y.flatten(2).transpose(1, 2)
        tokens = torch.cat([self.token.expand(y.shape[0], -1, -1), tokens], 1) + self.positions
        return self.encoder(tokens)[:, 0]


class Counts(Awkward):
    """Knows how many images there are as a number, which a trace freezes."""

    has_maps = False

    def middle(self, y: Tensor) -> Tensor:
        return torch.cat([y.mean((2, 3)), torch.zeros(len(y), 1)], 1)[:, :8]


class Recurrent(Awkward):
    """Rows of pixels read by a recurrent layer."""

    has_maps = False

    def __init__(self, kind: type[nn.RNNBase]) -> None:
        super().__init__()
        self.rows = kind(64, 8, batch_first=True)

    def middle(self, y: Tensor) -> Tensor:
        return self.rows(y.transpose(1, 2).flatten(2))[0][:, -1]


class Tokens(nn.Module):
    """Pixels are numbers of a table."""

    def __init__(self, kind: type[nn.Module]) -> None:
        super().__init__()
        self.table = kind(256, 8)
        self.out = nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        y = self.table(x.long().clamp(0, 255).flatten(1))
        return self.out(y.mean(1) if y.ndim == 3 else y)


class Upsampled(Awkward):
    """A transposed convolution."""

    def __init__(self) -> None:
        super().__init__(outputs=6)
        self.up = nn.ConvTranspose2d(8, 6, 2, stride=2)

    def middle(self, y: Tensor) -> Tensor:
        return self.up(y)


class Deep(Awkward):
    """A convolution over three axes."""

    def __init__(self) -> None:
        super().__init__(outputs=4)
        self.deep = nn.Conv3d(1, 4, 3, padding=1)

    def middle(self, y: Tensor) -> Tensor:
        return self.deep(y[:, None]).mean(2)


class Functional(Awkward):
    """A convolution written as a function of a bare parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel = nn.Parameter(torch.randn(8, 8, 3, 3) / 8)

    def middle(self, y: Tensor) -> Tensor:
        return functional.conv2d(y, self.kernel, padding=1)


class Standardised(nn.Conv2d):
    """Uses its weight in another form than it holds it in."""

    def forward(self, input: Tensor) -> Tensor:
        weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        return functional.conv2d(input, weight, self.bias, padding=1)


class Replaced(Awkward):
    """One layer of some other kind between the two."""

    def __init__(self, kind: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.other = kind()

    def middle(self, y: Tensor) -> Tensor:
        return self.other(y)


class Tied(Awkward):
    """Two layers with one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, 1)
        self.second.weight = self.first.weight
        self.norm = nn.BatchNorm2d(8)

    def middle(self, y: Tensor) -> Tensor:
        return self.second(functional.relu(self.norm(self.first(y))))


class OneNormTwice(Awkward):
    """One BatchNorm behind two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, 1)
        self.norm = nn.BatchNorm2d(8)

    def middle(self, y: Tensor) -> Tensor:
        return self.norm(self.second(functional.relu(self.norm(self.first(y)))))


class Twice(Awkward):
    """One layer that runs twice."""

    def __init__(self) -> None:
        super().__init__()
        self.again = nn.Conv2d(8, 8, 1)

    def middle(self, y: Tensor) -> Tensor:
        return self.again(functional.relu(self.again(y)))


class NamedInput(Awkward):
    """Hands a layer its input by name."""

    def __init__(self) -> None:
        super().__init__()
        self.next = nn.Conv2d(8, 8, 1)

    def middle(self, y: Tensor) -> Tensor:
        return self.next(input=y)


class Unused(Awkward):
    """Runs a layer whose answer nobody reads."""

    def __init__(self) -> None:
        super().__init__()
        self.idle = nn.Conv2d(8, 8, 1)

    def middle(self, y: Tensor) -> Tensor:
        self.idle(y)
        return y


class Decides(Awkward):
    """Goes one way or another, as the images tell."""

    def middle(self, y: Tensor) -> Tensor:
        return y * 2 if float(y.detach().mean()) > 0.3 else -y


class Spectrum(Awkward):
    """Asks for an operator that the exporter does not know."""

    def middle(self, y: Tensor) -> Tensor:
        return torch.linalg.pinv(y)


class OddPool(Awkward):
    """A pool whose windows differ in size."""

    def middle(self, y: Tensor) -> Tensor:
        return functional.adaptive_avg_pool2d(y, 3)


class Viewed(Awkward):
    """``view`` behind a convolution."""

    has_maps = False

    def __init__(self) -> None:
        super().__init__(outputs=8 * SIDE * SIDE)

    def middle(self, y: Tensor) -> Tensor:
        return y.view(y.size(0), -1)


class InPlace(Awkward):
    """Changes in place what a norm has read."""

    def __init__(self) -> None:
        super().__init__()
        self.next, self.norm = nn.Conv2d(8, 8, 1), nn.BatchNorm2d(8)

    def middle(self, y: Tensor) -> Tensor:
        z = self.next(y)
        return self.norm(z) + z.relu_()


class Raises(Awkward):
    """Forgot something."""

    def middle(self, y: Tensor) -> Tensor:
        return y + self.forgotten


class RaisesInTraining(Awkward):
    """Forgot something, but for answers."""

    def middle(self, y: Tensor) -> Tensor:
        return y + self.forgotten if self.training else y


class Answers(Awkward):
    """Puts its logits into something else."""

    def __init__(self, wrap: Callable[[Tensor], object]) -> None:
        super().__init__()
        self.wrap = wrap

    def forward(self, x: Tensor) -> object:
        return self.wrap(super().forward(x))


class Sequences(Awkward):
    """A BatchNorm behind a linear layer on sequences: it normalises positions, not channels."""

    has_maps = False

    def __init__(self) -> None:
        super().__init__()
        self.mixed, self.norm = nn.Linear(8, 8), nn.BatchNorm1d(8)

    def middle(self, y: Tensor) -> Tensor:
        return self.norm(self.mixed(y.mean(2).transpose(1, 2))).mean(1)


class Activated(nn.BatchNorm2d):
    """A norm that does more."""

    def forward(self, input: Tensor) -> Tensor:
        return functional.relu(super().forward(input)) - 0.1


ZOO: dict[str, Callable[[], nn.Module]] = {
    "unlike branches": UnlikeBranches,
    "the input beside": ConcatInput,
    "pixel shuffle": Shuffled,
    "dense block": Dense,
    "attention": Attention,
    "transformer": Transformer,
    "counts images": Counts,
    "lstm": partial(Recurrent, nn.LSTM),
    "gru": partial(Recurrent, nn.GRU),
    "rnn": partial(Recurrent, nn.RNN),
    "embedding": partial(Tokens, nn.Embedding),
    "embedding bag": partial(Tokens, nn.EmbeddingBag),
    "transposed": Upsampled,
    "three axes": Deep,
    "functional": Functional,
    "standardised": partial(Replaced, partial(Standardised, 8, 8, 3)),
    "weight norm": partial(
        Replaced, lambda: nn.utils.parametrizations.weight_norm(nn.Conv2d(8, 8, 1))
    ),
    "group norm": partial(Replaced, lambda: nn.GroupNorm(2, 8)),
    "instance norm": partial(Replaced, lambda: nn.InstanceNorm2d(8, affine=True)),
    "layer norm of maps": partial(Replaced, lambda: nn.LayerNorm([8, SIDE, SIDE])),
    "activated norm": partial(Replaced, lambda: nn.Sequential(nn.Conv2d(8, 8, 1), Activated(8))),
    "no statistics": partial(
        Replaced,
        lambda: nn.Sequential(nn.Conv2d(8, 8, 1), nn.BatchNorm2d(8, track_running_stats=False)),
    ),
    "tied weights": Tied,
    "one norm twice": OneNormTwice,
    "one layer twice": Twice,
    "named input": NamedInput,
    "unused layer": Unused,
    "decides": Decides,
    "unknown operator": Spectrum,
    "odd pool": OddPool,
    "viewed": Viewed,
    "in place": InPlace,
    "norm of sequences": Sequences,
    "raises": Raises,
    "raises in training": RaisesInTraining,
    "tuple": partial(Answers, lambda y: (y, y)),
    "dict": partial(Answers, lambda y: {"logits": y}),
    "one axis too many": partial(Answers, lambda y: y[..., None]),
    "detached": partial(Answers, lambda y: y.detach()),
    "double": lambda: Awkward().double(),
    "no layers": lambda: nn.Sequential(nn.Flatten(), nn.LazyBatchNorm1d(), nn.Softmax(1)),
    "only linear": lambda: nn.Sequential(nn.Flatten(), nn.Linear(CHANNELS * SIDE * SIDE, CLASSES)),
}
