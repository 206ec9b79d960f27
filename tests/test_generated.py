"""Each generated file, in git or not, is what its generator makes now."""

from __future__ import annotations

from pathlib import Path

import pytest

from authz_plugin.policy import SHIPPED
from tests.generate.__main__ import made
from tools import policy_data

MADE = made() | policy_data.files(SHIPPED)


@pytest.mark.parametrize("file", MADE, ids=lambda file: file.name)
def test_a_made_file_is_up_to_date(file: Path) -> None:
    assert file.exists(), "run `make generate`"
    assert file.read_text() == MADE[file], "run `make generate`"
