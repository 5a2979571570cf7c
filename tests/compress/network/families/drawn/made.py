"""Small networks of every drawn family, and made data that each can learn.

Legend: N examples, L words, F features.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from compress.network.families.drawn import catalog
from compress.network.families.drawn.catalog import DrawnArchitecture
from compress.network.network import Network
from compress.network.preprocessing import Normalisation
from compress.network.signature import Examples
from compress.network.sources import family
from compress.tasks.images import ImageData, Images
from compress.tasks.names import TaskName
from compress.tasks.registry import TASKS
from compress.tasks.task import Task
from compress.training.context import TrialContext

WORDS, LONGEST = 30, 9
CPU = torch.device("cpu")


@dataclass(frozen=True, kw_only=True)
class Case:
    """A network, its task and the shape of an example; ``chance`` is what knows nothing gets."""

    config: DrawnArchitecture
    task: TaskName
    shape: tuple[int, ...]
    classes: int
    chance: float
    epochs: int

    @property
    def examples(self) -> Examples:
        words = (WORDS,) if self.config.takes_ids else None
        return Examples(task=self.task, input_shape=self.shape, words=words)

    @property
    def fitted(self) -> DrawnArchitecture:
        return catalog.fitted(self.config, self.examples)

    def network(self, seed: int = 0) -> Network:
        return family.fresh(
            self.fitted,
            normalisation=Normalisation.identity_of(self.shape),
            input_shape=self.shape,
            num_classes=self.classes,
            seed=seed,
        )

    def data(self) -> ImageData:
        train, validation = (self.images(count, seed) for count, seed in ((768, 1), (128, 2)))
        return ImageData(train=train, validation=validation, test=None, num_classes=self.classes)

    def images(self, count: int, seed: int) -> Images:
        return _MADE[self.task](self, count, torch.Generator().manual_seed(seed))

    def context(self, data: ImageData) -> TrialContext:
        return TrialContext(data=data, device=CPU, seed=0, task=self.task_for(data), augment="none")

    def task_for(self, data: ImageData) -> Task:
        return TASKS[self.task].of(data)


def of(name, task, *shape, chance, classes=2, epochs=6, **settings) -> Case:
    config = catalog.DRAWN_BY_NAME[name].config(**settings)
    return Case(
        config=config, task=task, shape=shape, classes=classes, chance=chance, epochs=epochs
    )


def ids(count: int, length: int, generator: torch.Generator) -> Tensor:
    """``(N, L)`` of 1 to L words each, with zeros behind them."""
    words = torch.randint(2, WORDS, (count, length), generator=generator)
    lengths = torch.randint(1, length + 1, (count, 1), generator=generator)
    return words * (torch.arange(length) < lengths)


def _text(case: Case, count: int, generator: torch.Generator) -> Images:
    """Of a text, whether most of its words are in the first half of the vocabulary."""
    x_NL = ids(count, case.shape[-1], generator)
    first, last = (x_NL > 0) & (x_NL < WORDS // 2), x_NL >= WORDS // 2
    return Images(x_NCHW=x_NL.float(), y_N=(first.sum(1) > last.sum(1)).long())


def _pair(case: Case, count: int, generator: torch.Generator) -> Images:
    """Of two texts, whether their words come from the same half of the vocabulary."""
    half = WORDS // 2 - 1
    x_N2L = torch.stack([ids(count, case.shape[-1], generator) for _ in range(2)], 1)
    side_N2 = torch.randint(0, 2, (count, 2), generator=generator)
    words = (x_N2L - 2) % half + 2 + half * side_N2[..., None]
    x_N2L = torch.where(x_N2L > 0, words, 0)
    return Images(x_NCHW=x_N2L.float(), y_N=(side_N2[:, 0] == side_N2[:, 1]).long())


def _tags(case: Case, count: int, generator: torch.Generator) -> Images:
    """Of every word its number modulo three; of words with features, of the first one."""
    x = ids(count, case.shape[-1], generator)
    tags = torch.where(x > 0, x % case.classes, -100)
    if len(case.shape) > 1:
        others = [torch.where(x > 0, (x + i) % WORDS, 0) for i in range(1, case.shape[0])]
        x = torch.stack([x, *others], 1)
    return Images(x_NCHW=x.float(), y_N=tags)


def _numbers(case: Case, count: int, generator: torch.Generator) -> Images:
    """Of a row or a series, whether its first values are above zero."""
    x = torch.randn(count, *case.shape, generator=generator)
    return Images(x_NCHW=x, y_N=(x.reshape(count, case.shape[0], -1).mean(2)[:, 0] > 0).long())


def _amount(case: Case, count: int, generator: torch.Generator) -> Images:
    """Numbers far from zero, in a unit of their own."""
    x = torch.randn(count, *case.shape, generator=generator)
    y_N = 5000 + 300 * (x[:, 0] - 0.5 * x[:, 1])
    return Images(x_NCHW=x, y_N=y_N[:, None])


_MADE = {
    "text_classification": _text,
    "text_matching": _pair,
    "sequence_labelling": _tags,
    "classification": _numbers,
    "regression": _amount,
}
TEXT, PAIRS, TAGS = "text_classification", "text_matching", "sequence_labelling"
CASES: dict[str, Case] = {
    "word_bag": of("word_bag", TEXT, LONGEST, chance=0.6, epochs=20, width=12, hidden=8),
    "text_cnn": of("text_cnn", TEXT, LONGEST, chance=0.6, epochs=10, width=12, filters=8),
    "siamese_bag": of("siamese_bag", PAIRS, 2, LONGEST, chance=0.6, width=12, hidden=16),
    "recurrent_tagger": of(
        "recurrent_tagger", TAGS, LONGEST, chance=0.4, classes=3, width=12, hidden=8
    ),
    "recurrent_tagger, lstm": of(
        "recurrent_tagger", TAGS, LONGEST, chance=0.4, classes=3, width=12, hidden=8, cell="lstm"
    ),
    "feature_tagger": of(
        "feature_tagger", TAGS, 3, LONGEST, chance=0.4, classes=3, width=6, hidden=12
    ),
    "text_encoder": of(
        "text_encoder", TEXT, LONGEST, chance=0.6, width=16, heads=4, hidden=16, depth=1
    ),
    "text_encoder, words": of(
        "text_encoder", TAGS, LONGEST, chance=0.4, classes=3, width=16, heads=4, hidden=16, depth=1
    ),
    "mlp": of("mlp", "classification", 5, chance=0.6, hidden=(16, 12)),
    "mlp, numbers": of("mlp", "regression", 5, chance=0.2, classes=1, hidden=(16, 12)),
    "conv1d": of("conv1d", "classification", 3, 24, chance=0.6, filters=(8, 12)),
}
