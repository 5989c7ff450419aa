"""Reads the forms that pages send to HTTP triggers, those with files included."""

from __future__ import annotations

import logging
from typing import Any

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import Field, File, FormParser, parse_options_header

from dfnb.records.web import Form, UploadedFile, read_plain_form

_MOST_PARTS = 1_000

logging.getLogger("python_multipart").addHandler(logging.NullHandler())  # what it says of broken forms is in the error too


def read_form(content_type: str, body: bytes) -> Form:
    """The fields and files of a body; nothing if its type is no form's. ValueError if it is broken."""
    kind, options = parse_options_header(content_type)
    if kind != b"multipart/form-data" or not body:
        return read_plain_form(content_type, body)
    parts = _Parts()
    try:
        parser = FormParser(
            "multipart/form-data", parts.add_field, parts.add_file, parts.finish, boundary=options.get(b"boundary"),
            config={"MAX_MEMORY_FILE_SIZE": len(body) + 1},  # the body is in memory already: no copy of it on disk
        )  # fmt: skip
        parser.write(body)
        parser.finalize()
        parts.check()
    except FormParserError as error:
        raise ValueError(f"the form in the body of this request cannot be read: {error}") from None
    return parts.fields, parts.files


class _Parts:
    def __init__(self) -> None:
        self.fields: list[tuple[str, str]] = []
        self.files: list[tuple[str, UploadedFile]] = []
        self._is_whole = False

    def add_field(self, field: Field) -> None:
        self._count()
        self.fields.append((_text(field.field_name), _text(field.value)))

    def add_file(self, file: File) -> None:
        self._count()
        with file.file_object as stream:
            stream.seek(0)
            name, filename = _text(file.field_name), _text(file.file_name)
            self.files.append((name, UploadedFile(name, filename, file.content_type or "application/octet-stream", stream.read())))

    def finish(self) -> None:
        self._is_whole = True

    def check(self) -> None:
        if not self._is_whole:
            raise FormParserError("its end is missing")

    def _count(self) -> None:
        if len(self.fields) + len(self.files) >= _MOST_PARTS:
            raise FormParserError(f"it has more than {_MOST_PARTS:,} parts")


def _text(value: Any) -> str:
    return (value or b"").decode("utf-8", "replace")
