"""``make adversary``: every shipped profile, every denied request, every respelling, and those of
each respelling as well."""

from __future__ import annotations

import argparse
import sys
import time

from authz_plugin import policy
from tests.adversary import campaign
from tests.adversary.engines import profiles_engine
from tests.adversary.seeds import seeds


def main() -> int:
    """Run it; 1 where a profile allows a respelling of what it denies."""
    parser = argparse.ArgumentParser(prog="make adversary", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60, help="stop after so long (60)")
    parser.add_argument("--once", action="store_true", help="do not respell respellings")
    parser.add_argument("--profile", action="append", help="one profile (all); may be repeated")
    chosen = parser.parse_args()
    names = chosen.profile or [campaign.LEDGER, *policy.profiles()]
    end = time.monotonic() + chosen.minutes * 60
    with profiles_engine(names) as engine:
        result = campaign.run(
            engine,
            names,
            seeds(),
            twice=not chosen.once,
            goes_on=lambda: time.monotonic() < end,
        )
    for respelling, count in sorted(result.by_respelling.items()):
        print(f"{count:8} {respelling}")
    for passed in result.passed:
        print(f"PASSED {passed}", file=sys.stderr)
    print(result)
    return 1 if result.passed else 0


if __name__ == "__main__":
    sys.exit(main())
