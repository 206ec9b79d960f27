"""Formats an import: the configuration as YAML, the notes as text, and both as JSON."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, Final

from ruamel.yaml import YAML

from authz_plugin.tools.importer.permissions import Kind
from authz_plugin.tools.importer.translation import Imported

_STYLES: Final[dict[Kind, str]] = {
    "carried over": "",
    "stricter": "good",
    "wider": "warning",
    "warning": "warning",
    "no counterpart": "dim",
    "unknown": "warning",
    "client": "head",
}
"""The style of a note's line, by its kind."""


def to_yaml(imported: Imported, origin: str) -> str:
    """Return the configuration as a settings file with a comment that names its origin."""
    text = io.StringIO()
    yaml = YAML()
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.dump(dict(imported.configuration), text)
    return f"# Carried over from {origin} by `opa-authz import`.\n{text.getvalue()}"


def lines(imported: Imported) -> Iterator[tuple[str, str]]:
    """Yield the notes as lines, each with a style of ``cli.terminal``."""
    for note in imported.notes:
        yield _STYLES[note.kind], f"{note.kind:<14}  {note.subject} → {note.text}"


def to_document(imported: Imported, origin: str) -> dict[str, Any]:
    """Return the import as the JSON object that ``--json`` prints."""
    return {
        "version": 1,
        "origin": origin,
        "configuration": imported.configuration,
        "operations": sorted(imported.operations),
        "notes": [asdict(note) for note in imported.notes],
    }
