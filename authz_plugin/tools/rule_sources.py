"""The rules of a policy with their places, read from the annotations in Rego by OPA."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from authz_plugin.engine.binary import Opa
from authz_plugin.errors import PolicyError
from authz_plugin.rules import AnnotatedRule, annotated_rules


def rule_sources(opa: Opa, folders: Sequence[Path]) -> Mapping[str, AnnotatedRule]:
    """The rules in folders of policies, by their ids.

    Raises ``PolicyError`` for policies that do not compile and for annotations that cannot be read.
    """
    return {found.rule.id: found for folder in folders for found in _annotated(opa, folder)}


def _annotated(opa: Opa, folder: Path) -> list[AnnotatedRule]:
    done = opa.run("inspect", "--annotations", "--format", "json", str(folder))
    if done.returncode != 0:
        raise PolicyError((done.stderr or done.stdout).strip())
    try:
        return list(annotated_rules(json.loads(done.stdout)))
    except ValueError as error:
        raise PolicyError(f"{folder}: an annotation cannot be read: {error}") from None
