"""Tests that need a kernel of their own run inside a guest, by pytest there: a guest for each file."""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path

import pytest

from engines.base import REPOSITORY, Job
from tests.emulation.conftest import Emulation, outcomes

FILES = sorted((REPOSITORY / "tests" / "guest").glob("test_*.py"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_what_needs_a_kernel_of_its_own(emulation: Emulation, tmp_path: Path, file: Path) -> None:
    command = (sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--color=no", str(file))
    log = tmp_path / "console.log"
    (outcome,) = asyncio.run(outcomes([Job(command=command, results=tmp_path, seed=1, wall_limit=600.0, log=log)]))
    assert outcome.ok, log.read_text()[-3000:]
    counted = re.findall(r"^(\d+) passed in", log.read_text(), re.MULTILINE)
    assert [int(count) >= file.read_text().count("\ndef test_") for count in counted] == [True], log.read_text()[-3000:]
