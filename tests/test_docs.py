"""What the documentation points at is there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[1]
PAGES: Final = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")], key=lambda page: page.as_posix()
)

_LINK: Final = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_FENCE: Final = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_TEST: Final = re.compile(r"`(test_\w+)`")
_PATH: Final = re.compile(r"`((?:authz_plugin|deploy|docs|policies|tests|tools)/[\w./-]+)`")


def prose(page: Path) -> str:
    return _FENCE.sub("", page.read_text())


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as forges make them."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    plain = [re.sub(r"[^\w\- ]", "", _LINK.sub("", heading).lower()) for heading in headings]
    return {heading.strip().replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in _LINK.findall(prose(page)):
        target, _, anchor = link.partition("#")
        if target.startswith(("http://", "https://")):
            continue
        file = (page.parent / target).resolve() if target else page
        assert file.exists(), link
        assert not anchor or anchor in anchors(file), link


def test_every_test_that_a_page_names_exists() -> None:
    defined = {
        name
        for file in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", file.read_text(), re.MULTILINE)
    }
    named = {name for page in PAGES for name in _TEST.findall(page.read_text())}
    files = {file.stem for file in (ROOT / "tests").rglob("test_*.py")}
    assert named - defined - files == set()
    assert named & defined


def test_every_file_that_a_page_names_exists() -> None:
    named = {path for page in PAGES for path in _PATH.findall(prose(page))}
    assert {path for path in named if not (ROOT / path).exists()} == set()
    assert named


def test_every_page_can_be_reached_from_the_readme() -> None:
    seen, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in seen or not page.is_file():
            continue
        seen.add(page)
        links = _LINK.findall(prose(page)) if page.suffix == ".md" else []
        waiting += [(page.parent / link.partition("#")[0]).resolve() for link in links]
    assert {page for page in PAGES if page not in seen} == set()
