"""What the documentation points at is there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[1]
DOCS: Final = ROOT / "docs"
MAP: Final = DOCS / "README.md"
PAGES: Final = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")], key=lambda page: page.as_posix())

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


def reached_from(start: Path) -> set[Path]:
    """The files to which links lead from a page, and from those pages on."""
    seen, waiting = set(), [start]
    while waiting:
        page = waiting.pop()
        if page in seen or not page.is_file():
            continue
        seen.add(page)
        links = _LINK.findall(prose(page)) if page.suffix == ".md" else []
        waiting += [(page.parent / link.partition("#")[0]).resolve() for link in links]
    return seen


def test_every_page_can_be_reached_from_the_readme() -> None:
    assert set(PAGES) - reached_from(ROOT / "README.md") == set()


def test_every_page_and_picture_can_be_reached_from_the_map_of_the_docs() -> None:
    files = {file for file in DOCS.rglob("*") if file.is_file()}
    assert files - reached_from(MAP) == set()


def test_every_page_stands_in_one_of_the_four_parts() -> None:
    parts = {file.relative_to(DOCS).parts[0] for file in DOCS.rglob("*") if file.is_file()}
    assert parts == {"README.md", "tutorial", "how-to", "reference", "explanation"}


def test_the_map_of_the_docs_names_every_page_itself() -> None:
    """Pages of a folder below a part, such as decisions, are listed by that folder's README."""
    named = {(DOCS / link.partition("#")[0]).resolve() for link in _LINK.findall(prose(MAP))}
    assert {page for page in DOCS.glob("*/*.md") if page not in named} == set()
