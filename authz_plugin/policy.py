"""The policy in force: shipped rules, the operator's rules and the configuration, as one bundle.

A bundle is a folder that OPA loads whole. It is checked before it is used, so that a policy or a
configuration with a mistake stops the start, or leaves the running one in place.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import re
import shutil
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from authz_plugin.dockerd.mounts import clean
from authz_plugin.dockerd.routes import OPERATIONS
from authz_plugin.errors import PolicyError, SettingsError
from authz_plugin.hostpaths import HostPaths
from authz_plugin.settings import (
    DEFAULT_PROFILE,
    Places,
    Settings,
    read_yaml,
    show,
    validate,
    without_required,
)

ROOT: Final = Path("docker/authz")
"""The folder, and so the package, that everything lives in."""

_RULES: Final = "data.docker.authz.rules."
_CUSTOM: Final = re.compile(re.escape(_RULES) + r"custom_\w+(\.\w+)*")

_RULE_ID: Final = re.compile(r"^# custom:\n#   id: (\S+)$", re.MULTILINE)


def _shipped() -> Path:
    inside = Path(__file__).with_name("policies")
    return inside if inside.is_dir() else Path(__file__).parents[1] / "policies"


SHIPPED: Final = _shipped()
"""The folder of the policies that come with this package."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """A checked policy: ``folder`` is what OPA loads, ``revision`` names its content."""

    folder: Path
    revision: str
    profile: str
    packages: frozenset[str]


class Compiler(Protocol):
    """What making a bundle needs of OPA; ``engine.binary.Opa`` is one."""

    def check(self, schemas: Path, policies: Sequence[Path]) -> None:
        """Compile policies strictly; raises ``PolicyError`` with file, line and reason."""

    def packages(self, policies: Sequence[Path]) -> dict[str, list[str]]:
        """The packages of policies and the files that each is made of."""


def config_schema() -> dict[str, Any]:
    """The JSON schema of the policy configuration."""
    schema: dict[str, Any] = json.loads((SHIPPED / "schemas/config.json").read_text())
    return schema


def profiles() -> list[str]:
    """The names of the shipped profiles."""
    return sorted(file.parent.name for file in (SHIPPED / ROOT / "profiles").glob("*/data.yaml"))


def rule_ids() -> frozenset[str]:
    """The ids of the shipped rules, as their metadata states them."""
    files = (SHIPPED / ROOT / "rules").rglob("*.rego")
    return frozenset(id_ for file in files for id_ in _RULE_ID.findall(file.read_text()))


def shipped_rules() -> frozenset[str]:
    """The names of the shipped rule packages; every decision must come from all of them."""
    folders = (SHIPPED / ROOT / "rules").iterdir()
    return frozenset(folder.name for folder in folders if any(folder.glob("*.rego")))


def configuration(settings: Settings, host_paths: HostPaths) -> dict[str, Any]:
    """The policy configuration in force: a profile, changed by what the operator set.

    Mappings are merged, anything else is replaced. Raises ``SettingsError`` for an unknown
    profile, section, operation or rule.
    """
    name = settings.policy.get("profile", DEFAULT_PROFILE)
    if name not in profiles():
        where = settings.places.of(("profile",))
        raise SettingsError(where, "profile", f"must be one of {', '.join(profiles())}")
    profile, places = read_yaml(SHIPPED / ROOT / "profiles" / name / "data.yaml")
    validate(profile, without_required(config_schema()), places)
    config = {**_merged(profile, settings.policy), "profile": name}
    config["mounts"] = _with_resolved_paths(config["mounts"], host_paths)
    validate(config, config_schema(), settings.places)
    _check_names(config["operations"], OPERATIONS, "operations", settings.places)
    _check_names(config["rules"], rule_ids(), "rules", settings.places)
    return config


def _with_resolved_paths(mounts: Mapping[str, Any], host_paths: HostPaths) -> dict[str, Any]:
    """The mount rules with clean paths, each with where its symbolic links lead."""

    def resolved(path: str) -> str | None:
        return host_paths.resolve(path).resolved

    roots = [
        {"read_only": False, **root, "path": path, "resolved": resolved(path)}
        for root in mounts["allow"]
        for path in [clean(root["path"]) or root["path"]]
    ]
    denied = {clean(path) or path for path in mounts["deny"]}
    denied |= {target for path in denied if (target := resolved(path)) is not None}
    return {**mounts, "allow": roots, "deny": sorted(denied)}


def assemble(
    folder: Path, config: Mapping[str, Any], custom: Path | None, compiler: Compiler
) -> Bundle:
    """Write and check a bundle in an empty folder.

    ``custom`` is the operator's own folder. Raises ``PolicyError`` for what does not compile,
    and for packages that are not ``docker.authz.rules.custom_*``.
    """
    sources = [SHIPPED / ROOT] if custom is None else [SHIPPED / ROOT, custom]
    if custom is not None and not custom.is_dir():
        raise PolicyError(f"{custom} is not a folder of policies")
    compiler.check(SHIPPED / "schemas", sources)
    packages = rule_packages(custom, compiler)
    _copy_rules(SHIPPED, folder)
    if custom is not None:
        _copy_rules(custom, folder / "custom")
    _write_data(folder / ROOT / "config/data.json", config)
    revision = _revision(folder)
    about = {"revision": revision, "packages": sorted(packages)}
    _write_data(folder / ROOT / "bundle/data.json", about)
    manifest = {"revision": revision, "roots": [str(ROOT)], "rego_version": 1}
    _write_data(folder / ".manifest", manifest)
    return Bundle(folder, revision, config["profile"], packages)


def rule_packages(custom: Path | None, compiler: Compiler) -> frozenset[str]:
    """The names of the rule packages, an operator's folder included; raises ``PolicyError``."""
    if custom is None:
        return shipped_rules()
    found = compiler.packages([custom])
    for package, files in found.items():
        if not _CUSTOM.fullmatch(package):
            raise PolicyError(
                f"{', '.join(files)}: package {package.removeprefix('data.')} must be "
                "docker.authz.rules.custom_<name>, so that it can only add denials"
            )
    names = {package.removeprefix(_RULES).partition(".")[0] for package in found}
    return shipped_rules() | names


def _copy_rules(source: Path, target: Path) -> None:
    for file in sorted(source.rglob("*.rego")):
        if not file.name.endswith("_test.rego"):
            copy = target / file.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, copy)


def _write_data(file: Path, data: Mapping[str, Any]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(data, indent=1, sort_keys=True))


def _revision(folder: Path) -> str:
    digest = hashlib.sha256()
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            digest.update(f"{file.relative_to(folder)}\0".encode())
            digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:12]


def _merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in changes.items():
        inner = merged.get(key)
        if isinstance(inner, Mapping) and isinstance(value, Mapping):
            merged[key] = _merged(inner, value)
        else:
            merged[key] = value
    return merged


def _check_names(
    names: Iterable[str], known: Collection[str], section: str, places: Places
) -> None:
    for name in names:
        if name not in known and not name.startswith("custom."):
            key = (section, name)
            close = difflib.get_close_matches(name, known, n=1)
            hint = f", did you mean {close[0]}?" if close else f"; docs/{section}.md lists them"
            raise SettingsError(places.of(key), show(key), f"is not known{hint}")
