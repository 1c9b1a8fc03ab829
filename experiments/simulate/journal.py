"""events.jsonl, as the agents on Linux write it: one line of JSON for each thing that an agent was told or did."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

_encode = msgspec.json.Encoder(enc_hook=str).encode
_PENDING = 10_000


class Journal:
    """The file that all agents of a run share."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self._lines: list[bytes] = []

    def record(self, node: str, time: int, event: str, details: Mapping[str, Any]) -> None:
        """Note what happened to an agent at ``time``, in ns since 1970 by its own clock."""
        self._lines.append(_encode({"time": time, "node": node, "event": event, **details}))
        if len(self._lines) >= _PENDING:
            self.flush()

    def flush(self) -> None:
        """Write what was recorded."""
        self._file.write(b"".join(line + b"\n" for line in self._lines))
        self._lines.clear()

    def close(self) -> None:
        """Write what is left and close the file."""
        self.flush()
        self._file.close()
