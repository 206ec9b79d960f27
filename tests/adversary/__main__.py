"""``make adversary``: every shipped profile decides on every respelling of every denied request,
and on the respellings of each respelling."""

from __future__ import annotations

import argparse
import sys
import time

from authz_plugin import policy
from tests.adversary import campaign
from tests.adversary.engines import profiles_engine
from tests.adversary.seeds import seeds
from tests.profile_guarantees import WITHOUT_GUARANTEES


def main() -> int:
    """Run it; return 1 if a profile allows a respelling of a request that it denies."""
    parser = argparse.ArgumentParser(prog="make adversary", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60, help="stop after so long (60)")
    parser.add_argument("--once", action="store_true", help="do not respell respellings")
    parser.add_argument("--profile", action="append", help="one profile (all); may be repeated")
    chosen = parser.parse_args()
    names = chosen.profile or [
        campaign.LEDGER,
        *sorted({*policy.profiles()} - {WITHOUT_GUARANTEES}),
    ]
    end = time.monotonic() + chosen.minutes * 60
    with profiles_engine(names) as engine:
        result = campaign.run(
            engine,
            names,
            seeds(),
            twice=not chosen.once,
            should_continue=lambda: time.monotonic() < end,
        )
    for respelling, count in sorted(result.by_respelling.items()):
        print(f"{count:8} {respelling}")
    for case in result.not_denied:
        print(f"NOT DENIED {case}", file=sys.stderr)
    print(result)
    return 1 if result.not_denied else 0


if __name__ == "__main__":
    sys.exit(main())
