"""Every drawn family, and the networks of their configs as graphs and outlines. Torch-free."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, TypeAlias

import numpy as np
from pydantic import Field

from compress.network.families.drawn.config import DrawnConfig, shown
from compress.network.families.drawn.conv1d import Conv1d
from compress.network.families.drawn.feature_tagger import FeatureTagger
from compress.network.families.drawn.mlp import Mlp
from compress.network.families.drawn.recurrent_tagger import RecurrentTagger
from compress.network.families.drawn.siamese_bag import SiameseBag
from compress.network.families.drawn.sketch import Drawing, Sketch
from compress.network.families.drawn.text_cnn import TextCnn
from compress.network.families.drawn.text_encoder import TextEncoder
from compress.network.families.drawn.word_bag import WordBag
from compress.network.graph import outline as graph_outline
from compress.network.outline import Outline
from compress.network.signature import (
    BATCH,
    OUTPUT,
    Examples,
    ExampleShape,
    Port,
    Signature,
)
from compress.values.errors import InvalidCandidate

DrawnArchitecture: TypeAlias = Annotated[
    WordBag | TextCnn | SiameseBag | RecurrentTagger | FeatureTagger | TextEncoder | Mlp | Conv1d,
    Field(discriminator="family"),
]
"""The configs of all drawn families, told apart by ``family``."""
DEVIATION, MEAN = "target_deviation", "target_mean"
"""What the constants end in that say the unit of the targets."""
_MOST_OUTLINES = 64
_IDS = "input_ids"
"""What published networks of text call the ids of words."""
_VALUES = "input"


@dataclass(frozen=True, kw_only=True)
class DrawnFamily:
    """One line of the table of drawn families."""

    name: str
    config: type[DrawnConfig]
    summary: str


DRAWN: tuple[DrawnFamily, ...] = (
    DrawnFamily(
        name="word_bag",
        config=WordBag,
        summary="The mean of the words of a text, behind it a linear layer or two.",
    ),
    DrawnFamily(
        name="text_cnn",
        config=TextCnn,
        summary="Convolutions over the words of a text, of each the largest answer.",
    ),
    DrawnFamily(
        name="siamese_bag",
        config=SiameseBag,
        summary="Pairs of texts by one table: what their means have in common.",
    ),
    DrawnFamily(
        name="recurrent_tagger",
        config=RecurrentTagger,
        summary="BiGRU or BiLSTM: a tag for every word.",
    ),
    DrawnFamily(
        name="feature_tagger",
        config=FeatureTagger,
        summary="Convolutions over words, their ends and their shapes: a tag for every word.",
    ),
    DrawnFamily(
        name="text_encoder",
        config=TextEncoder,
        summary="A small transformer: an answer for a text, or a tag for every word.",
    ),
    DrawnFamily(
        name="mlp",
        config=Mlp,
        summary="Linear layers for rows of a table.",
    ),
    DrawnFamily(
        name="conv1d",
        config=Conv1d,
        summary="Convolutions along time, for series and features of sound.",
    ),
)
DRAWN_BY_NAME: dict[str, DrawnFamily] = {family.name: family for family in DRAWN}


def draw(
    architecture: DrawnArchitecture, *, input_shape: ExampleShape, num_classes: int
) -> Drawing:
    """Draw the network for examples of that shape; the config is fitted to the data.

    Raises InvalidCandidate for a config that is not.
    """
    _check_axes(architecture, input_shape)
    sketch = Sketch(input_shape=input_shape)
    answer = architecture.draw(sketch, num_classes)
    if architecture.predicts == "numbers":
        answer = _in_units(sketch, answer, num_classes)
    return sketch.finished(answer)


def _in_units(sketch: Sketch, answer: str, count: int) -> str:
    """Add what turns answers of deviation 1 into those of the targets, once these are known."""
    deviation = sketch.constant(f"answers.{DEVIATION}", np.ones(count), np.float32)
    mean = sketch.constant(f"answers.{MEAN}", np.zeros(count), np.float32)
    scaled = sketch.pointwise("Mul", "answers.scaled", answer, deviation)
    return sketch.pointwise("Add", "answers.moved", scaled, mean)


def signature(
    architecture: DrawnArchitecture, *, input_shape: ExampleShape, num_classes: int
) -> Signature:
    """Return how its files take examples and answer: ids as int64, and texts of any length."""
    drawing = draw(architecture, input_shape=input_shape, num_classes=num_classes)
    ids, opened = architecture.takes_ids, architecture.open_axes
    length = {architecture.axes[axis - 1] for axis in opened}
    taken = Port(
        name=_IDS if ids else _VALUES,
        dtype="int64" if ids else "float32",
        shape=(1, *input_shape),
        dynamic=(0, *opened),
        axes=(BATCH, *(str(architecture.axes[axis - 1]) for axis in opened)) if opened else (),
    )
    per_word = len(drawing.shapes[OUTPUT]) > 2
    answered = Port(
        name=OUTPUT,
        shape=tuple(1 if isinstance(size, str) else size for size in drawing.shapes[OUTPUT]),
        dynamic=(0, 1) if per_word else (0,),
        axes=(BATCH, *map(str, length)) if per_word else (),
    )
    return Signature(inputs=(taken,), outputs=(answered,))


@lru_cache(maxsize=_MOST_OUTLINES)
def outline(
    architecture: DrawnArchitecture, *, input_shape: ExampleShape, num_classes: int
) -> Outline:
    """Describe the network without drawing its weights.

    Raises InvalidCandidate for a config that is not fitted to such examples.
    """
    drawing = draw(architecture, input_shape=input_shape, num_classes=num_classes)
    found = graph_outline.with_channels(drawing.graph, drawing.bound(1), drawing.bound(2))
    ports = signature(architecture, input_shape=input_shape, num_classes=num_classes)
    return found.model_copy(update={"signature": ports})


def fitted(architecture: DrawnArchitecture, examples: Examples) -> DrawnArchitecture:
    """Return the config with all that the data decides.

    Raises InvalidCandidate for data that it is not for, naming the families that are.
    """
    try:
        return architecture.fitted(examples)
    except InvalidCandidate as error:
        others = [name for name in names_for(examples) if name != architecture.family]
        hint = f"; families for this data: {', '.join(others)}" if others else ""
        raise InvalidCandidate(f"{error}{hint}") from error


def names_for(examples: Examples) -> tuple[str, ...]:
    """Return the drawn families whose networks can be trained on such data."""
    return tuple(family.name for family in DRAWN if _fits(family.config, examples))


def _fits(config: type[DrawnConfig], examples: Examples) -> bool:
    try:
        config().fitted(examples)
    except InvalidCandidate:
        return False
    return True


def _check_axes(architecture: DrawnArchitecture, input_shape: ExampleShape) -> None:
    if len(input_shape) != len(architecture.axes):
        raise InvalidCandidate(
            f"networks of the family {architecture.family} take examples of axes "
            f"{shown(architecture.axes)}, not of shape {shown(input_shape)}"
        )
