"""What messages say, in the words of events.jsonl."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, get_args

from agents.messages import Message, kind

_FIELDS = {message: tuple(field.name for field in fields(message) if field.name != "query") for message in get_args(Message)}


def describe(message: Message) -> dict[str, Any]:
    """What a message says, for the journal: its kind and every field that it has."""
    said: dict[str, Any] = {"message": kind(message)}
    for name in _FIELDS[type(message)]:
        value = getattr(message, name)
        if value is not None and value is not False and value != ():
            said[name] = value.hex(":") if isinstance(value, bytes) else value
    return said
