"""Read a form with one file: piece by piece, on a thread, the file straight into the store.

The parser goes through hostile pieces byte by byte and the file is hashed on the way, so neither
belongs in the event loop. A form needs to hold little, so everything is bounded.
"""

from __future__ import annotations

from collections.abc import Callable

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header
from starlette.requests import Request

from service.errors import BodyInvalid, UnsupportedMediaType
from service.http import body_parsing
from store.files.file_store import Incoming

MAX_FIELD_BYTES = 64 * 1024
_MAX_CONTENT_TYPE = 300
_MAX_PARTS = 4
_MEDIA_TYPE = "multipart/form-data"
_FILE = "file"


class FormReader:
    """A form while it arrives: its texts by name, and its file if there is one."""

    def __init__(self, boundary: bytes, open_file: Callable[[], Incoming]) -> None:
        """Read parts between ``boundary``; the file's bytes go to the result of ``open_file``."""
        self.texts: dict[str, str] = {}
        self.file: Incoming | None = None
        self.file_name = ""
        self._open_file = open_file
        self._is_whole = False
        self._header, self._value, self._disposition = b"", b"", b""
        self._name, self._is_file, self._text = "", False, bytearray()
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin_part,
                "on_header_field": self._add_header,
                "on_header_value": self._add_value,
                "on_header_end": self._end_header,
                "on_headers_finished": self._end_headers,
                "on_part_data": self._add_data,
                "on_part_end": self._end_part,
                "on_end": self._end,
            },
        )

    def write(self, piece: bytes) -> None:
        """Read the next piece. Raises BodyInvalid, FileTooLarge."""
        try:
            self._parser.write(piece)
        except FormParserError as error:
            raise BodyInvalid(f"the form could not be read: {error}") from error

    def finish(self) -> None:
        """Raise BodyInvalid unless the form is complete."""
        if not self._is_whole:
            raise BodyInvalid("the form could not be read: it ends before its last boundary")

    def drop(self) -> None:
        """Remove the file's bytes, unless the store has kept them."""
        if self.file is not None:
            self.file.drop()

    def _begin_part(self) -> None:
        self._name, self._is_file, self._text = "", False, bytearray()
        self._disposition = b""

    def _add_header(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _add_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = self._value
        self._header, self._value = b"", b""

    def _end_headers(self) -> None:
        _, options = parse_options_header(self._disposition)
        self._name = _decoded(options.get(b"name", b""), what="the name of a part")
        # By its name, too: not every sender gives a file a name of its own.
        self._is_file = b"filename" in options or self._name == _FILE
        if not self._name:
            raise BodyInvalid("every part of the form needs a name in its Content-Disposition")
        if self._name in self.texts or self._name == self.file_name:
            raise BodyInvalid(f"the part {self._name[:80]!r} stands twice in the form")
        if len(self.texts) + (self.file is not None) >= _MAX_PARTS:
            raise BodyInvalid(f"the form has more than {_MAX_PARTS} parts")
        if self._is_file and self.file is not None:
            raise BodyInvalid("the form has more than one file")
        if self._is_file:
            self.file, self.file_name = self._open_file(), self._name

    def _add_data(self, data: bytes, start: int, end: int) -> None:
        if self._is_file and self.file is not None:
            self.file.write(data[start:end])
            return
        self._text += data[start:end]
        if len(self._text) > MAX_FIELD_BYTES:
            raise BodyInvalid(
                f"the part {self._name[:80]!r} is longer than {MAX_FIELD_BYTES} bytes; a file "
                "needs a file name"
            )

    def _end_part(self) -> None:
        if not self._is_file:
            what = f"the part {self._name[:80]!r}"
            self.texts[self._name] = _decoded(bytes(self._text), what=what)

    def _end(self) -> None:
        self._is_whole = True


def boundary(request: Request) -> bytes:
    """Return the boundary between the form's parts. Raises UnsupportedMediaType."""
    told = request.headers.get("content-type", "")
    if body_parsing.media_type(request) != _MEDIA_TYPE or len(told) > _MAX_CONTENT_TYPE:
        raise UnsupportedMediaType(f"expected {_MEDIA_TYPE}, got {told[:100] or 'no content type'}")
    _, options = parse_options_header(told)
    if not options.get(b"boundary"):
        raise BodyInvalid("the form could not be read: its content type has no boundary")
    return options[b"boundary"]


def _decoded(text: bytes, *, what: str) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError as error:
        raise BodyInvalid(f"{what} must be UTF-8") from error
