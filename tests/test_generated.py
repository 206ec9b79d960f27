"""Each generated file, in git or not, is what its generator makes now."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Final

import pytest

from authz_plugin.policy import SHIPPED
from tests.generate.__main__ import made_rules_pages, makers
from tools import policy_data

MAKERS: Final = makers()
RULES_PAGES: Final = sorted((Path(__file__).parents[1] / "docs/reference/rules").glob("*.md"))

rules_pages = cache(made_rules_pages)
data = cache(policy_data.files)


@pytest.mark.parametrize("file", MAKERS, ids=lambda file: file.name)
def test_a_made_file_is_up_to_date(file: Path) -> None:
    assert file.exists(), "run `make generate`"
    assert file.read_text() == MAKERS[file](), "run `make generate`"


@pytest.mark.parametrize("file", RULES_PAGES, ids=lambda file: file.name)
def test_a_page_of_rules_is_up_to_date(file: Path) -> None:
    assert file.read_text() == rules_pages()[file], "run `make generate`"


def test_each_package_of_rules_has_a_page() -> None:
    assert set(RULES_PAGES) == set(rules_pages()), "run `make generate`"


@pytest.mark.parametrize("file", policy_data.paths(SHIPPED), ids=lambda file: file.parent.name)
def test_the_data_of_the_policies_tests_is_up_to_date(file: Path) -> None:
    assert file.exists(), "run `make`"
    assert file.read_text() == data(SHIPPED)[file], "run `make`"
