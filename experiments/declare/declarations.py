"""Declarations as JSON and back: run.json, which opens a run's folder to any later analysis.

run.json and manifest.json say of which format they are. Format 1 says nothing of that, nor what of the draft an experiment is held against.
"""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from experiments.declare import files

T = TypeVar("T")
_TEXTUAL = (IPv6Address, IPv6Network)
_LONGEST_REASON = 300

FORMAT = 2
"""The format of the files written now."""


class _Versioned(msgspec.Struct):
    format: int = 1


class DeclarationError(ValueError):
    """A declaration cannot be read; the message names the file and what is wrong with it."""


class FormatError(DeclarationError):
    """A declaration is of a format that this version cannot read."""


def _encode(value: Any) -> Any:
    if isinstance(value, _TEXTUAL):
        return str(value)
    raise NotImplementedError(f"a declaration cannot hold {type(value).__name__}")


def _decode(kind: type, value: Any) -> Any:
    if kind in _TEXTUAL:
        return kind(value)
    raise NotImplementedError(f"a declaration cannot hold {kind.__name__}")


def to_json(value: Any) -> bytes:
    """A declaration as indented JSON that ends with a newline."""
    return msgspec.json.format(msgspec.json.encode(value, enc_hook=_encode), indent=2) + b"\n"


def from_json(data: bytes, kind: type[T]) -> T:
    """The declaration of type ``kind`` that ``data`` holds; DeclarationError where it does not."""
    try:
        return msgspec.json.decode(data, type=kind, dec_hook=_decode)
    except RecursionError:
        raise DeclarationError("nested too deeply") from None
    except (msgspec.DecodeError, ValueError, ArithmeticError) as error:
        said = str(error)
        raise DeclarationError(said if len(said) <= _LONGEST_REASON else f"{said[:_LONGEST_REASON]}…") from None


def load(path: Path, kind: type[T]) -> T:
    """The declaration in a plain file; DeclarationError names the file. Its names and numbers are as the file has them: see admission."""
    try:
        data = files.read(path)
        if not hasattr(kind, "format"):
            return from_json(data, kind)
        format_of_file = _format_of(data)
        return replace(from_json(data, kind), format=format_of_file)  # type: ignore[type-var]
    except OSError as error:
        raise DeclarationError(f"{path}: {error.strerror}") from None
    except DeclarationError as error:
        raise type(error)(f"{path}: {error}") from None


def _format_of(data: bytes) -> int:
    found = from_json(data, _Versioned).format
    if not 1 <= found <= FORMAT:
        raise FormatError(f"is of format {found}; formats 1 to {FORMAT} can be read here: use the version of dmmlab that wrote it")
    return found
