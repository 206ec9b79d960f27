"""The build hook of hatchling: write the policies' data files before a wheel takes the policies in.

An editable install runs the hook too, so the files are in the checkout after it.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class PolicyDataHook(BuildHookInterface[Any]):
    """Write what ``tools/policy_data.py`` makes into the folder ``policies`` of the source."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Run before hatchling collects the files of a wheel."""
        del version, build_data
        sys.path.insert(0, self.root)  # the source that is built, not an installed plugin
        from tools import policy_data  # noqa: PLC0415  # found through the line above

        policy_data.write(Path(self.root) / "policies")
