"""Reads the output of ``validate --json`` and ``doctor --json``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import jsonschema
from jsonschema.exceptions import best_match

from authz_plugin.errors import SettingsError
from authz_plugin.tools.doctor.examination import Examination
from authz_plugin.tools.doctor.finding import SEVERITIES, Finding
from authz_plugin.tools.validation.checks import GROUPS, Result
from authz_plugin.tools.validation.report import Report

_TEXT: Final = {"type": "string"}


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _list(items: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


_CHECK: Final = _object(
    id=_TEXT,
    group={"enum": list(GROUPS)},
    title=_TEXT,
    passed={"type": ["boolean", "null"]},
    expected={"enum": ["", "allowed", "denied"]},
    observed=_TEXT,
    rules=_list(_TEXT),
    detail=_TEXT,
)
_VALIDATION: Final = _object(
    version={"const": 1},
    time=_TEXT,
    endpoint=_TEXT,
    engine=_TEXT,
    caller=_TEXT,
    profile=_TEXT,
    policy_revision=_TEXT,
    checks=_list({**_CHECK, "additionalProperties": False}),
)
_FINDING: Final = _object(
    id=_TEXT, severity={"enum": list(SEVERITIES)}, what=_TEXT, why=_TEXT, fix=_TEXT
)
_EXAMINATION: Final = _object(
    version={"const": 1},
    time=_TEXT,
    host=_TEXT,
    endpoint=_TEXT,
    policy_revision=_TEXT,
    findings=_list({**_FINDING, "additionalProperties": False}),
)


def read_validation(file: Path) -> Report:
    """Read a validation's report; raises ``SettingsError`` if the file is not one."""
    given = _read(file, "--validation", "opa-authz validate --json", _VALIDATION)
    return Report(
        endpoint=given["endpoint"],
        engine=given["engine"],
        profile=given["profile"],
        policy_revision=given["policy_revision"],
        results=[Result(**{**one, "rules": tuple(one["rules"])}) for one in given["checks"]],
        caller=given["caller"],
        time=given["time"],
    )


def read_examination(file: Path) -> Examination:
    """Read an examination; raises ``SettingsError`` if the file is not one."""
    given = _read(file, "--doctor", "opa-authz doctor --json", _EXAMINATION)
    return Examination(
        time=given["time"],
        host=given["host"],
        endpoint=given["endpoint"],
        policy_revision=given["policy_revision"],
        findings=[Finding(**one) for one in given["findings"]],
    )


def _read(file: Path, option: str, command: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    try:
        document: dict[str, Any] = json.loads(file.read_bytes())
        # jsonschema.validate does the same, but also checks the schema each time.
        fault = best_match(jsonschema.Draft202012Validator(schema).iter_errors(document))
        if fault is not None:
            raise fault
        moment = datetime.fromisoformat(document["time"])
    except OSError as error:
        raise SettingsError(option, "", f"{file} cannot be read: {error.strerror}") from error
    except (ValueError, jsonschema.ValidationError) as error:
        reason = error.message if isinstance(error, jsonschema.ValidationError) else str(error)
        raise SettingsError(
            option, "", f"{file} is not what `{command}` of this version prints: {reason[:200]}"
        ) from error
    return {**document, "time": moment if moment.tzinfo else moment.replace(tzinfo=UTC)}
