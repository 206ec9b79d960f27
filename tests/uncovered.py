"""``opa test --coverage --format json … | python -m tests.uncovered``: print what is not covered.

Prints each range of lines that no test evaluates as ``FILE:FIRST`` or ``FILE:FIRST-LAST``. Exits
with status 1 if there is one, or if the input is no report of complete coverage.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from typing import Any


def uncovered(report: Mapping[str, Any]) -> Iterator[str]:
    """The ranges of lines that are not covered, from OPA's report.

    OPA puts the bundle's folder before a path that begins with it.
    """
    for named, lines in report["files"].items():
        file = named.replace("policies/policies/", "policies/", 1)
        for found in lines.get("not_covered", ()):
            first, last = found["start"]["row"], found["end"]["row"]
            yield f"{file}:{first}" if first == last else f"{file}:{first}-{last}"


def main() -> int:
    """Read OPA's report from standard input."""
    try:
        report = json.load(sys.stdin)
        coverage, found = report["coverage"], list(dict.fromkeys(uncovered(report)))
    except (ValueError, KeyError, TypeError) as error:
        print(f"opa test gave no report of coverage: {error!r}", file=sys.stderr)
        return 1
    for place in found:
        print(f"{place} is not covered by a test", file=sys.stderr)
    if coverage < 100:
        print(f"coverage is {coverage} %, and must be 100 %", file=sys.stderr)
    return 1 if found or coverage < 100 else 0


if __name__ == "__main__":
    sys.exit(main())
