"""Parquet files that nobody should read as they say, each with words of its refusal."""

from __future__ import annotations

import datetime
import decimal
import io

import pyarrow as pa
import pyarrow.parquet as pq

ROWS = 6007
"""A number that stands nowhere in a footer by chance."""
MISSING = r"row 4, column '{}' is missing \(null\)"


def saved(columns, **options):
    """The file of a table, which is one, or names of columns with their values."""
    table = columns if isinstance(columns, pa.Table) else pa.table(columns)
    pq.write_table(table, file := io.BytesIO(), **options)
    return file.getvalue()


def good(**columns):
    return saved({"a": [1.5, 2.5] * 3, "y": ["u", "v"] * 3} | columns)


def parts(data):
    """What lies before the footer, and the footer."""
    start = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    return data[:start], data[start:-8]


def joined(before, footer):
    return before + footer + len(footer).to_bytes(4, "little") + b"PAR1"


def number(value):
    """A whole number as a footer has it: zigzag, seven bits a byte."""
    rest, found = (value << 1) ^ (value >> 63), bytearray()
    while rest > 127:
        found.append(rest & 127 | 128)
        rest >>= 7
    return bytes([*found, rest])


def lying(data, true, said, count=-1):
    """The file with another number in its footer."""
    before, footer = parts(data)
    assert number(true) in footer
    return joined(before, footer.replace(number(true), number(said), count))


def long(**options):
    columns = {"a": [float(n) for n in range(ROWS)], "y": ["u"] * ROWS}
    return saved(columns, use_dictionary=["y"], compression="none", **options)


def size_lying(said, column=0):
    data = long()
    group = pq.ParquetFile(io.BytesIO(data)).metadata.row_group(0)
    return lying(data, group.column(column).total_uncompressed_size, said)


def texts(*values):
    """A dictionary of texts that is written as such, and 2,000 rows of the first."""
    codes = pa.array([0] * 2000, pa.int32())
    labels = pa.DictionaryArray.from_arrays(codes, pa.array(values))
    return saved({"a": [1.0] * 2000, "y": labels})


def not_utf8():
    labels = pa.array([b"\xff", b"\xfe"] * 3, pa.binary())
    as_text = pa.Array.from_buffers(pa.string(), 6, labels.buffers())
    return good(y=as_text)


def nested(depth):
    values = pa.array([1.0] * 6)
    for _ in range(depth):
        values = pa.StructArray.from_arrays([values], names=["x"])
    return good(b=values)


def zeroed():
    before, footer = parts(long())
    return joined(before[:4] + bytes(len(before) - 4), footer)


def twice():
    labels = pa.array(["u", "v"])
    return saved(pa.Table.from_arrays([labels, labels, labels], names=["a", "a", "y"]))


_GOOD, _LONG = good(), long()
_BEFORE, _FOOTER = parts(_GOOD)
_DAMAGED, _CUT = "the parquet file is damaged", "the parquet file is cut"
_FOOTER_WORDS, _KINDS = "says that its footer has", "a table is of numbers, with texts as labels"
_DAY = datetime.datetime(2026, 11, 30)  # noqa: DTZ001 - as pandas has them

BROKEN = {
    "only a magic": (b"PAR1", _CUT),
    "two magics": (b"PAR1PAR1", _CUT),
    "half": (_GOOD[: len(_GOOD) // 2], _CUT),
    "one byte short": (_GOOD[:-1], _CUT),
    "bytes behind": (_GOOD + b"\n", _CUT),
    "another end": (_GOOD[:-4] + b"PAR2", _CUT),
    "a footer of 4 GiB": (_GOOD[:-8] + b"\xff" * 4 + b"PAR1", _FOOTER_WORDS),
    "a footer longer than the file": (
        _GOOD[:-8] + len(_GOOD).to_bytes(4, "little") + b"PAR1",
        _FOOTER_WORDS,
    ),
    "no footer": (joined(_BEFORE, b""), _DAMAGED),
    "a footer of zeros": (joined(_BEFORE, bytes(len(_FOOTER))), _DAMAGED),
    "a footer of noise": (joined(_BEFORE, bytes(range(256)) * 4), _DAMAGED),
    "half a footer": (joined(_BEFORE, _FOOTER[: len(_FOOTER) // 2]), _DAMAGED),
    "only a footer": (joined(b"PAR1", _FOOTER), _DAMAGED),
    "pages of zeros": (zeroed(), _DAMAGED),
    "a footer that is encrypted": (b"PARE" + _GOOD[4:-4] + b"PARE", "is encrypted"),
}
LYING = {
    "more rows": (lying(_LONG, ROWS, 3 * ROWS), _DAMAGED),
    "more rows in all than in groups": (lying(_LONG, ROWS, ROWS + 1, 1), _DAMAGED),
    "no rows in all": (lying(_LONG, ROWS, 0, 1), _DAMAGED),
    "negative rows": (lying(_LONG, ROWS, -ROWS), _DAMAGED),
    "too many rows": (lying(_LONG, ROWS, 10**15), "1,000,000,000,000,000 rows: at most"),
    "bytes below zero": (size_lying(-5), r"column 'a' has -5 bytes in row group 1"),
    "a terabyte of numbers": (size_lying(2**40), "1,099,511,627,776 bytes in row group 1"),
    "a gigabyte of texts": (size_lying(2**30, column=1), "column 'y' has 1,073,741,824 bytes"),
}
HUGE = {
    "a text of 5 MB, 2,000 times": (texts("u" * 5_000_000), "a text of 5,000,000 bytes"),
    "a text of 70 MB": (texts("u" * 70_000_000), r"70,000,\d+ bytes in row group 1"),
    "a long text that no row has": (texts("u", "v" * 1000), "a text of 1,000 bytes"),
    "more texts than classes": (
        saved({"a": [1.0] * 10_001, "y": list(map(str, range(10_001)))}),
        "more than 10,000 different texts",
    ),
    "too many columns": (
        saved({"y": ["u"]} | {f"a{n}": [1.0] for n in range(4096)}),
        "1 to 4096 columns",
    ),
    "one column": (saved({"y": ["u"]}), "features must name columns"),
    "deep": (nested(40), "deep|depth"),
    "no rows": (saved({"a": pa.array([], "f4"), "y": pa.array([], "str")}), "no row of train"),
}
VALUES = {
    "a null among numbers": (good(a=[1, 2, 3, None, 5, 6]), MISSING.format("a")),
    "a null among labels": (good(y=["u", "v", "u", None, "u", "v"]), MISSING.format("y")),
    "an empty label": (good(y=["u", " "] * 3), "row 2, column 'y': the label is missing"),
    "NaN": (good(a=[1, 2, float("nan")] * 2), "row 3, column 'a' is 'nan'"),
    "an infinity": (good(a=[1.0, -float("inf")] * 3), "row 2, column 'a' is '-inf'"),
    "texts as features": (good(b=["7", "wide"] * 3), "row 2, column 'b' is 'wide', which is no n"),
    "a split of another name": (good(split=["train"] * 5 + ["dev-x"]), "row 6, column 'split'"),
    "texts that are not UTF-8": (not_utf8(), _DAMAGED),
    "two columns of a name": (twice(), "two columns are called 'a'"),
    "a column without a name": (good(**{" ": [1] * 6}), "no name of a column"),
    "lists": (good(b=[[1.0]] * 6), f"column 'b' holds list<.*{_KINDS}"),
    "structs": (nested(1), f"column 'b' holds struct<.*{_KINDS}"),
    "maps": (good(b=pa.array([[("k", 1)]] * 6, pa.map_("str", "i4"))), "holds map<"),
    "decimals": (good(b=[decimal.Decimal("1.25")] * 6), r"'b' holds decimal128\(3, 2\)"),
    "timestamps": (good(b=[_DAY] * 6), r"'b' holds timestamp\["),
    "days": (good(b=[_DAY.date()] * 6), "'b' holds date32"),
    "times": (good(b=[_DAY.time()] * 6), "'b' holds time64"),
    "durations": (good(b=[datetime.timedelta(1)] * 6), r"'b' holds duration\["),
    "bytes": (good(b=[b"\x00"] * 6), "'b' holds binary"),
    "bytes of one length": (good(b=pa.array([b"ab"] * 6, pa.binary(2))), "holds fixed_size_binary"),
    "nothing but nulls": (good(b=pa.nulls(6)), "'b' holds null"),
}
FILES = BROKEN | LYING | HUGE | VALUES
