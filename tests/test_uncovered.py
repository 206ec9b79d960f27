"""``make rego`` fails and names the lines of policies that no test covers."""

from __future__ import annotations

import io
import json
import sys

import pytest

from tests import uncovered

_PARTLY = {"start": {"row": 3}, "end": {"row": 5}}
_LINE = {"start": {"row": 9}, "end": {"row": 9}}


@pytest.mark.parametrize(
    ("report", "status", "printed"),
    [
        ({"files": {"a.rego": {}}, "coverage": 100}, 0, ""),
        (
            {"files": {"policies/policies/a.rego": {"not_covered": [_PARTLY]}}, "coverage": 99.9},
            1,
            "policies/a.rego:3-5 is not covered",
        ),
        ({"files": {"a.rego": {"not_covered": [_LINE]}}, "coverage": 100}, 1, "a.rego:9 is not"),
        ({"files": {}, "coverage": 99.9}, 1, "coverage is 99.9 %"),
        ({"errors": []}, 1, "no report of coverage"),
    ],
    ids=["covered", "lines", "a line", "percentage", "no report"],
)
def test_what_is_not_covered_is_printed(
    report: object,
    status: int,
    printed: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(report)))
    assert uncovered.main() == status
    assert printed in capsys.readouterr().err
