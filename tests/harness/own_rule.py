"""A rule of an operator's own.

Tests that need any such rule use this one: to compile another takes seconds of processor time, and
the plugin keeps what it has compiled.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

_RULE: Final = """\
# METADATA
# title: Own
# description: Mine.
package docker.authz.rules.custom_own

import data.docker.authz.denial

# METADATA
# title: Nobody pings
# description: Why.
# custom:
#   id: custom.own
denials contains denial.of("custom.own", "", value, "not on a Friday", "") if {
	some id, value in {"system.info": "x", "system.ping": null, "volume.list": null}
	id == input.operation.id
}
"""

ROW: Final = 13
"""The line of the denial."""


def write_own_rule(folder: Path) -> Path:
    """Write the rule ``custom.own`` into a folder, which exists; the file.

    It denies a ping and the list of volumes without a value, and the information about dockerd with
    the value ``"x"``.
    """
    file = folder / "own.rego"
    file.write_text(_RULE)
    return file
