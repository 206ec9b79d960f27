"""The build hook of hatchling: make the files of a wheel that are not in the source.

These are the data of the policies' tests and the compiled policies. The hook compiles with the OPA
on PATH. An editable install gets no compiled policies, because ``make`` makes them.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class PolicyHook(BuildHookInterface[Any]):
    """Write what tools/policy_data.py and tools/compiled_policies.py make into the source."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Run before hatchling collects the files of a wheel."""
        del build_data
        sys.path.insert(0, self.root)  # the source that is built, not an installed plugin
        from tools import compiled_policies, policy_data  # noqa: PLC0415  # as the line above says

        policies = Path(self.root) / "policies"
        policy_data.write(policies)
        if version != "editable":
            compiled_policies.write(policies)
