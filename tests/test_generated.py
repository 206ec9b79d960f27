"""Files that are made from others are what those others say."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.generate.__main__ import made

MADE = made()


@pytest.mark.parametrize("file", MADE, ids=lambda file: file.name)
def test_a_made_file_is_up_to_date(file: Path) -> None:
    assert file.read_text() == MADE[file], "run `make generate`"
