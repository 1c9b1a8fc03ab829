"""What the documentation points at is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
LINK = re.compile(r"\]\((?!https?:)([^)#\s]+)")
SOURCE = re.compile(r"`([a-z]\w*/[\w/.-]*\.(?:py|md|toml|txt))`")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_names_exists(page: Path) -> None:
    text = page.read_text()
    links = [link for link in LINK.findall(text) if not (page.parent / link).exists()]
    assert (links, [path for path in SOURCE.findall(text) if not (ROOT / path).exists()]) == ([], [])
