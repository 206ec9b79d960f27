"""``python -m tests.ledger``: the counts of the ledger, and whether Docker has newer fields."""

from __future__ import annotations

import sys
from collections import Counter

from tests import ledger
from tests.ledger import walk


def main() -> int:
    """Print the counts; return 1 if the newest API module has a field without a row."""
    for title, rows in (("fields", ledger.bodies()), ("parameters", ledger.parameters())):
        counts = Counter(ledger.verdicts(rows).values()).most_common()
        print(f"{title}: {', '.join(f'{count} {name}' for name, count in counts)}")
    version, found = walk.newest()
    unknown = ledger.unknown_to_ledger(found)
    print(f"{walk.NEWEST_API} {version}: {len(found)} fields, {len(unknown)} without a row")
    for field in unknown:
        print(f"  {field}")
    if unknown:
        print(
            "Pin this version in tests/oracle/go/v29/go.mod, add the fields to "
            "authz_plugin/dockerd/shapes.py and a row for each to tests/ledger/bodies.tsv."
        )
    return 1 if unknown else 0


if __name__ == "__main__":
    sys.exit(main())
