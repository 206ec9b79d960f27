"""The recorded input: the input document of a decision in the audit file, for ``replay``.

A string of the input document is written to the audit file only if ``_ALWAYS`` contains its key, or
if the annotation ``records`` of a shipped rule names it and it holds no secret. Every other
string is replaced by ``***``, so that a new field is hidden until a rule names it. Empty values are
omitted, and restored when a recording is read.

The User-Agent of this project's own tools is recorded as well, so that ``learn`` can leave out
their requests. Any client can send it: nothing may be allowed for its sake.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from typing import Any, Final, NamedTuple

import orjson

from authz_plugin import renamed
from authz_plugin.dockerd.gojson import Array, Bytes, Map, Pointer, Shape, Slice, String, Struct
from authz_plugin.dockerd.routes import OPERATIONS, STREAM
from authz_plugin.hostpaths import SHIPPED
from authz_plugin.journal.chain import Link
from authz_plugin.journal.masking import HIDDEN, masked_text, may_hold_secret
from authz_plugin.journal.own_tools import tool_of
from authz_plugin.journal.record import DecisionRecord
from authz_plugin.rules import RULES

LONGEST: Final = 32 << 10
"""The maximum length of a recorded input, in bytes; a longer one is omitted."""

NOBODY: Final = "unknown"
"""The name for a caller for whom dockerd sends neither a name nor a certificate."""

_FINGERPRINT: Final = 12
_DECISIONS: Final = frozenset({"allowed_operation", "blocked_operation"})

_TELL_NOTHING: Final = frozenset({"", "-", "0", "1", "[]", "false", "null", "true"})
"""Strings that are never hidden: rules compare some of them, and none is a secret."""

_ALWAYS: Final = frozenset(
    {"version", "phase", "time", "caller", "request", "operation", "body_state"}
)
_RECORDS: Final = frozenset(
    place for rule in RULES.values() for place in rule.records if not may_hold_secret(place)
)


def _named(prefix: str) -> frozenset[str]:
    """The paths with a prefix that rules name in ``records``, without the prefix."""
    return frozenset(place.removeprefix(prefix) for place in _RECORDS if place.startswith(prefix))


_QUERY: Final = _named("query.")
_BODY: Final = _named("body.")
"""Paths of strings in bodies that shipped rules read directly; they read all others as facts."""

_HEADERS: Final = frozenset({"content-length", "content-type"})
_FACTS: Final = frozenset(place for place in _RECORDS if "." not in place)
_SHOWN: Final = (_ALWAYS - {"request"}) | _FACTS
"""Keys of the input document whose strings are shown, except for the parts in the next table."""

_CLIENTS_OWN: Final = {
    "mounts": "options",
    "sysctls": "value",
    "log_drivers": "options",
    "endpoints": "options",
}
"""Parts of facts that can contain any string of the client: only their keys are shown."""

_EMPTY_OF_TYPE: Final[Mapping[str, Any]] = {"array": [], "object": {}}


def _empty() -> Mapping[str, Any]:
    """The empty value of each fact of the input document, by its type in the schema."""
    schema = orjson.loads((SHIPPED / "schemas/input.json").read_bytes())
    types = {name: given.get("type") for name, given in schema["properties"].items()}
    facts = types.keys() - _ALWAYS
    return {
        name: _EMPTY_OF_TYPE[types[name]] if isinstance(types[name], str) else None
        for name in facts
    }


_EMPTY: Final = _empty()
"""The values of the keys that the recorded form of a document omits."""

_Write = Callable[[Any], Any]


class RecordedDecision(NamedTuple):
    """A decision for the audit file, with its recorded input. ``input`` is None if it would be
    longer than ``LONGEST``, or if too many entries were waiting."""

    record: DecisionRecord
    input: bytes | None

    def to_document(self) -> dict[str, Any]:
        found = None if self.input is None else orjson.Fragment(self.input)
        return {**self.record.to_document(), "input": found}


class AuditedDecision(NamedTuple):
    """A decision that was read from an audit file.

    ``seq`` is the number of its line, ``record`` its fields; ``document`` is the input document
    with ``***`` for every hidden string, or None if none was recorded.
    """

    seq: int
    record: Mapping[str, Any]
    document: dict[str, Any] | None

    @property
    def caller(self) -> str:
        """The user, or the first digits of the certificate's fingerprint, or ``NOBODY``."""
        return self.record["user"] or self.record["certificate"][:_FINGERPRINT] or NOBODY

    @property
    def tool(self) -> str:
        """The tool of this project that the request says to come from; empty for none, or if
        nothing of it was recorded. Any client can say so."""
        if self.document is None:
            return str(self.record.get("tool", ""))
        return tool_of(self.document["request"]["headers"].get("user-agent", ""))


def recorded(document: Mapping[str, Any]) -> bytes | None:
    """The recorded form of an input document as JSON; None if it is longer than ``LONGEST``."""
    write_body = _body_writer(document["operation"]["id"])
    parts: dict[str, _Write] = {"request": _request, "body": write_body}
    kept = {
        name: parts[name](value) if name in parts else _fact(name, value)
        for name, value in renamed.current_input(document).items()
        if value
    }
    form = orjson.dumps(kept)
    return form if len(form) <= LONGEST else None


def restored(kept: Mapping[str, Any]) -> dict[str, Any] | None:
    """The input document of a recorded form, with every key of the schema; None for an unknown
    operation."""
    operation = OPERATIONS.get(kept["operation"]["id"])
    if operation is None:
        return None
    document = {**_EMPTY, **renamed.current_input(kept)}
    if kept["body_state"] == "present":
        assert operation.body is not None
        assert operation.body != STREAM
        document["body"] = _whole(operation.body, kept.get("body", operation.body.zero()))
    return renamed.with_old_input_keys(document)


def read_recordings(links: Iterable[Link]) -> Iterator[AuditedDecision]:
    """The decisions among the lines of an audit file."""
    for link in links:
        if link.document.get("event") in _DECISIONS:
            kept = link.document.get("input")
            record = renamed.current_record(link.document)
            yield AuditedDecision(link.seq, record, None if kept is None else restored(kept))


def _fact(name: str, value: Any) -> Any:
    if name not in _SHOWN:
        return _hidden(value)
    own = _CLIENTS_OWN.get(name)
    if own is None:
        return _shown(value)
    return [{**_shown({**fact, own: None}), own: _options(fact[own])} for fact in value]


def _options(value: Any) -> Any:
    """Options with hidden values, except ``type``, the type of file system, which rules compare."""
    hidden = _hidden(value)
    if isinstance(value, dict) and "type" in value:
        hidden["type"] = masked_text(value["type"])
    return hidden


def _request(request: Mapping[str, Any]) -> dict[str, Any]:
    kept: dict[str, Any] = _hidden(request)
    for name in ("method", "path", "api_version", "unknown_fields"):
        kept[name] = _shown(request[name])
    kept["uri"] = masked_text(request["uri"].partition("?")[0])
    for name, shown in (("query", _QUERY), ("headers", _HEADERS)):
        kept[name] |= {key: _shown(value) for key, value in request[name].items() if key in shown}
    agent = request["headers"].get("user-agent", "")
    if tool_of(agent):
        kept["headers"]["user-agent"] = agent
    return kept


def _shown(value: Any) -> Any:
    """A value with its strings, in which ``masked_text`` masks secrets of a known form."""
    if isinstance(value, str):
        return masked_text(value)
    if isinstance(value, dict):
        return {masked_text(key): _shown(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_shown(inner) for inner in value]
    return value


def _hidden(value: Any) -> Any:
    """A value with its strings hidden; keys, numbers and lengths of lists are kept."""
    if isinstance(value, str):
        return value if value in _TELL_NOTHING else HIDDEN
    if isinstance(value, dict):
        return {masked_text(key): _hidden(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_hidden(inner) for inner in value]
    return value


def _writer(shape: Shape, place: str) -> _Write:  # noqa: PLR0911 - one case a type
    """A function that returns the recorded form of a canonical value of ``shape`` at ``place``:
    strings shown or hidden according to ``_BODY``, fields with zero values omitted."""
    match shape:
        case Struct():
            prefix = f"{place}." if place else ""
            fields = [
                (name, field.zero(), _writer(field, f"{prefix}{name}"))
                for name, field in shape.fields.items()
            ]
            return lambda value: {
                name: write(value[name]) for name, zero, write in fields if value[name] != zero
            }
        case Map() if f"{place}.*" in _BODY:
            return _labels
        case Map():
            inner = _writer(shape.element, f"{place}.*")
            return lambda value: {masked_text(key): inner(item) for key, item in value.items()}
        case Slice() | Array():
            inner = _writer(shape.element, f"{place}[]")
            return lambda value: [inner(item) for item in value]
        case Pointer():
            inner = _writer(shape.element, place)
            return lambda value: None if value is None else inner(value)
        case String() | Bytes():
            return _shown if place in _BODY else _hidden
    return lambda value: value


def _labels(labels: Mapping[str, str]) -> dict[str, str]:
    """Labels, with a value hidden if ``masked_text`` would mask part of ``NAME=value``."""
    kept = {}
    for name, value in labels.items():
        whole = f"{name}={value}"
        kept[masked_text(name)] = value if masked_text(whole) == whole else HIDDEN
    return kept


def _whole(shape: Shape, kept: Any) -> Any:
    """The canonical value of a recorded form, with omitted zero values restored."""
    match shape:
        case Struct():
            read = {name: _whole(shape.fields[name], item) for name, item in kept.items()}
            return {**shape.zero(), **read}
        case Map():
            return {key: _whole(shape.element, item) for key, item in kept.items()}
        case Slice() | Array():
            return [_whole(shape.element, item) for item in kept]
        case Pointer():
            return None if kept is None else _whole(shape.element, kept)
    return kept


@cache
def _body_writer(operation: str) -> _Write:
    """A function that returns the recorded form of the body of an operation."""
    shape = OPERATIONS[operation].body if operation in OPERATIONS else None
    return _hidden if shape is None or shape == STREAM else _writer(shape, "")
