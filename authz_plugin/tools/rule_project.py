"""Starts rules of the operator's own: a repository for them, and each rule with its test.

Nothing here changes a running plugin.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from authz_plugin.errors import PolicyError
from authz_plugin.tools import rule_library

_NAME: Final = re.compile(r"[a-z][a-z0-9_]*")

_LIBRARY: Final = "library"
_REGAL: Final = Path(".regal/config.yaml")
_REGAL_CONFIG: Final = """\
# Regal's configuration for rules of opa-authz's users, of which Regal sees only a part of a policy.
rules:
  idiomatic:
    # A rule package is docker.authz.rules.custom_NAME, in a folder custom_NAME.
    directory-package-mismatch:
      level: ignore
    # The entrypoint is the library's.
    no-defined-entrypoint:
      level: ignore
  imports:
    # The library's packages and data. `opa-authz policy check` looks them up.
    unresolved-import:
      level: error
      except-imports:
        - data.docker.authz.**
    unresolved-reference:
      level: error
      except-paths:
        - data.docker.authz.**
    prefer-package-imports:
      level: error
      ignore-import-paths:
        - data.docker.authz.examples
        - data.docker.authz.profiles
ignore:
  files:
    - "library/**"
"""

_RULE: Final = """\
# METADATA
# title: Own rules, {name}
# description: Say here what these rules are for.
package docker.authz.rules.custom_{name}

import data.docker.authz.denial

# METADATA
# title: A container must have a name
# description: Say here why. This rule is an example, put yours in its place.
# custom:
#   id: custom.{id}
denials contains denial.of(
	"custom.{id}", "query.name", null,
	"a container without a name is not allowed",
	"docker run --name NAME",
) if {{
	input.operation.id == "container.create"
	not _named
}}

_named if input.request.query.name[0] != ""
"""

_TEST: Final = """\
package docker.authz.rules.custom_{name}_test

import data.docker.authz.examples
import data.docker.authz.rules.custom_{name}

test_denied[description] if {{
	some description, query in {{
		"no name": {{}},
		"an empty name": {{"name": [""]}},
	}}
	found := custom_{name}.denials with input as _create(query)
	{{denial.rule | some denial in found}} == {{"custom.{id}"}}
}}

test_allowed[description] if {{
	some description, request in {{
		"a name": _create({{"name": ["web"]}}),
		"something else": examples.container_list,
	}}
	found := custom_{name}.denials with input as request
	count(found) == 0
}}

_create(query) := json.patch(
	examples.container_create,
	[{{"op": "replace", "path": "/request/query", "value": query}}],
)
"""


def init(folder: Path) -> list[tuple[Path, str]]:
    """Start a repository of rules in a folder: the library and Regal's configuration.

    Returns each path with what was done: ``"written"`` or ``"kept"``. The library is written anew,
    other files that are there are kept. Raises ``SetupError`` if a file cannot be written.
    """
    library = folder / _LIBRARY
    rule_library.write(library)
    config = folder / _REGAL
    if config.exists():
        return [(library, "written"), (config, "kept")]
    config.parent.mkdir(exist_ok=True)
    config.write_text(_REGAL_CONFIG)
    return [(library, "written"), (config, "written")]


def new(folder: Path, name: str) -> list[Path]:
    """Write a rule and its test from templates, and return their paths.

    They are written to the folder ``custom_NAME``. Raises ``PolicyError`` if the name is not valid
    or if that folder exists.
    """
    if not _NAME.fullmatch(name):
        raise PolicyError(f"{name} is not a name: lower-case letters, digits and _")
    target = folder / f"custom_{name}"
    if target.exists():
        raise PolicyError(f"{target} is there already")
    target.mkdir(parents=True)
    words = {"name": name, "id": name.replace("_", "-")}
    files = {f"custom_{name}.rego": _RULE, f"custom_{name}_test.rego": _TEST}
    for file, template in files.items():
        (target / file).write_text(template.format_map(words))
    return [target / file for file in files]
