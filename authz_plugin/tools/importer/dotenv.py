"""Reads environment files with ``KEY=value``, comments, quotes and ``${OTHER}``.

The syntax is that of an ``env_file`` in Docker Compose (compose-go ``dotenv``): an unquoted value
ends at `` #``, a quoted value can have several lines, nothing is substituted in single quotes, and
a name without a value is that variable of the environment.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from authz_plugin.errors import SettingsError

_LINE: Final = re.compile(r"(?:export\s+)?([A-Za-z_][\w.-]*)\s*(?:[=:]\s*(.*))?", re.ASCII)
_QUOTED: Final = {
    "'": re.compile(r"'([^']*)'\s*(?:#.*)?"),
    '"': re.compile(r'"((?:[^"\\]|\\[\s\S])*)"\s*(?:#.*)?'),
}
_COMMENT: Final = re.compile(r"(?:^|\s)#.*")
_REFERENCE: Final = re.compile(
    r"\$(?:(?P<dollar>\$)|(?P<plain>[A-Za-z_]\w*)"
    r"|\{(?P<name>[A-Za-z_]\w*)(?:(?P<how>:?[-+?])(?P<word>[^{}]*))?\})",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Setting:
    """A variable and its value; ``place`` is where it is set: ``"compose.yaml:7"``."""

    name: str
    value: str
    place: str

    def __str__(self) -> str:
        return f"{self.name}={self.value}"


def read_dotenv(file: str, text: str, environment: Mapping[str, str]) -> list[Setting]:
    """Read the variables of an environment file, in their order.

    ``file`` is its name in error messages. ``${OTHER}`` is substituted from ``environment`` and the
    variables above. Raises ``SettingsError`` with file and line.
    """
    settings: list[Setting] = []
    known = dict(environment)
    lines = enumerate(text.splitlines(), 1)
    for number, raw in lines:
        line, place = raw.strip(), f"{file}:{number}"
        if not line or line.startswith("#"):
            continue
        found = _LINE.fullmatch(line)
        if found is None:
            raise SettingsError(place, "", "is not of the form KEY=value")
        name, written = found.groups()
        if written is not None:
            known[name] = _value(written, (following for _, following in lines), place, known)
        elif name not in known:
            continue
        settings.append(Setting(name, known[name], place))
    return settings


def substitute(text: str, place: str, environment: Mapping[str, str]) -> str:
    """Substitute ``$NAME``, ``${NAME}``, ``${NAME:-default}`` and the other forms of Compose.

    A variable without a value is replaced by an empty string. Raises ``SettingsError`` for
    ``${NAME:?why}`` without a value.
    """

    def replaced(found: re.Match[str]) -> str:
        if found["dollar"]:
            return "$"
        name, how, word = found["plain"] or found["name"], found["how"] or "", found["word"] or ""
        value = environment.get(name)
        present = value is not None and not (how.startswith(":") and value == "")
        if how.endswith("+"):
            return word if present else ""
        if value is not None and present:
            return value
        if how.endswith("?"):
            raise SettingsError(place, name, word or "has no value")
        return word

    return _REFERENCE.sub(replaced, text)


def _value(written: str, further: Iterator[str], place: str, known: Mapping[str, str]) -> str:
    """Return a value; lines of ``further`` are consumed while a quoted value continues."""
    pattern = _QUOTED.get(written[:1])
    if pattern is None:
        return substitute(_COMMENT.sub("", written).rstrip(), place, known)
    while (found := pattern.fullmatch(written)) is None:
        line = next(further, None)
        if line is None or pattern.match(written):
            raise SettingsError(place, "", f"the quote {written[0]} does not end as it should")
        written += f"\n{line}"
    if written.startswith("'"):
        return found[1]
    text = substitute(found[1].replace("\\$", "$$"), place, known)
    return re.sub(r'\\(["\\])', r"\1", text)
