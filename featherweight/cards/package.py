"""What a text needs beside a network: words, settings, and a ``tokenizer.json`` made of them."""

from __future__ import annotations

from pydantic import BaseModel, Field

from compress.tasks.formats import words
from compress.tasks.formats.tokenising import PARTS
from compress.tasks.formats.words import TextSettings

_SETTINGS, _TOKENIZER = "settings.json", "tokenizer.json"
_WORDS = f"{PARTS[0]}.txt"


class Package(BaseModel, frozen=True, extra="forbid"):
    """The files that belong to a network of texts, by name; all are UTF-8."""

    files: dict[str, str] = Field(
        description="settings.json, and words.txt with a word a line, the first being id 2, and "
        "empty lines for words that the network does not tell apart; or tokenizer.json."
    )
    num_bytes: int = Field(description="Of all of them: package_bytes is the network's with these.")

    @property
    def settings(self) -> TextSettings:
        """How texts become ids."""
        return TextSettings.model_validate_json(self.files[_SETTINGS])


def written(package: Package) -> dict[str, bytes]:
    """Return all files to write beside a network, by name.

    If words are whole ones, a ``tokenizer.json`` for Hugging Face's libraries is made of them: it
    says the same once more, and is not counted.
    """
    found = {name: text.encode() for name, text in package.files.items()}
    settings = package.settings
    if settings.cut in ("text", "words") and _WORDS in found:
        found[_TOKENIZER] = words.tokenizer_json(settings, words.read(found[_WORDS]))
    return found
