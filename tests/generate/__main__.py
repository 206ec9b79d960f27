"""``python -m tests.generate [--check]``: write the made files, or say which are out of date."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from authz_plugin import policy
from authz_plugin.configuration import made_profiles
from authz_plugin.tools.settings_schema import settings_schema
from tests.generate.annotations import RULES_FILE, faults, inspected, rules_file
from tests.generate.attacks import attacks_page
from tests.generate.builtins import builtins_page
from tests.generate.clients import clients_page
from tests.generate.configuration import configuration_page
from tests.generate.controls import controls_page
from tests.generate.dashboard import dashboard
from tests.generate.fields import fields_page
from tests.generate.fleet_dashboard import fleet_dashboard
from tests.generate.input import input_page
from tests.generate.operations import operations_page
from tests.generate.profiles import profiles_page
from tests.generate.rules import rules_pages
from tests.generate.schema import input_schema
from tests.generate.settings import settings_page

_ROOT = Path(__file__).parents[2]
_REFERENCE = _ROOT / "docs/reference"


def makers() -> dict[Path, Callable[[], str]]:
    """The function that makes the content of each made file, but of the rules' pages."""
    return {
        _ROOT / "policies/schemas/input.json": lambda: _json(input_schema()),
        _REFERENCE / "attacks.md": attacks_page,
        _REFERENCE / "builtins.md": builtins_page,
        _REFERENCE / "clients.md": clients_page,
        _REFERENCE / "controls.md": controls_page,
        _REFERENCE / "fields.md": fields_page,
        _REFERENCE / "input.md": input_page,
        _REFERENCE / "operations.md": operations_page,
        _REFERENCE / "policy-configuration.md": configuration_page,
        _REFERENCE / "profiles.md": profiles_page,
        RULES_FILE: rules_file,
        _ROOT / "authz_plugin/profiles.json": lambda: _json(made_profiles()),
        _ROOT / "authz_plugin/policies.sha256": lambda: policy.shipped_digest() + "\n",
        _REFERENCE / "settings.md": settings_page,
        _REFERENCE / "settings.schema.json": lambda: _json(settings_schema()),
        _ROOT / "deploy/grafana/opa-authz.json": lambda: _json(dashboard()),
        _ROOT / "deploy/grafana/opa-authz-fleet.json": lambda: _json(fleet_dashboard()),
    }


def made_rules_pages() -> dict[Path, str]:
    """The pages of the rules and their content."""
    return {_REFERENCE / page: text for page, text in rules_pages().items()}


def made() -> dict[Path, str]:
    """Every made file and its content."""
    return {file: make() for file, make in makers().items()} | made_rules_pages()


def main() -> int:
    """Write the files, or with ``--check`` compare them."""
    check = "--check" in sys.argv[1:]
    wrong = list(faults(inspected()))
    if wrong:
        print("\n".join(wrong), file=sys.stderr)
        return 1
    files = made()
    stale = [f for f, text in files.items() if not f.exists() or f.read_text() != text]
    for file in stale:
        print(
            f"{file.relative_to(_ROOT)} {'is out of date: make generate' if check else 'written'}"
        )
        if not check:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(files[file])
    return 1 if check and stale else 0


def _json(document: Any) -> str:
    return json.dumps(document, indent=1) + "\n"


if __name__ == "__main__":
    sys.exit(main())
