"""The library for rules of the operator's own: what they call, and what their tests read.

It is a copy of the shipped policies without their tests, in a folder from which ``opa test``,
``opa check`` and editors can load it beside the operator's rules.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from authz_plugin import __version__, policy, renamed
from authz_plugin.errors import SetupError
from authz_plugin.settings import DEFAULT_PROFILE

POLICIES: Final = "policies"
"""The folder of the library that OPA loads: policies and data."""

SCHEMAS: Final = "schemas"
"""The folder of the library with the schemas of ``input`` and ``data.docker.authz.config``."""

_README: Final = "README.md"
_TITLE: Final = "# Library for rules of your own"
_TEXT: Final = f"""\
{_TITLE}

`opa-authz policy library` of version {__version__} has written this folder. Do not change it: the
plugin does not load it, and the next call of the command replaces it. Keep it outside of the folder
of your rules.

- `policies/` are the shipped policies without their tests. Rules may call
  `data.docker.authz.denial`, `data.docker.authz.path`, `data.docker.authz.pattern` and
  `data.docker.authz.effective`. Tests may read `data.docker.authz.examples` (input documents),
  `data.docker.authz.profiles` (the configuration of each profile) and `data.docker.authz.decision`
  (the decision by the shipped rules and yours). `data.docker.authz.config` is the configuration of
  the profile {DEFAULT_PROFILE}; `with` replaces it in a test.
- `schemas/` are the JSON schemas of `input` and of `data.docker.authz.config`.

With rules in `rules` and this folder as `library`:

    opa test library/policies rules
    opa check --strict --schema library/schemas library/policies rules
"""


def write(folder: Path) -> None:
    """Write the library into a folder, in place of what an earlier call has written there.

    Raises ``SetupError`` if the folder holds anything else, or cannot be written.
    """
    _check_replaceable(folder)
    root = folder / POLICIES / policy.ROOT
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / _README).write_text(_TEXT)
        for name in (POLICIES, SCHEMAS):
            shutil.rmtree(folder / name, ignore_errors=True)
        tests = shutil.ignore_patterns("*_test.rego")
        shutil.copytree(policy.SHIPPED / policy.ROOT, root, ignore=tests)
        shutil.copytree(policy.SHIPPED / SCHEMAS, folder / SCHEMAS)
        for name, content in _data().items():
            (root / name).mkdir(parents=True)
            (root / name / "data.json").write_text(json.dumps(content, indent=1) + "\n")
    except OSError as error:
        raise SetupError(f"{folder} cannot be written: {error.strerror or error}") from None


def shipped_data(name: str) -> dict[str, Any]:
    """Return ``data.docker.authz.NAME``, ``examples`` or ``profiles``, as it is shipped.

    Raises ``SetupError`` if its file is missing: in a checkout, the build makes it.
    """
    file = policy.SHIPPED / policy.ROOT / name / "data.json"
    try:
        data: dict[str, Any] = json.loads(file.read_text())
    except FileNotFoundError:
        raise SetupError(f"{file} is missing: run `make generate` in the checkout") from None
    return data


def _data() -> dict[str, Mapping[str, Any]]:
    """Return what the plugin adds to the policies, in a form that is the same on every host."""
    shipped_data("examples")  # without them, OPA passes a test whose cases draw on them
    config = shipped_data("profiles")[DEFAULT_PROFILE]
    return {
        "config": renamed.with_old_settings(config),
        "bundle": {
            "revision": policy.shipped_digest()[:12],
            "packages": sorted(policy.shipped_rules()),
        },
    }


def _check_replaceable(folder: Path) -> None:
    if not folder.exists():
        return
    readme = folder / _README
    if not folder.is_dir():
        raise SetupError(f"{folder} is a file: name a folder")
    if not any(folder.iterdir()):
        return
    if not readme.is_file() or not readme.read_text(errors="replace").startswith(_TITLE):
        raise SetupError(f"{folder} holds other files: name a folder of its own for the library")
