"""A tag for every word: entities, or parts of speech.

Legend: N sentences, B sentences of a batch, L words of the longest, K tags.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from compress.tasks import loading, loss
from compress.tasks.answers import Answers, Tags
from compress.tasks.images import ImageData
from compress.tasks.kinds.sequence_labelling.entities import OUTSIDE, entities, has_scheme
from compress.tasks.task import Batch, Task
from compress.values.measurement import Metric
from compress.values.schedule import PLAIN, LossSettings

PADDED = -100
"""The tag of a place behind the last word, which counts for nothing."""


@dataclass(frozen=True)
class SequenceLabelling(Task):
    """Outputs are ``(B, L, K)``; the tag of a word is that of its largest logit.

    ``names`` are those of the K tags; without names a tag is its number, and 0 is outside.
    """

    name = "sequence_labelling"
    primary = "entity_f1"
    view_revision = 1
    names: tuple[str, ...] = ()
    settings: LossSettings = PLAIN
    counts: tuple[int, ...] = ()
    """Training words of each tag."""

    @property
    def answers(self) -> Answers:
        """Logits of tags, of which that of words outside of entities counts less."""
        return Tags(outside=self._outside)

    @property
    def _outside(self) -> int | None:
        if not self.names:
            return 0
        return self.names.index(OUTSIDE) if OUTSIDE in self.names else None

    def of(self, data: ImageData) -> SequenceLabelling:
        """Take the names of the tags, and count the words of each."""
        tags = data.train.y_N[data.train.y_N != PADDED]
        counts_K = torch.bincount(tags, minlength=data.num_classes)
        return replace(self, names=data.class_names, counts=tuple(counts_K.tolist()))

    def adjusted(self, settings: LossSettings) -> SequenceLabelling:
        """Return the task with another loss."""
        return replace(self, settings=settings)

    def load(self, path: Path) -> ImageData:
        """Read an npz dataset, as ``compress.tasks.loading`` does. Raises InvalidData."""
        return loading.load(path, task=self.name)

    def loss(self, outputs_BK: Tensor, batch: Batch) -> Tensor:
        """Return the mean cross-entropy over words."""
        wanted_BL = batch.labels_B[:, : outputs_BK.shape[1]]
        return loss.cross_entropy(
            outputs_BK.flatten(0, 1),
            wanted_BL.flatten(),
            settings=self.settings,
            counts=self.counts,
        )

    def quality(
        self, outputs_NK: NDArray[np.float32], labels_N: NDArray[Any]
    ) -> Mapping[Metric, float]:
        """Return the F1 of entities (``entities``: lenient, micro average) and of words."""
        is_word_NL = labels_N != PADDED
        right_NL = (outputs_NK.argmax(axis=-1) == labels_N) & is_word_NL
        return {
            "entity_f1": self.primary_of(outputs_NK, labels_N),
            "token_accuracy": float(right_NL.sum() / max(1, is_word_NL.sum())),
        }

    def primary_of(self, outputs_NK: NDArray[np.float32], labels_N: NDArray[Any]) -> float:
        """Return ``2 TP / (2 TP + FP + FN)`` over the entities of all sentences."""
        return self._entity_f1(outputs_NK.argmax(axis=-1), labels_N, labels_N != PADDED)

    def agreement(
        self,
        outputs_NK: NDArray[np.float32],
        reference_NK: NDArray[np.float32],
        *,
        tie: float | NDArray[np.float64] | None = None,
    ) -> float:
        """Return the share of places with the reference's tag.

        With ``tie``, one number for each place or for all, a tag also agrees if the reference rates
        it within that of its own best.
        """
        rows_RK, wanted_RK = (x.reshape(-1, x.shape[-1]) for x in (outputs_NK, reference_NK))
        chosen_R = rows_RK.argmax(axis=1)
        if tie is None:
            return float((chosen_R == wanted_RK.argmax(axis=1)).mean())
        rated_R = np.take_along_axis(wanted_RK, chosen_R[:, None], axis=1)[:, 0]
        return float((wanted_RK.max(axis=1) - rated_R <= tie).mean())

    def _entity_f1(
        self, said_NL: NDArray[np.int64], true_NL: NDArray[Any], is_word_NL: NDArray[np.bool_]
    ) -> float:
        hits = said = true = 0
        for said_L, true_L, is_word_L in zip(said_NL, true_NL, is_word_NL, strict=True):
            found, wanted = self._found(said_L[is_word_L]), self._found(true_L[is_word_L])
            hits += len(found & wanted)
            said += len(found)
            true += len(wanted)
        return 2 * hits / (said + true) if said + true else 0.0

    def _found(self, tags_L: NDArray[Any]) -> set[tuple[str, int, int]]:
        is_named = bool(self.names)
        tags = [self.names[tag] if is_named else (str(tag) if tag else OUTSIDE) for tag in tags_L]
        return set(entities(tags, scheme=is_named and has_scheme(self.names)))
