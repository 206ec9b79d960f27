"""docs/reference/profiles.md: what each shipped profile allows, from the profiles themselves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from authz_plugin import policy
from authz_plugin.configuration import complete_profile
from authz_plugin.dockerd.routes import OPERATIONS
from authz_plugin.hostpaths import LocalHostPaths
from tests.generate.rules import rule_link
from tests.profile_guarantees import (
    COMMON_GUARANTEES,
    GUARANTEES,
    WITHOUT_GUARANTEES,
    Guarantee,
)

GENERAL: Final = (
    "production", "devcontainer", "agent", "baseline", "restricted", "cis", "read-only", "closed",
)  # fmt: skip
"""The profiles that are for hosts; every other one is for a client."""

_FOLDER: Final = Path(__file__).parents[2] / "policies/profiles"

_HEAD: Final = """\
# Profiles

A profile is a complete policy configuration with a name. Select one, and set the keys that differ
on your host ([policy configuration](policy-configuration.md)):

```yaml
profile: devcontainer
mounts: {allow: [{path: /workspace}]}
```

`production` is the default. A key that a profile does not set has the value of `closed`, which
allows nothing but ping and version. **No** profile allows privileged containers, namespaces of the
host, devices, the Docker socket, other log drivers, or a host path that you have not named, but
`observe`, which denies nothing.

This page is made from the files in [policies/profiles](../../policies/profiles).
"""

_PROMISES: Final = """\
## What they guarantee

`observe` guarantees nothing; "every profile" below is each of the others.
The rules in the last column enforce each guarantee. A test sends requests that would violate it and
expects the profile to deny them (`tests/profile_guarantees.py`).
[Limits](../explanation/limits.md) lists what no plugin can guarantee.

| profile | guarantee | rules |
|---|---|---|"""

_OBSERVE: Final = """\
### To begin with

**observe**: {purpose}

Every request but ping and version is in the log as a warning (`rules` of `closed` that would have
denied it). With `audit.inputs: true`, [learn](../how-to/learn.md) makes a policy of the records.
Requests that cannot be read, or that engines read differently, are denied all the same: the rules
`request.*`. `opa-authz check` warns, `doctor` finds it critical and `validate` fails while a policy
is in mode warn.
"""

_CLIENTS: Final = """\

*some*: only some operations of the section; see the profile's file. [Operations](operations.md)
lists the operations of each section.

## For clients

These profiles are made for one client program each and allow single operations, never a whole
section. Give the client a certificate and a [role](policy-configuration.md#who-asks) with its
profile. If it is the only client of the host, select its profile for the host. All of them allow
ping and version.
"""

_COLUMNS: Final[dict[str, Callable[[dict[str, Any]], str]]] = {
    "host ports": lambda c: _ports(c["ports"]),
    "images": lambda c: _images(c["images"]),
    "users": lambda c: ", ".join(c["users"]["containers"]),
    "must be limited": lambda c: ", ".join(c["resources"]["required"]) or "nothing",
    "default bridge": lambda c: _yes(c["networks"]["default_bridge"]),
    "capabilities to add": lambda c: str(len(c["capabilities"]["allow"])),
    "must drop": lambda c: ", ".join(c["hardening"]["drop"]) or "nothing",
    "no-new-privileges": lambda c: _must(c["hardening"]["no_new_privileges"]),
    "read-only root": lambda c: _must(c["hardening"]["read_only_root"]),
}


def profiles_page() -> str:
    """The page: the general profiles side by side, then one row a client."""
    complete = {name: complete_profile(name, LocalHostPaths()) for name in policy.profiles()}
    lines = [_HEAD, "## For hosts", ""]
    for name in GENERAL:
        lines += [f"**{name}**: {_purpose(name)}", ""]
    lines += [_OBSERVE.format(purpose=_purpose(WITHOUT_GUARANTEES))]
    lines += _comparison(complete)
    lines += ["", "## What they open", "", f"| section | {' | '.join(GENERAL)} |"]
    lines.append("|---|" + "---|" * len(GENERAL))
    for section in complete["closed"]["sections"]:
        cells = (_section(complete[name], section) for name in GENERAL)
        lines.append(f"| {section} | {' | '.join(cells)} |")
    lines += ["", _PROMISES, *_guarantee_rows("every profile", COMMON_GUARANTEES)]
    for name in GENERAL:
        lines += _guarantee_rows(f"`{name}`", GUARANTEES[name])
    lines += [_CLIENTS, "| preset | for | operations |", "|---|---|---|"]
    for name in sorted(set(complete) - set(GENERAL) - {WITHOUT_GUARANTEES}):
        lines.append(f"| `{name}` | {_purpose(name)} | {', '.join(_operations(complete[name]))} |")
    return "\n".join(lines) + "\n"


def _guarantee_rows(whose: str, guarantees: tuple[Guarantee, ...]) -> list[str]:
    """The rows of a table: what is promised, and the rules that keep it."""
    return [
        f"| {whose} | {guarantee.text} | {_links(guarantee.rules)} |" for guarantee in guarantees
    ]


def _links(rules: tuple[str, ...]) -> str:
    return ", ".join(map(rule_link, rules))


def _purpose(name: str) -> str:
    comment = []
    for line in (_FOLDER / f"{name}.yaml").read_text().splitlines():
        if not line.startswith("#"):
            break
        comment.append(line.removeprefix("#").strip())
    return " ".join(comment)


def _comparison(complete: dict[str, dict[str, Any]]) -> list[str]:
    names = [name for name in GENERAL if name not in {"closed", "read-only"}]
    lines = [f"| containers | {' | '.join(names)} |", "|---|" + "---|" * len(names)]
    for label, cell in _COLUMNS.items():
        lines.append(f"| {label} | {' | '.join(cell(complete[name]) for name in names)} |")
    return lines


def _operations(config: dict[str, Any]) -> list[str]:
    free = {"system.options", "system.ping", "system.version"}
    return [f"`{id_}`" for id_ in OPERATIONS if _allows(config, id_) and id_ not in free]


def _allows(config: dict[str, Any], operation: str) -> bool:
    said = config["operations"].get(operation)
    if said is not None:
        return bool(said == "allow")
    level = config["sections"][OPERATIONS[operation].section]
    return bool(level == "write" or level == OPERATIONS[operation].access)


def _section(config: dict[str, Any], section: str) -> str:
    found = [id_ for id_, operation in OPERATIONS.items() if operation.section == section]
    allowed = [id_ for id_ in found if _allows(config, id_)]
    reads = [id_ for id_ in found if OPERATIONS[id_].access == "read"]
    if not allowed:
        return ""
    if allowed == found:
        return "write" if reads != found else "read"
    return "read" if allowed == reads else "some"


def _ports(ports: dict[str, Any]) -> str:
    ranges = [f"{r['first']} to {r['last']}" for r in ports["ranges"]]
    return ", ".join(ranges) or "none"


def _images(images: dict[str, Any]) -> str:
    allowed = "any" if images["allow"] == ["*"] else ", ".join(images["allow"]) or "none"
    return allowed if images["latest"] else f"{allowed}, not latest"


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _must(value: bool) -> str:
    return "must" if value else ""
