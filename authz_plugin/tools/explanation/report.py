"""Formats explanations as text and as JSON.

Dangerous changes are withheld until ``--grant`` names them, and with them every other change for
the same requests.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from ruamel.yaml import YAML

from authz_plugin.journal.masking import masked_text
from authz_plugin.rules import AnnotatedRule
from authz_plugin.tools.config_changes.gate import (
    WITHHELD,
    Gate,
    granted_document,
    named_text,
    withheld_document,
    withheld_lines,
)
from authz_plugin.tools.config_changes.steps import ConfigChange
from authz_plugin.tools.explanation.candidates import Change, with_changes
from authz_plugin.tools.explanation.reasons import Explanation, Reason

Line = tuple[str, str]
"""A style of ``cli.terminal``, and the text of the line."""

_FORMATTED_SEPARATELY: Final = frozenset(
    {"body", "body_state", "caller", "mounts", "operation", "phase", "request", "time", "version"}
)

_KINDS: Final = frozenset({"action", "kind", "process", "resource", "type", "use"})
"""Keys of facts: a fact that has values for these only is not printed."""

_HIDDEN: Final = frozenset({"body", "phase", "request", "version"})


def to_document(explanation: Explanation, gate: Gate) -> dict[str, Any]:
    """Return an explanation as the JSON object that ``--json`` prints.

    It has the facts of the request and not its body. Secrets are masked.
    """
    judgement = explanation.judgement
    document = judgement.document or {}
    return {
        "request": explanation.title,
        "verdict": "allow" if judgement.allow else "deny",
        "operation": judgement.record.operation,
        "message": judgement.message,
        "profile": judgement.record.profile,
        "policy_revision": judgement.record.policy_revision,
        "facts": _masked({k: v for k, v in document.items() if k not in _HIDDEN}),
        "rules": [_reason(reason) for reason in explanation.reasons],
        "change": change_document(explanation.changes, gate),
    }


def change_document(changes: Sequence[Change] | None, gate: Gate) -> dict[str, Any] | None:
    """Return changes as ``--json`` prints them.

    ``words`` are their descriptions, ``settings`` keys of the settings file. ``grants`` and
    ``withheld`` have the form in which ``learn`` prints them; if anything is withheld, the others
    are empty.
    """
    if changes is None:
        return None
    withheld = _withheld(changes, gate)
    shown = () if withheld else changes
    return {
        "words": [change.description for change in shown],
        "settings": with_changes({}, shown),
        "grants": [_granted(change) for change in shown],
        "withheld": [withheld_document(role, mark) for role, mark in withheld],
    }


def _withheld(changes: Iterable[Change], gate: Gate) -> list[tuple[str, ConfigChange]]:
    """The roles and marks of changes that the gate withholds, each name with a danger once."""
    marks = [(change.role, replace(mark, steps=())) for change in changes for mark in change.marks]
    return [(role, mark) for role, mark in dict.fromkeys(marks) if gate.withholds(mark)]


def _granted(change: Change) -> dict[str, Any]:
    return granted_document(
        change.role,
        change.key,
        change.entry,
        removed=change.removed,
        rules={mark.rule for mark in change.marks},
        values={mark.value for mark in change.marks},
        dangers=_dangers(change),
    )


def _dangers(change: Change) -> set[str]:
    return {mark.danger for mark in change.marks} - {""}


def lines(explanation: Explanation, gate: Gate) -> Iterator[Line]:
    """Yield an explanation as lines of text."""
    judgement = explanation.judgement
    verdict = ("good", "ALLOWED") if judgement.allow else ("bad", "DENIED")
    yield verdict[0], f"{verdict[1]}  {explanation.title}"
    for reason in explanation.reasons:
        yield from _reason_lines(reason)
        yield "", ""
    if not judgement.allow:
        yield from change_lines(explanation.changes, "this", gate)
        yield "", ""
    if judgement.document is None:
        yield "", "  read as     nothing: it is refused before any policy is asked"
    else:
        for label, text in facts_of(judgement.document):
            yield "", f"  {label:<11} {text}"


def record_lines(record: Mapping[str, Any], sources: Mapping[str, AnnotatedRule]) -> Iterator[Line]:
    """Yield a decision record as lines of text, with the sources of the rules that it names."""
    allowed = record.get("verdict") == "allow"
    what = " ".join(str(record.get(name) or "") for name in ("operation", "resource")).strip()
    yield "good" if allowed else "bad", f"{'ALLOWED' if allowed else 'DENIED'}  {what}"
    for name in ("decision_id", "timestamp", "user", "role", "profile", "policy_revision", "error"):
        if record.get(name):
            yield "", f"  {name.replace('_', ' '):<15} {record[name]}"
    if record.get("details"):
        yield "", f"  {'details':<15} {record['details']}"
    outcome = record.get("outcome")
    if outcome:
        status = outcome.get("status") or "not reported"
        made = ", ".join(outcome.get("created") or [])
        yield "", f"  {'outcome':<15} status {status}{f', made {made}' if made else ''}"
    for kind in ("rules", "warnings"):
        for named in record.get(kind) or []:
            rule, _, field = str(named).partition(" ")
            yield "", ""
            yield "warning" if kind == "warnings" else "bad", f"  {rule}  {field}"
            yield from _source_lines(sources.get(rule))
    if not record.get("input"):
        yield "", ""
        yield (
            "dim",
            "No input was recorded (audit.inputs). To see the facts and what would allow it,",
        )
        yield (
            "dim",
            "explain the request itself: a file with it, or `opa-authz explain -- docker …`.",
        )


def _reason(reason: Reason) -> dict[str, Any]:
    denial, source = reason.denial, reason.source
    return {
        "rule": denial.rule,
        "field": denial.field,
        "value": _masked(denial.value),
        "message": denial.message,
        "hint": denial.hint,
        "detail": denial.detail,
        "warns": reason.warns,
        "file": source.file if source else None,
        "line": source.row if source else None,
        "title": source.rule.title if source else None,
        "description": source.rule.description if source else None,
    }


def _masked(value: Any) -> Any:
    """Return a JSON value in which ``masked_text`` has masked secrets in every string."""
    if isinstance(value, Mapping):
        return {name: _masked(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_masked(inner) for inner in value]
    return masked_text(value) if isinstance(value, str) else value


def _reason_lines(reason: Reason) -> Iterator[Line]:
    denial = reason.denial
    style = "warning" if reason.warns else "bad"
    only = "  (only warns)" if reason.warns else ""
    yield style, f"  {denial.rule}  {denial.field}{only}"
    hint = f"; {denial.hint}" if denial.hint else ""
    yield "", f"    {denial.message}{hint}"
    if denial.detail:
        yield "", f"    {denial.detail}"
    yield from _source_lines(reason.source)


def _source_lines(source: AnnotatedRule | None) -> Iterator[Line]:
    if source is None:
        yield "dim", "    said by the plugin itself, not by a rule of the policy"
        return
    yield "dim", f"    {_relative(source.file)}:{source.row}"
    yield "dim", f"    {source.rule.title}. {source.rule.description}"


def change_lines(changes: Sequence[Change] | None, what: str, gate: Gate) -> Iterator[Line]:
    """Yield changes as lines of text; ``what`` names what they allow."""
    if changes is None:
        yield "head", f"  No change of configuration allows {what}."
        return
    withheld = _withheld(changes, gate)
    if withheld:
        yield "head", f"  What allows {what} is not shown."
        yield "", f"  {WITHHELD}"
        for role, mark in withheld:
            for text in withheld_lines(role, mark):
                yield "warning", f"    {text}"
        return
    yield "head", f"  The smallest change that allows {what} (tried on the policy):"
    for change in changes:
        yield "", f"    - {change.description}"
        for danger in sorted(_dangers(change)):
            yield "warning", f"      {named_text(danger)}"
    yield "", ""
    for line in yaml_lines(with_changes({}, changes)):
        yield "", f"    {line}"


def yaml_lines(settings: Mapping[str, Any]) -> list[str]:
    """Return settings as the lines of a settings file."""
    text = io.StringIO()
    yaml = YAML()
    yaml.default_flow_style = None
    yaml.width = 88
    yaml.dump(dict(settings), text)
    return text.getvalue().splitlines()


def facts_of(document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the facts of an input document, each as a kind (``"mount"``) and a text."""
    operation = document["operation"]
    resource = operation["resource"]
    named = f" {resource['kind']} {resource['ref']}" if resource else ""
    section = f"section {operation['section']}, {operation['access']}"
    yield "operation", f"{operation['id']}{named} ({section})"
    yield "caller", _caller(document["caller"])
    if document["body_state"] == "invisible":
        yield "body", "not shown by dockerd"
    for mount in document["mounts"]:
        yield "mount", _mount(mount)
    for name, facts in document.items():
        if name not in _FORMATTED_SEPARATELY and isinstance(facts, list | tuple):
            for fact in facts:
                if isinstance(fact, Mapping) and (text := _fact(fact)):
                    yield _singular(name), text


def _caller(caller: Mapping[str, Any]) -> str:
    if not caller["user"] and not caller["certificates"]:
        return "unknown: dockerd names nobody on its unix socket"
    parts = [caller["method"]] if caller["method"] else []
    for certificate in caller["certificates"][:1]:
        subject = certificate["subject"]
        parts += [f"{key}={name}" for key in ("O", "OU") for name in subject[key]]
        parts += certificate["sans"]
    return f"{caller['user']} ({', '.join(parts)})"


def _mount(mount: Mapping[str, Any]) -> str:
    source = mount["path"] or mount["source"] or "(new)"
    if mount["path"] and mount["resolved"] is None:
        source += " (where its links lead is not known)"
    elif mount["resolved"] not in {None, mount["path"]}:
        source += f" (a link to {mount['resolved']})"
    if mount["path"] and mount["resolved"] is not None and not mount["exists"]:
        source += " (does not exist)"
    parts = [mount["type"], "read-only" if mount["read_only"] else "writable"]
    parts += [mount[name] for name in ("propagation", "driver") if mount[name]]
    return f"{source} -> {mount['target']}, {', '.join(parts)} [{mount['field']}]"


def _fact(fact: Mapping[str, Any]) -> str:
    """Return the values of a fact that are not defaults, and its field; empty without any."""
    shown = {n: value for n, value in fact.items() if n != "field" and _is_informative(value)}
    if not shown.keys() - _KINDS or "field" not in fact:
        return ""
    parts = [str(value) if name == "name" else f"{name} {value}" for name, value in shown.items()]
    return f"{', '.join(parts)} [{fact['field']}]"


def _is_informative(value: Any) -> bool:
    if isinstance(value, str):
        return value not in {"", "default"}
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0


def _singular(name: str) -> str:
    return name.replace("_", " ").removesuffix("s").replace("capabilitie", "capability")


def _relative(file: str) -> str:
    """Return a path relative to the working directory if it is below it."""
    path = Path(file)
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else file
