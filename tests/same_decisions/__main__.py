"""``make same-decisions``: the embedded engine decides as OPA's server does."""

from __future__ import annotations

import argparse
import sys
from typing import Final

import orjson

from authz_plugin.engine import binary
from tests.same_decisions.comparison import configurations, open_comparison
from tests.same_decisions.documents import real_documents

_SHOWN: Final = 5
"""Differences that are printed, at most."""


def main() -> int:
    """Run it; return 1 if a decision differs."""
    parser = argparse.ArgumentParser(prog="make same-decisions", description=__doc__)
    parser.add_argument(
        "--documents", type=int, default=1_000_000, help="changed documents (1000000)"
    )
    parser.add_argument("--seed", type=int, default=1, help="another seed, other documents (1)")
    chosen = parser.parse_args()
    documents = [orjson.dumps(document) for _, document in real_documents()]
    with open_comparison(binary.find(), configurations()) as comparison:
        for result in comparison.ask_everything(documents):
            print("requests as they are:", result, flush=True)
        for result in comparison.ask_changed(documents, chosen.documents, chosen.seed):
            print("with changed ones:", result, flush=True)
        for difference in comparison.result.differences[:_SHOWN]:
            print(comparison.smallest(difference))
    return 1 if comparison.result.different else 0


if __name__ == "__main__":
    sys.exit(main())
