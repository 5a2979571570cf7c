"""What the configs of all drawn families have in common. Torch-free.

Legend: N examples, L words of a text, F features of a word, C channels, D columns.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated, ClassVar, Literal, Self, TypeAlias

from pydantic import BaseModel, Field

from compress.network.families.drawn.sketch import INT64, InitialValues, Sketch
from compress.network.signature import INPUT, Examples, ExampleShape
from compress.values.errors import InvalidCandidate

WORD_SPREAD = 0.1
"""The deviation of new rows of a table. Means of rows of deviation 1 bury what training adds."""
FIRST_WORD = 2
"""0 is padding and 1 is the unknown word, so that a table has two rows at least."""
MOST_WORDS = 2_000_000
MOST_FEATURES = 16
_MOST_VALUES = 2**28
"""Of a table: 1 GiB in float32."""
OF_ARRAYS = frozenset({"classification", "multilabel", "regression"})
"""Tasks with one row of answers for an example, which tells classes, labels or amounts."""
OF_TEXTS = OF_ARRAYS | {"text_classification"}
OF_PAIRS = OF_ARRAYS | {"text_matching"}
PER_WORD = frozenset({"sequence_labelling"})
"""Tasks with one row of answers for every word."""

Width = Annotated[int, Field(ge=1, le=4096)]
Widths: TypeAlias = Annotated[tuple[Width, ...], Field(max_length=16)]
Words: TypeAlias = Annotated[int, Field(ge=FIRST_WORD, le=MOST_WORDS)]


def words_field() -> int | None:
    """Return the field of the rows of a table, which are those of the data if it is left out."""
    return Field(
        default=None,
        ge=FIRST_WORD,
        le=MOST_WORDS,
        description="Rows of the table, padding and the unknown word among them; left out: one for "
        "every id of the data.",
    )


class DrawnConfig(BaseModel, frozen=True, extra="forbid"):
    """A network that is drawn for its data.

    ``axes`` are the axes of the examples that it takes: a number is of that size, a letter of any.
    ``open_axes`` of them, counted from 1 behind the batch, may have another size in every run of
    its files. ``takes_ids`` is whether its values are ids, of which 0 is padding. ``tasks`` are
    those that it may be trained for.
    """

    axes: ClassVar[tuple[int | str, ...]]
    open_axes: ClassVar[tuple[int, ...]] = ()
    takes_ids: ClassVar[bool] = False
    tasks: ClassVar[frozenset[str]] = OF_ARRAYS
    family: str = ""
    predicts: Literal["scores", "numbers"] | None = Field(
        default=None,
        description="Scores of classes, labels or tags, or numbers in the unit of the targets; "
        "left out: as the task has them.",
    )

    @abstractmethod
    def draw(self, sketch: Sketch, num_classes: int) -> str:
        """Add the network behind the input of the sketch, and return the name of its answer."""

    def fitted(self, examples: Examples) -> Self:
        """Return the config with all that the data decides.

        Raises InvalidCandidate if the network is for another task, or for examples of other axes
        or of values that are no ids.
        """
        if examples.task not in self.tasks:
            raise InvalidCandidate(
                f"networks of the family {self.family} are for {_listed(self.tasks)}, not for "
                f"{examples.task}"
            )
        if not _are(self.axes, examples.input_shape):
            raise InvalidCandidate(
                f"networks of the family {self.family} take examples of axes {shown(self.axes)}, "
                f"not of shape {shown(examples.input_shape)}"
            )
        numbers = examples.task == "regression"
        return self.model_copy(update={"predicts": "numbers" if numbers else "scores"})


class IdsConfig(DrawnConfig, frozen=True, extra="forbid"):
    """A network of ids; ``words`` are the rows of its table."""

    open_axes: ClassVar[tuple[int, ...]] = (1,)
    takes_ids: ClassVar[bool] = True
    tasks: ClassVar[frozenset[str]] = OF_TEXTS
    words: int | None = words_field()
    width: int = Field(default=64, ge=1, le=1024, description="Numbers of a word.")

    def fitted(self, examples: Examples) -> Self:
        """Return the config with as many words as the data has, if it says none itself."""
        found = super().fitted(examples)
        words = found.words or max(_ids(found.family, examples))
        check_table(found.family, words, found.width)
        _check_rows(found.family, words, max(_ids(found.family, examples)))
        return found.model_copy(update={"words": words})

    @property
    def rows(self) -> int:
        """The rows of the table. Raises InvalidCandidate if no data has decided that."""
        if self.words is None:
            raise InvalidCandidate(f"{self.family}: words is not known: say how many there are")
        return self.words

    def embedded(self, sketch: Sketch, ids: str) -> str:
        """Add the table; the numbers of every word follow along a new last axis."""
        start = InitialValues(kind="normal", size=WORD_SPREAD)
        return sketch.table("words", self.rows, self.width, ids, start=start)


def _ids(family: str, examples: Examples) -> tuple[int, ...]:
    if examples.words is None:
        raise InvalidCandidate(
            f"networks of the family {family} take ids, whole numbers from 0 on of which 0 is "
            "padding, and the values of the data are none: send texts, or the ids of words"
        )
    return examples.words


def features_of(
    family: str, words: tuple[int, ...] | None, examples: Examples, *, width: int
) -> tuple[int, ...]:
    """Return the rows of the table of each feature of ``(F, L)``.

    Raises InvalidCandidate if there are not as many as features, or too few or too many rows.
    """
    features, found = examples.input_shape[0], _ids(family, examples)
    if not 1 <= features <= MOST_FEATURES:
        raise InvalidCandidate(
            f"{family}: words of the data have {features} features, 1 to {MOST_FEATURES} are taken"
        )
    if len(found) != features:
        found = (max(found),) * features
    rows = words or found
    if len(rows) != features:
        raise InvalidCandidate(
            f"{family}: words has {len(rows)} numbers, and a word of the data has {features} "
            "features: name one for each, or leave it out"
        )
    for own, least in zip(rows, found, strict=True):
        check_table(family, own, width)
        if words is None or len(examples.words or ()) == features:
            _check_rows(family, own, least)
    return rows


def check_table(family: str, words: int, width: int) -> None:
    """Raise InvalidCandidate for a table that is too large."""
    if words > MOST_WORDS or words * width > _MOST_VALUES:
        raise InvalidCandidate(
            f"{family}: a table of {words:,} words by {width} numbers is too large, at most "
            f"{MOST_WORDS:,} words and {_MOST_VALUES:,} numbers are taken: number the ids from 1 "
            "on by falling frequency and leave the rarest out, or give it a smaller width"
        )


def _check_rows(family: str, words: int, found: int) -> None:
    if words < found:
        raise InvalidCandidate(
            f"{family}: words is {words:,}, and the data has ids up to {found - 1:,}: use at least "
            f"{found:,}, or leave it out"
        )


def ids_of(sketch: Sketch) -> str:
    """Add the ids as whole numbers."""
    return sketch.cast("ids", INPUT, INT64)


def mask_of(sketch: Sketch, ids: str) -> str:
    """Add what is 1 at words and 0 at padding, of the shape of the ids."""
    one = sketch.number("Min", "is_word", ids, 1, "int64")
    return sketch.cast("mask", one, 1)


def masked_mean(sketch: Sketch, name: str, values: str, mask: str) -> str:
    """Add the mean over the words of ``(..., L, D)``; that of no words at all is 0."""
    axis = len(sketch.shape(values)) - 2
    kept = masked(sketch, f"{name}.kept", values, mask, axis=axis + 1)
    total = sketch.reduced("ReduceSum", f"{name}.total", kept, axis)
    count = sketch.reduced("ReduceSum", f"{name}.count", mask, axis, keep=True)
    some = sketch.number("Max", f"{name}.some", count, 1.0, "float32")
    return sketch.pointwise("Div", name, total, some)


def masked(sketch: Sketch, name: str, values: str, mask: str, *, axis: int) -> str:
    """Add the values with zeros at padding; ``axis`` is what the mask lacks."""
    return sketch.pointwise("Mul", name, values, sketch.unsqueezed(f"{name}.mask", mask, axis))


def shown(axes: tuple[int | str, ...]) -> str:
    """Return axes as people write them."""
    return f"({', '.join(map(str, axes))}{',' if len(axes) == 1 else ''})"


def _are(axes: tuple[int | str, ...], shape: ExampleShape) -> bool:
    return len(axes) == len(shape) and all(
        isinstance(axis, str) or axis == size for axis, size in zip(axes, shape, strict=True)
    )


def _listed(words: frozenset[str]) -> str:
    *first, last = sorted(words)
    return f"{', '.join(first)} and {last}" if first else last
