"""Networks with ports that are no single row of images and logits, as exported files."""

from __future__ import annotations

import functools
import io
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from compress.network.network import Network
from compress.network.signature import ExampleShape
from compress.network.sources import onnx

WORDS, LENGTH = 30, 9


def _mean(table: nn.Embedding, ids: Tensor) -> Tensor:
    mask = (ids != 0).float().unsqueeze(-1)
    return (table(ids) * mask).sum(1) / mask.sum(1).clamp(min=1)


class Pair(nn.Module):
    """Two sequences of ids by one table, compared."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(WORDS, 8)
        self.wide, self.head = nn.Linear(32, 16), nn.Linear(16, 3)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        u, v = _mean(self.table, first), _mean(self.table, second)
        return self.head(torch.relu(self.wide(torch.cat([u, v, (u - v).abs(), u * v], 1))))


class Encoder(nn.Module):
    """Words and kinds of words by two tables, their mean by the mask, and both answers."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.kinds = nn.Embedding(WORDS, 8), nn.Embedding(2, 8)
        self.wide, self.head = nn.Linear(8, 16), nn.Linear(16, 4)

    def forward(self, ids: Tensor, mask: Tensor, kinds: Tensor) -> tuple[Tensor, Tensor]:
        x = self.head(torch.relu(self.wide(self.words(ids) + self.kinds(kinds))))
        mask = mask.float().unsqueeze(-1)
        return x, (x * mask).sum(1) / mask.sum(1).clamp(min=1)


class Attention(nn.Module):
    """One head whose scores of padding are hidden by a huge number, and the mean of all words."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.qkv = nn.Embedding(WORDS, 16), nn.Linear(16, 48)
        self.out, self.head = nn.Linear(16, 16), nn.Linear(16, 3)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        query, key, value = self.qkv(self.words(ids)).chunk(3, dim=-1)
        hidden = (1 - mask.float())[:, None] * torch.finfo(torch.float32).min
        weights = torch.softmax(query @ key.transpose(1, 2) / 4 + hidden, -1)
        x = torch.relu(self.out(weights @ value)) * mask.float().unsqueeze(-1)
        return self.head(x.sum(1) / mask.float().sum(1, keepdim=True))


class Mixed(nn.Module):
    """An image, a row and a number; a map, a row, a number for each example and whole numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.row = nn.Conv2d(3, 8, 3, padding=1), nn.Linear(5, 8)
        self.last = nn.Conv2d(8, 2, 3, padding=1)

    def forward(self, image: Tensor, row: Tensor, one: Tensor) -> tuple[Tensor, ...]:
        x = self.first(image) + self.row(row)[:, :, None, None] + one[:, None, None, None]
        x = torch.relu(x)
        return self.last(x), x.mean((2, 3)), one * 2, x.mean((2, 3)).argmax(1)


class Tagger(nn.Module):
    """Probabilities of tags for every id."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.wide, self.head = (
            nn.Embedding(WORDS, 8),
            nn.Linear(8, 16),
            nn.Linear(16, 4),
        )

    def forward(self, ids: Tensor) -> Tensor:
        return torch.softmax(self.head(torch.relu(self.wide(self.table(ids)))), -1)


class Unmasked(nn.Module):
    """The mean of all places, padding among them, with positions cut from a table."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.wide = nn.Embedding(WORDS, 8), nn.Linear(8, 16)
        self.places, self.head = nn.Parameter(torch.randn(1, 64, 8)), nn.Linear(16, 3)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.table(ids) + self.places[:, : ids.shape[1]]
        return self.head(torch.relu(self.wide(x)).mean(1))


class Detector(nn.Module):
    """A map of one channel for images of any size."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 1, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(self.last(torch.relu(self.first(x))))


class Regressor(nn.Module):
    """One number for each row, without an axis of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.wide, self.head = nn.Linear(6, 16), nn.Linear(16, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.wide(x))).squeeze(1)


class Pixels(nn.Module):
    """Bytes as floats between 0 and 1, and numbers of 40 channels."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.head = nn.Conv2d(40, 8, 3), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.first(x.float() / 255)).mean((2, 3)))


@dataclass(frozen=True, kw_only=True)
class PortCase:
    """A network, its inputs and outputs by their names, each with its open axes."""

    make: Callable[[], nn.Module]
    given: Callable[[], tuple[Tensor, ...]]
    inputs: Mapping[str, Mapping[int, str]]
    outputs: Mapping[str, Mapping[int, str]]
    input_shape: ExampleShape | None = None
    """What is said of sizes that the file leaves open."""


def _ids(count: int) -> tuple[Tensor, ...]:
    return tuple(torch.randint(1, WORDS, (2, LENGTH)) for _ in range(count))


def _batched(*names: str, **more: Mapping[int, str]) -> dict[str, Mapping[int, str]]:
    return {name: {0: "N", **more.get(name, {})} for name in names}


_LENGTH = {1: "L"}
_HF = ("input_ids", "attention_mask", "token_type_ids")
CASES: Mapping[str, PortCase] = {
    "pair": PortCase(
        make=Pair,
        given=lambda: _ids(2),
        inputs=_batched("first", "logits", first=_LENGTH, logits={1: "M"}),
        outputs=_batched("input"),
        input_shape=(2, LENGTH),
    ),
    "encoder": PortCase(
        make=Encoder,
        given=lambda: (*_ids(1), torch.ones(2, LENGTH).long(), torch.zeros(2, LENGTH).long()),
        inputs=_batched(*_HF, **dict.fromkeys(_HF, _LENGTH)),
        outputs=_batched("states", "sentence", states=_LENGTH),
        input_shape=(LENGTH,),
    ),
    "attention": PortCase(
        make=Attention,
        given=lambda: (*_ids(1), torch.ones(2, LENGTH).long()),
        inputs=_batched(*_HF[:2], **dict.fromkeys(_HF[:2], _LENGTH)),
        outputs=_batched("scores"),
        input_shape=(LENGTH,),
    ),
    "mixed": PortCase(
        make=Mixed,
        given=lambda: (torch.randn(2, 3, 6, 6), torch.randn(2, 5), torch.randn(2)),
        inputs=_batched("image", "row", "input"),
        outputs=_batched("logits", "mean", "twice", "best"),
    ),
    "tagger": PortCase(
        make=Tagger,
        given=lambda: _ids(1),
        inputs=_batched("words", words=_LENGTH),
        outputs=_batched("tags", tags=_LENGTH),
        input_shape=(LENGTH,),
    ),
    "unmasked": PortCase(
        make=Unmasked,
        given=lambda: _ids(1),
        inputs=_batched("words", words=_LENGTH),
        outputs=_batched("scores"),
        input_shape=(LENGTH,),
    ),
    "detector": PortCase(
        make=Detector,
        given=lambda: (torch.randn(2, 3, 8, 8),),
        inputs=_batched("image", image={2: "H", 3: "W"}),
        outputs=_batched("map", map={2: "H", 3: "W"}),
        input_shape=(3, 8, 8),
    ),
    "regressor": PortCase(
        make=Regressor,
        given=lambda: (torch.randn(2, 6),),
        inputs=_batched("row"),
        outputs=_batched("value"),
    ),
    "pixels": PortCase(
        make=Pixels,
        given=lambda: (torch.randint(0, 255, (2, 40, 8, 8), dtype=torch.uint8),),
        inputs=_batched("pixels"),
        outputs=_batched("scores"),
    ),
}


@functools.cache
def exported(name: str) -> bytes:
    """The network of that name as a file, with the same weights every time."""
    case, buffer = CASES[name], io.BytesIO()
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.manual_seed(0)
        torch.onnx.export(
            case.make().eval(),
            case.given(),
            buffer,
            dynamo=False,
            opset_version=17,
            input_names=list(case.inputs),
            output_names=list(case.outputs),
            dynamic_axes={name: dict(axes) for name, axes in (case.inputs | case.outputs).items()},
        )
    return buffer.getvalue()


def network_of(name: str) -> Network:
    """The network of that name for examples of the size of the case."""
    shape = shape_of(name)
    return onnx.load(exported(name), input_shape=shape, num_classes=None)


def shape_of(name: str) -> ExampleShape:
    """The shape of one example."""
    given = CASES[name].input_shape
    if given is not None:
        return given
    parts = CASES[name].given()
    if len(parts) == 1:
        return tuple(parts[0].shape[1:])
    return (sum(part[0].numel() for part in parts),)


def examples(name: str, count: int, *, seed: int = 0) -> Tensor:
    """Examples as this program holds them: ids end with zeros, whole numbers are whole."""
    generator = torch.Generator().manual_seed(seed)
    shape = (count, *shape_of(name))
    if name in {"pair", "encoder", "attention", "tagger", "unmasked"}:
        x = torch.randint(1, WORDS, shape, generator=generator).float()
        lengths = 1 + torch.arange(count) % shape[-1]
        keep = torch.arange(shape[-1]) < lengths[:, None]
        return x * (keep if x.ndim == 2 else keep[:, None])
    if name == "pixels":
        return torch.randint(0, 256, shape, generator=generator).float()
    return torch.randn(shape, generator=generator)


def parts_of(name: str, x: Tensor) -> Sequence[Tensor]:
    """What the module takes for such examples."""
    if name == "pair":
        return x[:, 0].long(), x[:, 1].long()
    if name == "attention":
        return x.long(), (x != 0).long()
    if name == "encoder":
        return x.long(), (x != 0).long(), torch.zeros_like(x).long()
    if name == "mixed":
        return x[:, :108].reshape(-1, 3, 6, 6), x[:, 108:113], x[:, 113]
    return (x.long() if name in {"tagger", "unmasked"} else x,)
