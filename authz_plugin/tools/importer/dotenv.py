"""Environment files as people write them: ``KEY=value``, comments, quotes, ``${OTHER}``.

Follows what Docker Compose makes of an ``env_file`` (compose-go ``dotenv``): an unquoted value ends
at `` #``, a quoted one may have several lines, in single quotes nothing is replaced, and a name
alone stands for the variable of that name in the environment.
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
    """A variable and its value; ``place`` is where it was set (``"compose.yaml:7"``)."""

    name: str
    value: str
    place: str

    def __str__(self) -> str:
        return f"{self.name}={self.value}"


def read_dotenv(file: str, text: str, environment: Mapping[str, str]) -> list[Setting]:
    """The variables of a file in their order; raises ``SettingsError`` with the line.

    ``file`` is what people call it; ``environment`` is what ``${OTHER}`` may stand for, beside
    the variables further up.
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
    """A text with its ``$NAME``, ``${NAME}``, ``${NAME:-default}`` and the like replaced.

    What has no value is empty, as in Compose. Raises ``SettingsError`` where ``${NAME:?why}``
    asks for a value that is not there.
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
    """A value; ``further`` are the lines below, of which it takes those that its quote spans."""
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
