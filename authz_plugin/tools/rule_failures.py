"""Why a test of rules failed: the expression that did not hold, what it expected and what it got.

``opa test --var-values`` reports the expressions that failed, as OPA has rewritten them, with the
values of their variables. This module finds the expression in the test's source. Where an operand
is not a variable but, say, a comprehension, it has OPA evaluate that operand's source.
"""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from authz_plugin.engine.binary import Opa

_EQUALITY: Final = frozenset({"equal", "eq"})
_LITERALS: Final = frozenset({"boolean", "null", "number", "string"})
_BRACKETS: Final = {"array": ("[", "]"), "object": ("{", "}"), "set": ("{", "}")}
_LONGEST: Final = 400
"""The characters of a value that are shown; input documents are long."""

Term = Mapping[str, Any]
"""A term of OPA's syntax tree: ``{"type": …, "value": …}``."""


@dataclass(frozen=True, slots=True)
class Failure:
    """What did not hold in a test case.

    ``place`` is the expression as ``FILE:LINE`` and ``expression`` its source. ``expected`` and
    ``got`` are the two sides of an equality as Rego, or empty; ``values`` are the values of the
    variables in any other expression. ``message`` is an error of OPA's instead of all that.
    """

    place: str
    expression: str = ""
    expected: str = ""
    got: str = ""
    values: Mapping[str, str] = field(default_factory=dict)
    message: str = ""

    def lines(self) -> Iterator[str]:
        """Yield the failure as lines of text, without the name of the test."""
        yield f"{self.place}: {self.message or ' '.join(self.expression.split())}"
        if self.got:
            yield f"  expected  {self.expected}"
            yield f"  got       {self.got}"
        for name, value in self.values.items():
            yield f"  {name} is {value}"


@dataclass(frozen=True, slots=True)
class _Event:
    """An expression that failed: its place in the source, its rewritten form, and the values of
    the variables at that moment, by their rewritten names; ``names`` are their names in source."""

    row: int
    col: int
    terms: Sequence[Term]
    values: Mapping[str, Term]
    names: Mapping[str, str]

    def is_in_case(self, case: str) -> bool:
        """Whether a variable of the source names this case of a table of cases."""
        return any(
            value == {"type": "string", "value": case} and not self._is_made(name)
            for name, value in self.values.items()
        )

    def _is_made(self, name: str) -> bool:
        return self.names.get(name, name).startswith("__local")

    def in_source(self) -> dict[str, Term]:
        """Return the values of the variables by their names in the source."""
        return {
            self.names.get(name, name): value
            for name, value in self.values.items()
            if not self._is_made(name) and value.get("type") in {*_LITERALS, *_BRACKETS}
        }


class Failures:
    """Reads the failures from results of ``opa test --var-values --format json``.

    ``options`` are those of OPA for the evaluation of operands.
    """

    def __init__(self, opa: Opa, options: Sequence[str] = ()) -> None:
        self._opa = opa
        self._options = options
        self._read: dict[str, dict[tuple[int, int], Mapping[str, Any]]] = {}

    def of(self, result: Mapping[str, Any]) -> dict[str, Failure]:
        """Return the failures of one test by the name of the case; the name is empty for a test
        that is not a table of cases."""
        file = result["location"]["file"]
        place = f"{file}:{result['location']['row']}"
        if result.get("error"):
            error = result["error"]
            message = error.get("message") if isinstance(error, Mapping) else None
            return {"": Failure(place, message=str(message or error))}
        cases = result.get("sub_results") or {}
        failed = [name for name, outcome in cases.items() if outcome.get("fail")]
        events = list(_events(result))
        found = {}
        for case in failed or [""]:
            event = next((e for e in reversed(events) if not case or e.is_in_case(case)), None)
            found[case] = self._failure(file, event) or Failure(
                place, message="does not hold, or is undefined"
            )
        return found

    def _failure(self, file: str, event: _Event | None) -> Failure | None:
        source = None if event is None else self._expressions(file).get((event.row, event.col))
        if event is None or source is None:
            return None
        place, text, terms = f"{file}:{event.row}", _text(source), source["terms"]
        values = event.in_source()
        used = {n: _cut(literal(value)) for n, value in values.items() if _mentions(terms, n)}
        if not _is_equality(terms) or len(event.terms) != len(terms):
            return Failure(place, text, values=used)
        got, expected = terms[1:]
        if _is_constant(got) and not _is_constant(expected):
            got, expected = expected, got
        sides = {
            id(written): self._operand(event, made, written, values)
            for made, written in zip(event.terms[1:], terms[1:], strict=True)
        }
        left, right = sides[id(got)], sides[id(expected)]
        if left is None or right is None:
            return Failure(place, text, values=used)
        others = {name: value for name, value in used.items() if value not in {left, right}}
        return Failure(place, text, _cut(right), _cut(left), others)

    def _operand(
        self, event: _Event, made: Term, written: Term, values: Mapping[str, Term]
    ) -> str | None:
        """Return an operand as Rego, or None if it cannot be known. ``made`` is the operand as OPA
        has rewritten it, ``written`` that of the source."""
        if _is_constant(made):
            return literal(made)
        if made["type"] == "var" and made["value"] in event.values:
            return literal(event.values[made["value"]])
        given = [f"{n} := {_untyped(values[n])}" for n in values if _mentions(written, n)]
        # Formatted by OPA, because JSON has no sets.
        query = "; ".join([*given, f'got := sprintf("%v", [[{_text(written)}]])'])
        done = self._opa.run("eval", "--format", "json", "--fail", *self._options, query)
        if done.returncode != 0:
            return None
        text: str = json.loads(done.stdout)["result"][0]["bindings"]["got"]
        return text[1:-1]

    def _expressions(self, file: str) -> dict[tuple[int, int], Mapping[str, Any]]:
        """Return the expressions of a file by row and column."""
        if file not in self._read:
            run = self._opa.run("parse", "--format", "json", "--json-include", "locations", file)
            self._read[file] = {
                (expression["location"]["row"], expression["location"]["col"]): expression
                for rule in json.loads(run.stdout).get("rules") or []
                for expression in rule["body"]
            }
        return self._read[file]


def _events(result: Mapping[str, Any]) -> Iterator[_Event]:
    """Yield the expressions of the test's own body that failed, in their order."""
    for event in result.get("trace") or []:
        location = event["Location"]
        own = event["ParentID"] == 0 and location["file"] == result["location"]["file"]
        if event["Op"] != "Fail" or not own:
            continue
        terms = event["Node"]["terms"]
        yield _Event(
            location["row"],
            location["col"],
            terms if isinstance(terms, list) else [terms],
            {
                value["name"]: {"type": value["type"], "value": value.get("value")}
                for value in event["Locals"] or []
            },
            {name: data["name"] for name, data in (event["LocalMetadata"] or {}).items()},
        )


def _is_equality(terms: Any) -> bool:
    """Whether the terms of an expression are a call of ``==`` or ``=``."""
    return (
        isinstance(terms, list)
        and terms[0]["type"] == "ref"
        and len(terms[0]["value"]) == 1
        and terms[0]["value"][0]["value"] in _EQUALITY
    )


def _text(node: Mapping[str, Any]) -> str:
    return b64decode(node["location"]["text"]).decode()


def _mentions(node: Any, name: str) -> bool:
    """Whether a syntax tree has a variable of this name."""
    if isinstance(node, Mapping):
        if node.get("type") == "var":
            return bool(node["value"] == name)
        return any(_mentions(inner, name) for inner in node.values())
    return isinstance(node, list) and any(_mentions(inner, name) for inner in node)


def _is_constant(term: Term) -> bool:
    kind, value = term["type"], term.get("value")
    if kind == "object":
        return all(_is_constant(part) for pair in value or [] for part in pair)
    if kind in _BRACKETS:
        return all(map(_is_constant, value or []))
    return kind in _LITERALS


def literal(term: Term) -> str:
    """Return a constant term as Rego."""
    kind, value = term["type"], term.get("value")
    if kind == "null":
        return "null"
    if kind in _LITERALS:
        return json.dumps(value)
    if kind == "set" and not value:
        return "set()"
    start, end = _BRACKETS[kind]
    pairs = kind == "object"
    parts = [": ".join(map(literal, part)) if pairs else literal(part) for part in value or []]
    return f"{start}{', '.join(parts)}{end}"


def _untyped(term: Term) -> str:
    """Return Rego of a constant whose type OPA does not infer. With it, OPA would refuse to
    evaluate what is undefined, such as a field of a member of an empty set."""
    kind, value = term["type"], term.get("value") or []
    if kind == "set" and not _holds_sets(value):
        items = json.dumps(f"[{', '.join(map(literal, value))}]")
        return f"{{item | some item in json.unmarshal({items})}}"
    if kind in {"array", "object"} and not _holds_sets(value):
        return f"json.unmarshal({json.dumps(literal(term))})"
    return literal(term)


def _holds_sets(node: Any) -> bool:
    if isinstance(node, Mapping):
        return node.get("type") == "set" or _holds_sets(node.get("value"))
    return isinstance(node, list) and any(map(_holds_sets, node))


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
