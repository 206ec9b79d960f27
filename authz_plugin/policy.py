"""The policy in force: shipped rules, the operator's rules and the configuration, as one bundle.

A bundle is a folder that OPA loads as a whole. It is checked before OPA loads it: if the policy or
the configuration has a mistake, the plugin does not start, or keeps the policy in force on a
reload.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

from authz_plugin import renamed
from authz_plugin.configuration import (
    ROOT,
    Exemption,
    config_schema,
    configuration,
    exceptions,
    profiles,
    rule_ids,
    without_host,
)
from authz_plugin.errors import PolicyError
from authz_plugin.hostpaths import SHIPPED
from authz_plugin.rules import RULES

__all__ = [
    "ROOT",
    "SHIPPED",
    "Bundle",
    "Exemption",
    "assemble",
    "config_schema",
    "configuration",
    "exceptions",
    "old_names",
    "profiles",
    "rule_ids",
    "rule_packages",
    "shipped_digest",
    "shipped_rules",
]

_TEST: Final = "_test.rego"
_DENIALS: Final = re.compile(r"^\s*(default\s+)?denials\b", re.MULTILINE)
_DATA: Final = frozenset({".json", ".yaml", ".yml"})
_RULES: Final = "data.docker.authz.rules."
_CHECKED_DIGEST: Final = Path(__file__).with_name("policies.sha256")
"""The digest of the released policies, which OPA has checked. ``make generate`` writes it, and
``make check`` has OPA check them."""
_CUSTOM: Final = re.compile(re.escape(_RULES) + r"custom_\w+(\.\w+)*")


class Bundle(NamedTuple):
    """A checked policy. OPA loads ``folder``; ``revision`` is a hash of its rules and
    configuration, the same wherever the plugin is installed; ``profile`` is the configuration's
    name; ``packages`` are the names of its rule packages; ``ending`` are exceptions that have ended
    or end soon; ``warning`` says for whom it is in mode warn, in which it denies nothing."""

    folder: Path
    revision: str
    profile: str
    packages: frozenset[str]
    ending: tuple[Exemption, ...] = ()
    warning: tuple[str, ...] = ()


class Compiler(Protocol):
    """The functions of OPA for making a bundle; ``engine.binary.Opa`` implements them."""

    def check(self, schemas: Path, policies: Sequence[Path]) -> None:
        """Compile policies strictly; raises ``PolicyError`` with file, line and reason."""

    def packages(self, policies: Sequence[Path]) -> dict[str, list[str]]:
        """The Rego packages in folders, each with its files; raises ``PolicyError``."""


def shipped_rules() -> frozenset[str]:
    """The names of the shipped rule packages, all of which every decision must have evaluated.

    A package whose files were lost is among them if it has rules in rules.json.
    """
    folders = (SHIPPED / ROOT / "rules").iterdir()
    there = frozenset(folder.name for folder in folders if any(folder.glob("*.rego")))
    return there | {rule.package for rule in RULES.values()}


def assemble(
    folder: Path,
    config: Mapping[str, Any],
    custom: Path | None,
    compiler: Compiler,
    edited: Path | None = None,
) -> Bundle:
    """Write and check a bundle in an empty folder.

    ``config`` is the result of ``configuration``, ``custom`` the folder of the operator's own
    rules, ``edited`` that of an edited copy of the shipped policies. Raises ``PolicyError``
    for policies that do not compile, for packages that are not ``docker.authz.rules.custom_*``,
    and for files and denials that the bundle would not include. Policies that are exactly the
    released ones are not compiled here: OPA compiles them when it loads the bundle.
    """
    shipped = SHIPPED if edited is None else edited
    sources = [shipped / ROOT] if custom is None else [shipped / ROOT, custom]
    if custom is not None and not custom.is_dir():
        raise PolicyError(f"{custom} is not a folder of policies")
    if not _served(shipped / ROOT):
        raise PolicyError(f"{shipped} holds no policies")
    if custom is not None or edited is not None or not _are_as_released():
        compiler.check(SHIPPED / "schemas", sources)
    packages = rule_packages(custom, compiler)
    _copy_rules(shipped / ROOT, folder / ROOT)
    if custom is not None:
        _copy_rules(custom, folder / "custom")
    _write_data(folder / ROOT / "config/data.json", renamed.with_old_settings(config))
    revision = _revision(folder, config)
    about = {"revision": revision, "packages": sorted(packages)}
    _write_data(folder / ROOT / "bundle/data.json", about)
    manifest = {"revision": revision, "roots": [str(ROOT)], "rego_version": 1}
    _write_data(folder / ".manifest", manifest)
    ending = [exemption for exemption in exceptions(config, datetime.now(UTC)) if exemption.ending]
    return Bundle(
        folder, revision, config["profile"], packages, tuple(ending), tuple(_warned(config))
    )


def _warned(config: Mapping[str, Any]) -> Iterator[str]:
    roles = config["roles"]
    if config["mode"] == "warn":
        yield "callers without a role" if roles else "everybody"
    yield from (f"role {name}" for name, role in roles.items() if role["mode"] == "warn")


def shipped_digest() -> str:
    """The SHA-256 of the shipped policies, in hexadecimal."""
    digest = hashlib.sha256()
    for file in _served(SHIPPED / ROOT):
        _add_file(digest, file, SHIPPED)
    return digest.hexdigest()


def _are_as_released() -> bool:
    """Whether the shipped policies are those that OPA has checked; False if that is not known."""
    try:
        return shipped_digest() == _CHECKED_DIGEST.read_text().strip()
    except (OSError, ValueError):
        return False


def old_names(custom: Path | None) -> list[str]:
    """Return a warning for each line of the operator's rules that reads a key by its old name.

    A folder or file that cannot be read is ignored: ``assemble`` reports it.
    """
    found: list[str] = []
    for file in sorted(custom.rglob("*.rego")) if custom is not None else ():
        with contextlib.suppress(OSError, ValueError):
            found += renamed.in_rego(str(file), file.read_text())
    return found


def rule_packages(custom: Path | None, compiler: Compiler) -> frozenset[str]:
    """The names of the shipped rule packages and of those in ``custom``; raises ``PolicyError``."""
    if custom is None:
        return shipped_rules()
    _check_files(custom)
    found = {}
    for package, files in compiler.packages([custom]).items():
        tests = [file for file in files if file.endswith(_TEST)]
        if tests and not package.endswith("_test"):
            raise PolicyError(
                f"{tests[0]}: tests are not served, so the package in a {_TEST} must end in _test"
            )
        if tests != files:
            found[package] = files
    for package, files in found.items():
        if not _CUSTOM.fullmatch(package):
            raise PolicyError(
                f"{', '.join(files)}: package {package.removeprefix('data.')} must be "
                "docker.authz.rules.custom_<name>, so that it can only add denials"
            )
        if "." in package.removeprefix(_RULES):
            _check_inner(package, files)
    names = {package.removeprefix(_RULES).partition(".")[0] for package in found}
    return shipped_rules() | names


def _check_files(custom: Path) -> None:
    """Refuse data files beside rules. Tests would read them, but the bundle does not include them:
    a denial that depends on them would be undefined, and the request allowed. For the same reason,
    refuse the old names of renamed packages and rules."""
    for file in sorted(custom.rglob("*")):
        hidden = any(part.startswith(".") for part in file.relative_to(custom).parts)
        if file.suffix in _DATA and not hidden:
            raise PolicyError(f"{file}: data beside rules is not loaded: write it into a rule")
        if file.suffix == ".rego" and not hidden:
            names = renamed.removed_from_rego(file.read_text(errors="replace"))
            if names is not None:
                raise PolicyError(f"{file}: {names[0]} is now called {names[1]}")


def _check_inner(package: str, files: Sequence[str]) -> None:
    """Refuse denials in a subpackage of a rule package, because ``decision`` does not collect
    them."""
    for file in files:
        if _DENIALS.search(Path(file).read_text()):
            raise PolicyError(
                f"{file}: denials of {package.removeprefix('data.')} would be lost: only those of "
                "docker.authz.rules.custom_<name> itself are collected"
            )


def _copy_rules(source: Path, target: Path) -> None:
    for file in _served(source):
        copy = target / file.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, copy)


def _served(folder: Path) -> list[Path]:
    """The Rego files in a folder that are not tests."""
    return [file for file in sorted(folder.rglob("*.rego")) if not file.name.endswith(_TEST)]


def _write_data(file: Path, data: Mapping[str, Any]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(data, indent=1, sort_keys=True))


def _revision(folder: Path, config: Mapping[str, Any]) -> str:
    """The revision of the rules in a folder and of a configuration. Where the plugin's own files
    and sockets are is left out: commands and the plugin may be started with other paths."""
    digest = hashlib.sha256()
    for file in _served(folder):
        _add_file(digest, file, folder)
    digest.update(json.dumps(without_host(config), sort_keys=True).encode())
    return digest.hexdigest()[:12]


def _add_file(digest: hashlib._Hash, file: Path, folder: Path) -> None:
    digest.update(f"{file.relative_to(folder)}\0".encode())
    digest.update(hashlib.sha256(file.read_bytes()).digest())
