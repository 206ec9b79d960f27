"""The rules of a policy with their places, read from the annotations in Rego by OPA.

Those of the shipped policies are read when these are compiled (``write_annotations``), so that
tools can show them without the OPA program.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from authz_plugin import policy
from authz_plugin.engine.binary import Opa
from authz_plugin.engine.compiled import sources_digest
from authz_plugin.errors import PolicyError
from authz_plugin.rules import AnnotatedRule, annotated_rules

_FILE: Final = "annotations.json"
_MOST_LINES: Final = 60


def rule_sources(
    find_opa: Callable[[], Opa], folders: Sequence[Path]
) -> Mapping[str, AnnotatedRule]:
    """The rules in folders of policies, by their ids.

    Raises as ``find_opa`` does, and ``PolicyError`` for policies that do not compile and for
    annotations that cannot be read.
    """
    return {found.rule.id: found for folder in folders for found in _annotated(find_opa, folder)}


def write_annotations(opa: Opa, policies: Path) -> None:
    """Write the annotations of the policies in a folder into its folder ``compiled``."""
    inspected = _inspected(opa, policies / policy.ROOT)
    for entry in inspected["annotations"]:
        file = Path(entry["location"]["file"])
        entry["location"]["file"] = str(file.relative_to(policies))
    content = {"sources": sources_digest(policies), "annotations": inspected["annotations"]}
    (policies / "compiled" / _FILE).write_text(json.dumps(content))


def lines_of(source: AnnotatedRule) -> list[tuple[int, str]]:
    """The lines of a rule, each with its number, from its head to the end of its body.

    Empty if its file cannot be read. Whatever is not formatted ends after ``_MOST_LINES``.
    """
    try:
        lines = Path(source.file).read_text(errors="replace").splitlines()[source.row - 1 :]
    except OSError:
        return []
    found = []
    for number, line in enumerate(lines[:_MOST_LINES], source.row):
        found.append((number, line))
        follows = lines[number - source.row + 1 : number - source.row + 2]
        if line[:1] not in {"", " ", "\t"} and (not follows or not follows[0].strip()):
            break
    return found


def _annotated(find_opa: Callable[[], Opa], folder: Path) -> list[AnnotatedRule]:
    inspected = _kept() if folder == policy.SHIPPED / policy.ROOT else None
    if inspected is None:
        inspected = _inspected(find_opa(), folder)
    try:
        return list(annotated_rules(inspected))
    except ValueError as error:
        raise PolicyError(f"{folder}: an annotation cannot be read: {error}") from None


def _inspected(opa: Opa, folder: Path) -> Mapping[str, Any]:
    done = opa.run("inspect", "--annotations", "--format", "json", str(folder))
    if done.returncode != 0:
        raise PolicyError((done.stderr or done.stdout).strip())
    inspected: Mapping[str, Any] = json.loads(done.stdout)
    return inspected


def _kept() -> Mapping[str, Any] | None:
    """What ``write_annotations`` wrote of the shipped policies, if they are still the same."""
    with contextlib.suppress(OSError, ValueError):
        kept = json.loads((policy.SHIPPED / "compiled" / _FILE).read_text())
        if kept["sources"] == sources_digest(policy.SHIPPED):
            for entry in kept["annotations"]:
                entry["location"]["file"] = str(policy.SHIPPED / entry["location"]["file"])
            return {"annotations": kept["annotations"]}
    return None
