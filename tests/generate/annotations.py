"""``python -m tests.generate.annotations``: write authz_plugin/rules.json from the policies.

Checks the metadata of every rule first, and writes nothing if one is wrong. Imports nothing that
reads rules.json, so that it can replace a damaged file.
"""

from __future__ import annotations

import ast
import json
import sys
from collections.abc import Collection, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

from authz_plugin.engine import binary
from authz_plugin.journal.masking import may_hold_secret
from authz_plugin.rules import Change, Danger
from authz_plugin.settings import read_yaml

_ROOT: Final = Path(__file__).parents[2]
RULES_FILE: Final = _ROOT / "authz_plugin/rules.json"
_RULES: Final = _ROOT / "policies/docker/authz/rules"
_SCHEMAS: Final = _ROOT / "policies/schemas"
_STANDARDS: Final = _ROOT / "authz_plugin/tools/compliance/standards"
_DENIALS: Final = _ROOT / "authz_plugin/tools/config_changes/denials.py"

_KNOWN: Final[Mapping[str, type | tuple[type, ...]]] = {
    "id": str,
    "settings": list,
    "remedy": str,
    "change": dict,
    "danger": (str, dict),
    "baseline": dict,
    "records": list,
    "controls": list,
}
"""The keys of a rule's ``custom`` metadata and the types of their values."""

_TYPES: Final = {str: "a text", list: "a list", dict: "a map", (str, dict): "a text or a map"}

WITHOUT_SETTINGS: Final = ("identity.revoked", "request.incomplete")
"""Rules that no setting opens, beside those that deny what cannot be read."""


@cache
def inspected() -> Mapping[str, Any]:
    """The output of ``opa inspect`` for the shipped rule packages."""
    done = binary.find().run("inspect", "--annotations", "--format", "json", str(_RULES))
    if done.returncode:
        raise SystemExit(done.stderr or done.stdout)
    found: Mapping[str, Any] = json.loads(done.stdout)
    return found


def faults(found: Mapping[str, Any]) -> Iterator[str]:
    """Each fault in the metadata of the rules in the output of ``opa inspect``, as
    ``FILE: RULE: what is wrong``."""
    for entry in found["annotations"]:
        if entry["path"][-1]["value"] != "denials":
            continue
        custom = entry["annotations"].get("custom") or {}
        file = Path(entry["location"]["file"]).name
        if not isinstance(custom.get("id"), str):
            yield f"{file}:{entry['location']['row']}: the denial needs id in custom"
            continue
        for name in ("title", "description"):
            if not entry["annotations"].get(name, "").strip():
                yield f"{file}: {custom['id']}: needs {name}"
        yield from (f"{file}: {custom['id']}: {fault}" for fault in _faults(custom))


def rules_file() -> str:
    """The content of rules.json: the annotations of each rule, with the name of its package."""
    rules = [
        {
            "package": entry["path"][-2]["value"],
            "title": entry["annotations"].get("title", ""),
            "description": entry["annotations"].get("description", ""),
            "custom": entry["annotations"]["custom"],
        }
        for entry in inspected()["annotations"]
        if "id" in entry["annotations"].get("custom", {})
    ]
    return json.dumps(rules, indent=1, ensure_ascii=False) + "\n"


def main() -> int:
    """Write rules.json if it is out of date; return 1 and write nothing if metadata is wrong."""
    found = list(faults(inspected()))
    for fault in found:
        print(fault, file=sys.stderr)
    if not found and not (RULES_FILE.exists() and RULES_FILE.read_text() == rules_file()):
        RULES_FILE.write_text(rules_file())
    return 1 if found else 0


def _faults(custom: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with the ``custom`` metadata of one rule."""
    found = list(_faults_of_keys(custom))
    if found:
        yield from found
        return
    if custom["id"].endswith(".unreadable"):
        if custom.keys() != {"id"}:
            yield f"a rule .unreadable has id only; found {', '.join(custom)}"
        return
    if not custom.get("remedy", "").strip():
        yield "needs remedy"
    settings = custom.get("settings", [])
    if bool(settings) is (custom["id"] in WITHOUT_SETTINGS):
        only = ", ".join(WITHOUT_SETTINGS)
        yield f"settings must name a key, but for the rules {only}; found {settings}"
    yield from _faults_of_settings(settings)
    yield from _faults_of_change(custom, settings)
    for key in custom.get("baseline", {}):
        if key not in settings:
            yield f"baseline: {key} is none of the rule's settings: {', '.join(settings)}"
    yield from _faults_of_records(custom.get("records", []))
    yield from _faults_of_controls(custom.get("controls", []))


def _faults_of_keys(custom: Mapping[str, Any]) -> Iterator[str]:
    for name in sorted(custom.keys() - _KNOWN.keys()):
        yield f"{name} is not known; known: {', '.join(_KNOWN)}"
    for name, types in _KNOWN.items():
        if name in custom and not _is_of_type(name, custom[name]):
            yield f"{name} must be {_TYPES[types]}; found {custom[name]!r}"


def _is_of_type(name: str, value: Any) -> bool:
    if not isinstance(value, _KNOWN[name]):
        return False
    return not isinstance(value, list) or all(isinstance(item, str) for item in value)


def _faults_of_settings(settings: Collection[str]) -> Iterator[str]:
    for key in settings:
        schema: Mapping[str, Any] = json.loads((_SCHEMAS / "config.json").read_text())
        for part in key.split("."):
            known = schema.get("properties", {})
            if part not in known:
                named = ", ".join(known) or "none"
                yield f"settings: {key} is no key of schemas/config.json; it has there: {named}"
                break
            schema = known[part]


def _faults_of_change(custom: Mapping[str, Any], settings: Collection[str]) -> Iterator[str]:
    try:
        change = Change.of(custom["change"]) if "change" in custom else None
        danger = Danger.of(custom.get("danger", ""))
    except ValueError as error:
        yield str(error)
        return
    if danger.function and danger.function not in _functions("DANGERS"):
        known = ", ".join(_functions("DANGERS"))
        yield f"danger: function {danger.function} is not known; known: {known}"
    if change is None:
        if danger != Danger():
            yield "danger is of the change that change names; the rule has none"
        return
    if change.action == "function" and change.function not in _functions("FUNCTIONS"):
        known = ", ".join(_functions("FUNCTIONS"))
        yield f"change: function {change.function} is not known; known: {known}"
    key = ".".join(change.key)
    if (key or change.action != "function") and key not in settings:
        yield f"change: {key} is none of the rule's settings: {', '.join(settings)}"


def _faults_of_records(places: Collection[str]) -> Iterator[str]:
    facts = json.loads((_SCHEMAS / "input.json").read_text())["properties"].keys()
    known = sorted(facts - {"body", "request"})
    for place in places:
        first, dot, _ = place.partition(".")
        if (first not in {"body", "query"}) if dot else (place not in known):
            yield f"records: {place} is not known; known: body.PATH, query.NAME, {', '.join(known)}"
        elif may_hold_secret(place):
            yield f"records: {place} may hold a secret and is never recorded"


def _faults_of_controls(controls: Collection[str]) -> Iterator[str]:
    for control in controls:
        if control not in _controls():
            standard = control.partition(" ")[0]
            ids = [known for known in _controls() if known.partition(" ")[0] == standard]
            known = ids or sorted({known.partition(" ")[0] for known in _controls()})
            yield f"controls: {control} is not known; known: {', '.join(known)}"


@cache
def _controls() -> tuple[str, ...]:
    """The controls of all standards, as ``STANDARD ID``."""
    return tuple(
        f"{file.stem} {control['id']}"
        for file in sorted(_STANDARDS.glob("*.yaml"))
        for part in read_yaml(file)[0]["parts"]
        for control in part["controls"]
    )


@cache
def _functions(table: str) -> tuple[str, ...]:
    """The keys of a table in denials.py, which is read as text: importing it reads rules.json."""
    for node in ast.parse(_DENIALS.read_text()).body:
        if (
            isinstance(node, ast.AnnAssign)
            and isinstance(node.target, ast.Name)
            and node.target.id == table
            and isinstance(node.value, ast.Dict)
        ):
            return tuple(ast.literal_eval(key) for key in node.value.keys if key is not None)
    raise AssertionError(f"{_DENIALS} has no table {table}")


if __name__ == "__main__":
    sys.exit(main())
