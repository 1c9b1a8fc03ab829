"""Captures before any packet is seen: how much memory they take, and what is said where they cannot be."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from experiments.declare.jobs import buffer_size
from experiments.play import capture
from experiments.play.capture import CaptureError, Captures


def test_many_captures_have_smaller_buffers_than_few() -> None:
    sizes = [buffer_size(captures) for captures in (0, 1, 6, 40, 300)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] == 8 << 20
    assert sizes[-1] == 1 << 20


def test_without_libpcap_one_line_names_the_remedy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(capture, "LIBRARIES", ("libabsent-1", "libabsent-2"))
    capture._libpcap.cache_clear()
    captures = Captures(tmp_path)
    with pytest.raises(CaptureError, match="did not start: there is no libabsent-1 and no libabsent-2; `make setup-system`"):
        captures.start([("mn1", contextlib.nullcontext)])
    captures.stop()


def test_a_capture_process_that_dies_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def dies() -> contextlib.AbstractContextManager[object]:
        raise SystemExit(1)

    with pytest.raises(CaptureError, match="did not start: their process ended"):
        Captures(tmp_path).start([("mn1", dies)])
