"""Texts of strangers in Markdown and in programs: what they hold stays text there."""

from __future__ import annotations

import re
import string
import unicodedata

MOST_CHARACTERS = 200
_HIDDEN = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))
"""Unicode's categories of what is not seen: controls, turns of direction, halves, line ends."""
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "\\": "&#92;", "@": "&#64;"}
_PLAIN = frozenset(string.ascii_letters + string.digits + " _-+=(),;")
_PLAIN_IN_MARKDOWN = frozenset(string.ascii_letters + string.digits + " ,;%/.()-:\"'")
_LINKED = re.compile(r"(www)\.|:(?=//)", re.IGNORECASE)
"""What some dialects make a link of without being asked."""
_LEADING = re.compile(r"^(-|\d+(?=[.)]))")
"""What begins an entry of a list."""


def visible(text: str, *, most: int = MOST_CHARACTERS) -> str:
    """Return the text in one line of at most so many characters, hidden ones as ``\\u....``."""
    kept = text if len(text) <= most else f"{text[: most - 1]}…"
    return "".join(_seen(character) for character in kept)


def _seen(character: str) -> str:
    if unicodedata.category(character) not in _HIDDEN:
        return character
    return f"\\u{ord(character):04x}"


def markdown(text: str, *, most: int = MOST_CHARACTERS) -> str:
    """Return the text as Markdown that shows it: no link, no HTML, no cell of a table ends."""
    shown = "".join(map(_in_markdown, visible(text, most=most).strip()))
    unlinked = _LINKED.sub(lambda found: f"{found[1]}\\." if found[1] else "&#58;", shown)
    return _LEADING.sub(lambda found: "\\-" if found[1] == "-" else f"{found[1]}\\", unlinked)


def _in_markdown(character: str) -> str:
    if character in _ENTITIES:
        return _ENTITIES[character]
    is_plain = character in _PLAIN_IN_MARKDOWN or ord(character) > 127
    return character if is_plain else f"\\{character}"


def python_literal(text: str) -> str:
    """Return the text as a literal of Python, in ASCII."""
    return ascii(text)


def javascript_literal(text: str) -> str:
    """Return the text as a literal of JavaScript, in ASCII, that can stand in a page, too."""
    return '"' + "".join(_unit(c) if c not in _PLAIN else c for c in _whole(text)) + '"'


def java_literal(text: str) -> str:
    """Return the text as a literal of Java: no backslash begins an escape before others do."""
    return '"' + "".join(_in_java(c) for c in _whole(text)) + '"'


def cpp_literal(text: str) -> str:
    """Return the text's UTF-8 as a literal of C++; octal escapes end after three digits."""
    data = _whole(text).encode()
    return '"' + "".join(chr(b) if chr(b) in _PLAIN else f"\\{b:03o}" for b in data) + '"'


def _in_java(character: str) -> str:
    if character in _PLAIN:
        return character
    return f"\\{ord(character):03o}" if ord(character) < 128 else _unit(character)


def _unit(character: str) -> str:
    data = character.encode("utf-16-be")
    return "".join(f"\\u{data[at] * 256 + data[at + 1]:04x}" for at in range(0, len(data), 2))


def _whole(text: str) -> str:
    """Without halves of characters, which no encoding holds."""
    return text.encode("utf-8", "replace").decode()
