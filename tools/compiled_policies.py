"""``python -m tools.compiled_policies``: compile the policies to WebAssembly.

The results are in no version of the source: ``make`` makes them where they are missing or out of
date, and the build of a wheel makes them (``tools/build_hook.py``), so that an installed plugin
needs no OPA. This module imports nothing but the plugin and what the plugin depends on.
"""

from __future__ import annotations

from pathlib import Path

from authz_plugin.engine import binary
from authz_plugin.engine.compiled import write_compiled
from authz_plugin.hostpaths import SHIPPED
from authz_plugin.tools.rule_sources import write_annotations


def write(policies: Path) -> None:
    """Compile the policies in a folder with the OPA that is found; see ``binary.find``."""
    opa = binary.find()
    write_compiled(opa, policies, policies / "compiled")
    write_annotations(opa, policies)


if __name__ == "__main__":
    write(SHIPPED)
