"""What the documentation points at is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from agents.schemes import SCHEMES

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
LINK = re.compile(r"\]\((?!https?:)([^)#\s]+)")
SOURCE = re.compile(r"`([a-z]\w*/[\w/.-]*\.(?:py|md|toml|txt))`")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_names_exists(page: Path) -> None:
    text = page.read_text()
    links = [link for link in LINK.findall(text) if not (page.parent / link).exists()]
    assert (links, [path for path in SOURCE.findall(text) if not (ROOT / path).exists()]) == ([], [])


def test_each_page_is_named_in_the_list_of_pages() -> None:
    listed = set(LINK.findall((ROOT / "docs/README.md").read_text()))
    assert {page.name for page in (ROOT / "docs").glob("*.md")} - {"README.md"} == listed


def test_the_table_of_policies_has_each_with_the_schemes_that_support_it() -> None:
    rows = re.findall(r"^\| `([\w-]+)` \| ([\w, -]+) \|", (ROOT / "docs/policies.md").read_text(), re.MULTILINE)
    supported: dict[str, list[str]] = {}
    for scheme in SCHEMES.values():
        for policy in scheme.policies:
            supported.setdefault(policy, []).append(scheme.title)
    assert {policy: schemes.split(", ") for policy, schemes in rows} == supported
