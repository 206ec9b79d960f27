"""The controls of known standards and what supports each, read from ``standards/*.yaml``.

Reports and docs/reference/controls.md are made from them. The rules of a control are those whose
annotation ``controls`` names it. Whether a control is met is not stated here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from authz_plugin.rules import RULES
from authz_plugin.settings import read_yaml

REPORTED: Final = ("cis", "owasp", "nist")
"""The standards of a report, in its order. The others name rules only, and have no checks."""

TABLED: Final = ("pod-security", "cis", "owasp", "nist", "portainer", "docker")
"""Every standard, in the order of docs/reference/controls.md."""

_FOLDER: Final = Path(__file__).with_name("standards")


@dataclass(frozen=True, slots=True)
class Control:
    """An item of a standard.

    ``id`` is its number, ``also`` its number in another edition. It is supported by ``rules``
    (ids), ``checks`` of validation and ``findings`` of doctor (ids, or patterns with ``*``).
    ``partly`` is the part that they do not cover, ``outside`` the reason why a plugin cannot cover
    it at all, and ``note`` a remark.
    """

    id: str
    title: str
    also: str = ""
    note: str = ""
    rules: tuple[str, ...] = ()
    checks: tuple[str, ...] = ()
    findings: tuple[str, ...] = ()
    partly: str = ""
    outside: str = ""


@dataclass(frozen=True, slots=True)
class Part:
    """A chapter of a standard, with its controls."""

    title: str
    controls: Sequence[Control]


@dataclass(frozen=True, slots=True)
class Standard:
    """A standard.

    ``about`` is an introduction, ``profile`` the shipped profile that meets most of its controls.
    ``columns`` are the headings of its controls' ids and titles.
    """

    name: str
    title: str
    about: str
    profile: str
    columns: tuple[str, str]
    parts: Sequence[Part]

    @property
    def controls(self) -> Iterator[Control]:
        """All controls, in their order."""
        for part in self.parts:
            yield from part.controls


@cache
def standard(name: str) -> Standard:
    """Read a standard by the name of its file, without ``.yaml``."""
    given, _ = read_yaml(_FOLDER / f"{name}.yaml")
    first, second = given["columns"]
    parts = [
        Part(part["title"], [_control(name, control) for control in part["controls"]])
        for part in given["parts"]
    ]
    about = given["about"].strip()
    return Standard(name, given["title"], about, given["profile"], (first, second), parts)


def _control(standard_: str, given: Mapping[str, Any]) -> Control:
    lists = {name: tuple(_flattened(given.get(name, []))) for name in ("checks", "findings")}
    named = (standard_, given["id"])
    rules = tuple(rule.id for rule in RULES.values() if named in rule.controls)
    return Control(**{**given, **lists, "rules": rules})


def _flattened(entries: Sequence[Any]) -> Iterator[str]:
    for entry in entries:
        yield from entry if isinstance(entry, list) else [entry]
