"""The controls of the known standards, and what supports each: the one source for report and docs.

Controls with their checks and findings are read from ``standards/*.yaml``. The rules of a control
are those whose annotation ``controls`` names it. Whether a control is met is not stated here.
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
"""The standards that a report is about, in its order. Of the others there are rules alone."""

TABLED: Final = ("pod-security", "cis", "owasp", "nist", "portainer", "docker")
"""Every standard, in the order of docs/controls.md."""

_FOLDER: Final = Path(__file__).with_name("standards")


@dataclass(frozen=True, slots=True)
class Control:
    """One item of a standard, under its own number, and ``also`` under another that is in use.

    It is supported by ``rules`` (ids), by ``checks`` of validation and by ``findings`` of doctor
    (ids, or patterns of them). ``partly`` says what of it these cannot reach, ``outside`` why
    nothing reaches it; ``note`` is what else is to be known.
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
    """A chapter of a standard."""

    title: str
    controls: Sequence[Control]


@dataclass(frozen=True, slots=True)
class Standard:
    """A standard: ``profile`` is the shipped one that goes furthest with it, ``columns`` are what
    its controls' ids and titles are called."""

    name: str
    title: str
    about: str
    profile: str
    columns: tuple[str, str]
    parts: Sequence[Part]

    @property
    def controls(self) -> Iterator[Control]:
        for part in self.parts:
            yield from part.controls


@cache
def standard(name: str) -> Standard:
    """A standard by the name of its file."""
    given, _ = read_yaml(_FOLDER / f"{name}.yaml")
    first, second = given["columns"]
    parts = [
        Part(part["title"], [_control(name, control) for control in part["controls"]])
        for part in given["parts"]
    ]
    about = given["about"].strip()
    return Standard(name, given["title"], about, given["profile"], (first, second), parts)


def _control(standard_: str, given: Mapping[str, Any]) -> Control:
    lists = {name: tuple(_flat(given.get(name, []))) for name in ("checks", "findings")}
    named = (standard_, given["id"])
    rules = tuple(rule.id for rule in RULES.values() if named in rule.controls)
    return Control(**{**given, **lists, "rules": rules})


def _flat(entries: Sequence[Any]) -> Iterator[str]:
    for entry in entries:
        yield from entry if isinstance(entry, list) else [entry]
