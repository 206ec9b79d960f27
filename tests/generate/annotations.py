"""``python -m tests.generate.annotations``: write authz_plugin/rules.json from the policies.

Imports nothing that reads rules.json, so that it can replace a file that no longer fits.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

from authz_plugin.engine import binary

_ROOT: Final = Path(__file__).parents[2]
RULES_FILE: Final = _ROOT / "authz_plugin/rules.json"
_RULES: Final = _ROOT / "policies/docker/authz/rules"


@cache
def inspected() -> Mapping[str, Any]:
    """The output of ``opa inspect`` for the shipped rule packages."""
    done = binary.find().run("inspect", "--annotations", "--format", "json", str(_RULES))
    done.check_returncode()
    found: Mapping[str, Any] = json.loads(done.stdout)
    return found


def rules_file() -> str:
    """The content of rules.json: the annotations of each rule, with the name of its package."""
    rules = [
        {
            "package": entry["path"][-2]["value"],
            "title": entry["annotations"].get("title", ""),
            "description": entry["annotations"].get("description", ""),
            "custom": entry["annotations"]["custom"],
        }
        for entry in inspected()["annotations"]
        if "id" in entry["annotations"].get("custom", {})
    ]
    return json.dumps(rules, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    RULES_FILE.write_text(rules_file())
