"""A decision as the console shows it, and the filters that select decisions."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from fnmatch import fnmatchcase
from typing import Any, Final, Self

from authz_plugin.journal.chain import Link
from authz_plugin.journal.recording import NOBODY
from authz_plugin.renamed import current_record, current_rule

_DECISIONS: Final = frozenset({"allowed_operation", "blocked_operation"})

_FINGERPRINT: Final = 12
_SHORT_ID: Final = 12
_FULL_ID: Final = re.compile("(?:sha256:)?[0-9a-f]{64}")
_LONGEST_PATTERN: Final = 200

_MOST_REFERENCES: Final = 50
"""Objects of a request that are kept, by which it is found."""


@dataclass(frozen=True, slots=True)
class Decided:
    """A decision of the audit file.

    ``seq`` is the number of its line, ``record`` its fields (docs/reference/logs.md), of whose
    input only the first image and the first objects are kept, ``outcome`` the fields of its
    outcome, or None while none is recorded. ``changed`` is the number of the line that was added
    last.
    """

    seq: int
    record: Mapping[str, Any]
    outcome: Mapping[str, Any] | None
    changed: int

    @property
    def id(self) -> str:
        return str(self.record["decision_id"])

    @property
    def is_denied(self) -> bool:
        return bool(self.record["verdict"] == "deny")

    @property
    def caller(self) -> str:
        """The user, or the first digits of the certificate's fingerprint, or ``NOBODY``."""
        return self.record["user"] or self.record["certificate"][:_FINGERPRINT] or NOBODY

    @property
    def rules(self) -> tuple[str, ...]:
        """The rules that denied or warned, each once."""
        named = (*self.record["rules"], *self.record["warnings"])
        return tuple(dict.fromkeys(text.partition(" ")[0] for text in named))

    @property
    def subject(self) -> str:
        """What the request is about: the name or id in its path, or what its input names."""
        named = _short(self.record["resource"] or next(self._named(), ""))
        return f"{named} ({self.image})" if named and self.image else named or self.image

    @property
    def image(self) -> str:
        """The image that the request runs, if its input was recorded."""
        images = self._facts("images")
        return str(images[0]["reference"]) if images else ""

    @property
    def status(self) -> str:
        """The HTTP status of the answer, or empty if it is not known."""
        status = (self.outcome or self.record)["status"]
        return "" if status is None else str(status)

    @property
    def created(self) -> tuple[str, ...]:
        """The short ids of the objects that the request created."""
        return tuple(map(_short, (self.outcome or {}).get("created", ())))

    @property
    def containers(self) -> Iterator[str]:
        """The names and ids by which the request refers to containers, and those it created."""
        operation = self.record["operation"]
        if self.record["resource"] and operation.startswith(("container.", "exec.")):
            yield self.record["resource"]
        yield from self._named("container")
        if operation.startswith("container."):
            yield from (self.outcome or {}).get("created", ())

    def _named(self, kind: str = "") -> Iterator[str]:
        for reference in self._facts("references"):
            if reference["name"] and (not kind or reference["kind"] == kind):
                yield reference["name"]

    def _facts(self, name: str) -> list[Any]:
        found = (self.record.get("input") or {}).get(name)
        return found if isinstance(found, list) else []


def decided(link: Link) -> Decided | None:
    """Return the decision of a line of the audit file; None if the line is not one."""
    if link.document.get("event") not in _DECISIONS:
        return None
    return Decided(link.seq, _slim(current_record(link.document)), None, link.seq)


def _slim(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record with what is shown of its input: thousands of records are kept, and a client decides
    how much an input holds."""
    given = record.get("input") or {}
    names = {"images": ("reference",), "references": ("kind", "name")}
    most = {"images": 1, "references": _MOST_REFERENCES}
    kept = {
        part: [{name: one[name] for name in names[part]} for one in given[part][: most[part]]]
        for part in names
        if isinstance(given.get(part), list)
    }
    return {**record, "input": kept}


def is_outcome(link: Link) -> bool:
    """Whether a line of the audit file is the outcome of a decision."""
    return link.document.get("event") == "finished_operation"


def with_outcome(one: Decided, link: Link) -> Decided:
    """Return a decision with the outcome that a line records."""
    return replace(one, outcome=link.document, changed=link.seq)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which decisions are shown: those that match every part that is not empty.

    ``verdict`` is ``allow`` or ``deny``. The others are texts: with ``*`` or ``?`` a pattern for
    the whole text, without them a part of it.
    """

    verdict: str = ""
    rule: str = ""
    operation: str = ""
    caller: str = ""
    container: str = ""

    @classmethod
    def of(cls, values: Mapping[str, str]) -> Self:
        """Return the filters that a query gives; what is too long to be meant is cut."""
        given = {one.name: values.get(one.name, "").strip() for one in fields(cls)}
        given["rule"] = current_rule(given["rule"])
        if given["verdict"] not in {"allow", "deny"}:
            given["verdict"] = ""
        return cls(**{name: text[:_LONGEST_PATTERN] for name, text in given.items()})

    def query(self) -> dict[str, str]:
        """Return the parts that are not empty, as a query gives them."""
        given = {one.name: getattr(self, one.name) for one in fields(self)}
        return {name: text for name, text in given.items() if text}

    def takes(self, one: Decided) -> bool:
        """Whether a decision is shown."""
        record = one.record
        if self.verdict and record["verdict"] != self.verdict:
            return False
        if self.operation and not _matches(record["operation"], self.operation):
            return False
        if self.rule and not any(_matches(rule, self.rule) for rule in one.rules):
            return False
        callers = (record["user"], record["certificate"], record["role"], one.caller)
        if self.caller and not any(_matches(text, self.caller) for text in callers):
            return False
        return not self.container or any(_matches(text, self.container) for text in one.containers)


def _short(name: str) -> str:
    """Return a name; of a full id, the part that Docker shows."""
    return name[:_SHORT_ID] if _FULL_ID.fullmatch(name) else name


def _matches(text: str, pattern: str) -> bool:
    if "*" in pattern or "?" in pattern:
        return fnmatchcase(text, pattern)
    return pattern in text
