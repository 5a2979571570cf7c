"""Files of texts that nobody should take as they are, each with words of its refusal."""

from __future__ import annotations

import io
import json

import pyarrow as pa
import pyarrow.parquet as pq

LONG = 2**20


def text_rows(**changed):
    rows = [{"text": f"some word{n}", "label": "ab"[n % 2], "split": "train"} for n in range(20)]
    rows[4] |= changed
    return jsonl(rows)


def pair_rows(**changed):
    rows = [
        {"premise": f"one{n}", "hypothesis": "two", "label": "ab"[n % 2], "split": "train"}
        for n in range(20)
    ]
    rows[4] |= changed
    return jsonl(rows)


def tag_rows(**changed):
    rows = [{"tokens": ["a", f"b{n}"], "tags": ["O", "B-X"], "split": "train"} for n in range(20)]
    rows[4] |= changed
    return jsonl(rows)


def jsonl(rows):
    return "\n".join(map(json.dumps, rows)).encode()


def lines(*some):
    return "\n".join(some).encode()


def parquet(**columns):
    pq.write_table(pa.table(columns), file := io.BytesIO(), use_dictionary=True)
    return file.getvalue()


def repeated(text, times):
    """A column of one text, which stands in the file and in memory once."""
    return pa.DictionaryArray.from_arrays(pa.array([0] * times, pa.int32()), [text])


GOOD = [json.dumps({"text": f"word{n} x", "label": "ab"[n % 2]}) for n in range(20)]
TEXTS = {
    "an empty text": (text_rows(text=""), r"line 5, column 'text' has no word"),
    "only blanks": (text_rows(text=" \t "), r"line 5, column 'text' has no word"),
    "only marks of order": (text_rows(text="\u3000"), r"line 5, column 'text' has no word"),
    "a null text": (text_rows(text=None), r"line 5, column 'text': .*got null"),
    "a list as text": (text_rows(text=["a"]), r"line 5, column 'text': expected a text, got a li"),
    "an object as text": (text_rows(text={"a": 1}), r"line 5, column 'text': .*got dict"),
    "half a character": (text_rows(text="a \ud800"), r"line 5, column 'text' holds half"),
    "half a character as label": (text_rows(label="\udfff"), r"line 5, column 'label' holds half"),
    "an empty label": (text_rows(label=" "), r"line 5, column 'label': the label is missing"),
    "a null label": (text_rows(label=None), r"line 5, column 'label': .*got null"),
    "a NaN as label": (text_rows(label=float("nan")), r"line 5, column 'label': .*missing"),
    "a list as label": (text_rows(label=["a"]), r"line 5, column 'label': expected a text"),
    "an unknown split": (text_rows(split="holdout"), r"line 5, column 'split': 'holdout' is none"),
    "a label of validation only": (
        text_rows(label="c", split="val"),
        r"line 5, column 'label': 'c' is the label of a row of validation and of none of train",
    ),
    "no row of train": (
        lines(*(json.dumps({"text": "a", "label": "b", "split": "test"}) for _ in range(4))),
        r"no row of train",
    ),
    "other keys": (lines(*GOOD, '{"text": "a"}'), r"line 21 has other keys"),
    "no json": (lines(*GOOD, "{text}"), r"line 21 is no JSON object"),
    "deep json": (lines(*GOOD, '{"text": ' + "[" * 200_000), r"line 21 is no JSON object"),
    "a huge number": (
        lines(*GOOD, '{"text": ' + "9" * 5000 + ', "label": "a"}'),
        r"line 21 is no JSON object",
    ),
    "a line of a megabyte": (text_rows(text="a " * LONG), r"line 5 has more than 1,048,576"),
    "a field of a csv that never ends": (
        lines("text,label", '"' + "a " * 70_000, "b,c"),
        r"cannot be read as csv",
    ),
    "a csv with too many fields": (lines("text,label", "a,b,c"), r"line 2 has 3 fields"),
    "a csv of numbers": (lines("1,2", "3,4"), r"first line must name the columns"),
    "one class": (
        lines(*(json.dumps({"text": f"a{n}", "label": "b"}) for n in range(20))),
        r"names 1 classes, expected at least 2",
    ),
    "no column of text": (
        lines('{"words": "a", "label": "b"}'),
        r"which column is text\? Say features: the table has words, label",
    ),
    "no column of labels": (lines('{"text": "a", "id": "b"}'), r"which column holds the labels"),
    "two columns of labels": (
        lines('{"text": "a", "label": "b", "target": "c"}'),
        r"which column holds the labels",
    ),
    "not UTF-8 further on": (
        lines(*GOOD).ljust(9000, b"\n") + b'{"text": "\xff", "label": "a"}',
        r"must be UTF-8",
    ),
    "UTF-16": ("text,label\na,b\n".encode("utf-16"), r"takes csv or jsonl in UTF-8"),
    "a null in parquet": (
        parquet(text=["a", None], label=["x", "y"]),
        r"row 2, column 'text' is missing",
    ),
    "bytes in parquet": (parquet(text=[b"a"], label=["x"]), r"column 'text' holds binary"),
    "a long text in parquet": (
        parquet(text=["a" * (LONG + 1)], label=["x"]),
        r"column 'text' holds a text of 1,048,577 bytes",
    ),
    "one long text thousands of times": (
        parquet(text=repeated("a" * 2**21, 3000), label=["x"] * 3000),
        r"column 'text' holds a text of 2,097,152 bytes",
    ),
    "lists of lists": (parquet(text=[[["a"]]], label=["x"]), r"column 'text' .*list"),
    "nothing but texts in parquet": (parquet(text=["a"], id=["x"]), r"which column holds the la"),
}
PAIRS = {
    "a missing side": (pair_rows(hypothesis=None), r"line 5, column 'hypothesis': .*got null"),
    "an empty side": (pair_rows(premise=""), r"line 5, column 'premise' has no word"),
    "half a character": (pair_rows(premise="\ud800"), r"line 5, column 'premise' holds half"),
    "one text": (text_rows(), r"which two columns hold the texts\?"),
    "a new label": (
        pair_rows(label="c", split="test"),
        r"line 5, column 'label': 'c' is the label of a row of test",
    ),
}
TAGS = {
    "fewer tags": (tag_rows(tags=["O"]), r"line 5 has 2 words and 1 tags"),
    "more tags": (tag_rows(tags=["O"] * 3), r"line 5 has 2 words and 3 tags"),
    "no words": (tag_rows(tokens=[], tags=[]), r"line 5, column 'tokens' is empty"),
    "an empty word": (tag_rows(tokens=["a", " "]), r"line 5, column 'tokens': number 1 of the"),
    "an empty tag": (tag_rows(tags=["O", ""]), r"line 5, column 'tags': number 1 of the list"),
    "a null word": (tag_rows(tokens=["a", None]), r"line 5, column 'tokens': .*got null"),
    "a nested list": (tag_rows(tokens=["a", ["b"]]), r"line 5, column 'tokens': .*got list"),
    "half a character": (tag_rows(tokens=["a", "\ud800"]), r"line 5, column 'tokens' holds half"),
    "a list without an end": (
        tag_rows(tokens=["a"] * 70_000, tags=["O"] * 70_000),
        r"line 5, column 'tokens' has a list of 70,000",
    ),
    "a tag of validation only": (
        tag_rows(tags=["O", "B-Y"], split="val"),
        r"line 5, column 'tags': 'B-Y' is the label of a row of validation",
    ),
    "a word without a tag": (lines("a O", "b", "", "c O"), r"line 2 is 'b', expected a word"),
    "a tab without a tag": (lines("a\tO", "b\t"), r"line 2 is 'b', expected a word"),
    "a sentence without an end": (
        lines(*["a O"] * 70_000),
        r"a sentence has more than 65,536 words",
    ),
    "a long line": (lines("a O", "a" * (LONG + 2) + " O"), r"line 2 has more than 1,048,576"),
    "a null list in parquet": (
        parquet(tokens=[["a"], None], tags=[["O"], ["O"]]),
        r"row 2, column 'tokens' is missing",
    ),
    "a null in a list in parquet": (
        parquet(tokens=[["a"], ["b", None]], tags=[["O"], ["O", "B"]]),
        r"row 2, column 'tokens' has a missing value",
    ),
    "a list in parquet without an end": (
        parquet(tokens=[["a"] * 70_000], tags=[["O"] * 70_000]),
        r"column '(tokens|tags)' has a list of 70,000",
    ),
}
HOSTILE = {
    f"{task}: {name}": (task, content, words)
    for task, some in (
        ("text_classification", TEXTS),
        ("text_matching", PAIRS),
        ("sequence_labelling", TAGS),
    )
    for name, (content, words) in some.items()
}
