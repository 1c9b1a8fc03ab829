"""Declarations as JSON and back: run.json, which opens a run's folder to any later analysis."""

from __future__ import annotations

from ipaddress import IPv6Address, IPv6Network
from pathlib import Path
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")
_TEXTUAL = (IPv6Address, IPv6Network)


class DeclarationError(ValueError):
    """A declaration cannot be read; the message names the file and what is wrong with it."""


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
    except (msgspec.DecodeError, ValueError) as error:
        raise DeclarationError(str(error)) from None


def load(path: Path, kind: type[T]) -> T:
    """The declaration in a file; DeclarationError names the file."""
    try:
        return from_json(path.read_bytes(), kind)
    except OSError as error:
        raise DeclarationError(f"{path}: {error.strerror}") from None
    except DeclarationError as error:
        raise DeclarationError(f"{path}: {error}") from None
