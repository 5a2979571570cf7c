"""Make texts by code for the example job of a task on texts.

    python examples/texts.py text_classification
    featherweight up --job examples/text_classification.yaml

The tasks are text_classification, text_matching and sequence_labelling; each gets a NAME.jsonl next
to this file. The networks are drawn for the data and trained by the job.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

NOISE = 0.06
"""Share of examples that say one thing and are labelled as the other."""
SPLITS = {"train": 2000, "validation": 500, "test": 500}
PRAISE = (
    "brilliant charming clever delightful fresh funny gripping lovely moving superb tender warm"
)
BLAME = "awful boring clumsy dull empty flat lazy noisy shallow slow stale weak"
PARTS = "acting cast dialogue ending music pace photography plot score script story title"
FRAMES = (
    "the {part} is {word}",
    "i found the {part} {word}",
    "{word} {part}",
    "what a {word} {part}",
)
ACTIONS = ("reset change", "cancel stop", "find locate", "send post", "buy order", "repair fix")
THINGS = ("password", "ticket", "invoice", "phone", "parcel", "account", "bicycle", "licence")
ASKED = (
    "how do i {action} my {thing}",
    "where can i {action} a {thing}",
    "help me {action} the {thing}",
)
STARTS = ("ba", "de", "fo", "gi", "ka", "lu", "mi", "no", "ra", "su", "te", "vo")
MIDDLES = ("ra", "ni", "lo", "me", "du", "si")
PLACES, PEOPLE = ("burg", "ville", "ton", "ford"), ("ek", "ova", "ini", "sen")
SENTENCES = (
    "{person} went to {place} with {person}",
    "in {place} , {person} met her sister",
    "nobody in {place} knows the train to {place}",
    "the letter of {person} came on monday",
    "we waited for an hour and then went home",
    "we saw {person} and {place}",
    "{person} is far away",
    "{place} is far away",
)
Row = Mapping[str, Any]


def text_classification(draw: random.Random) -> Row:
    """Reviews of films: most of what they say is praise, or is blame."""
    is_good = draw.random() < 0.5
    count = draw.choice((1, 3, 5))
    against = draw.randrange(count // 2 + 1)
    said = [is_good] * (count - against) + [not is_good] * against
    draw.shuffle(said)
    clauses = [
        draw.choice(FRAMES).format(
            part=draw.choice(PARTS.split()), word=draw.choice((PRAISE if one else BLAME).split())
        )
        for one in said
    ]
    is_called_good = is_good != (draw.random() < NOISE)
    return {"text": " , ".join(clauses) + " .", "label": "good" if is_called_good else "bad"}


def text_matching(draw: random.Random) -> Row:
    """Two questions, which ask for the same thing or not."""
    action, thing = draw.choice(ACTIONS), draw.choice(THINGS)
    is_same = draw.random() < 0.5
    other = (action, thing)
    while not is_same and other == (action, thing):
        other = draw.choice(((draw.choice(ACTIONS), thing), (action, draw.choice(THINGS))))
    first, second = (
        draw.choice(ASKED).format(action=draw.choice(actions.split()), thing=found)
        for actions, found in ((action, thing), other)
    )
    is_called_same = is_same != (draw.random() < NOISE)
    label = "same" if is_called_same else "other"
    return {"question1": first, "question2": second, "label": label}


def sequence_labelling(draw: random.Random) -> Row:
    """Sentences with people and places, of which most names are new ones."""
    tokens, tags = [], []
    for word in draw.choice(SENTENCES).split():
        kind = {"{person}": "PER", "{place}": "LOC"}.get(word)
        if kind is None:
            tokens.append(word)
            tags.append("O")
            continue
        if kind == "PER" and draw.random() < 0.4:
            tokens.append(_name(draw, ("a", "o", "e")))
            tags.append("B-PER")
        is_person = (kind == "PER") != (draw.random() < NOISE)
        tokens.append(_name(draw, PEOPLE if is_person else PLACES))
        tags.append("I-PER" if tags and tags[-1] == "B-PER" else f"B-{kind}")
    return {"tokens": tokens, "tags": tags}


def _name(draw: random.Random, ends: tuple[str, ...]) -> str:
    middle = "".join(draw.choice(MIDDLES) for _ in range(draw.choice((1, 2))))
    return (draw.choice(STARTS) + middle + draw.choice(ends)).capitalize()


MADE: Mapping[str, Callable[[random.Random], Row]] = {
    "text_classification": text_classification,
    "text_matching": text_matching,
    "sequence_labelling": sequence_labelling,
}


def main(folder: Path, task: str, share: float = 1.0) -> None:
    """Write ``TASK.jsonl`` to the folder; ``share`` of all rows."""
    draw = random.Random(0)
    with (folder / f"{task}.jsonl").open("w", encoding="utf-8") as file:
        for split, count in SPLITS.items():
            for _ in range(int(share * count)):
                file.write(json.dumps({"split": split, **MADE[task](draw)}) + "\n")


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in MADE:
        raise SystemExit(__doc__)
    main(Path(__file__).parent, sys.argv[1])
