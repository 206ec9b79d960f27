"""The files around the plugin that an installation needs: units, alerts, dashboard, examples.

A wheel holds them in its folder ``deploy``, a checkout in ``deploy`` and ``plugin.json``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from authz_plugin.errors import SetupError

_PACKAGE: Final = Path(__file__).parents[1]
_PROGRAM: Final = "/usr/local/bin/opa-authz"
"""The program that the units in the repository start."""

_QUOTED: Final = re.compile(r"[\s%$\"'\\;]")

_RUNBOOKS: Final = "prometheus/alerts.md"
"""The page with the runbook of each alert, docs/how-to/alerts.md."""

_RUNBOOK: Final = re.compile(r"^( *)runbook: docs/how-to/alerts\.md#", re.MULTILINE)
_WEB_PAGE: Final = re.compile(r"https?://[^\s/?#\"'<>{}\\]+[^\s#\"'<>{}\\]*")


def deployment_files(program: Path, runbooks: str | None = None) -> dict[str, str]:
    """The text of each file, by its path in the folder that is written (``systemd/…``).

    ``program`` is the ``opa-authz`` that the units start; ``runbooks`` is the URL at which the
    site's people read ``prometheus/alerts.md``, to which the alerts then link. Raises
    ``SetupError`` if systemd would read the program's path as anything else, or if that is no URL.
    """
    if runbooks is not None and not _WEB_PAGE.fullmatch(runbooks):
        raise SetupError(
            f"{runbooks!r} is not the address of a page: write it in full and without a fragment, "
            "such as https://wiki.example.com/docker/alerts"
        )
    if not program.is_absolute() or _QUOTED.search(str(program)):
        raise SetupError(
            f"{program} cannot be named in a systemd unit: "
            "use an absolute path without blanks, quotes, %, $, ; and backslashes"
        )
    made = {
        name: text.replace(_PROGRAM, str(program)) if name.startswith("systemd/") else text
        for name, text in _shipped().items()
    }
    if runbooks is not None:
        rules = made["prometheus/opa-authz.rules.yml"]
        link = rf"\1runbook_url: {runbooks}#"
        made["prometheus/opa-authz.rules.yml"] = _RUNBOOK.sub(link, rules)
    return made


def write(folder: Path, files: Mapping[str, str], *, overwrite: bool) -> None:
    """Write files below a folder, readable for everybody.

    Raises ``SetupError`` before anything is written if one of them is there with another content
    and ``overwrite`` is false, or if one cannot be written.
    """
    try:
        changed = [name for name, text in files.items() if _differs(folder / name, text)]
        if changed and not overwrite:
            raise SetupError(
                f"{folder / changed[0]} is there and differs: "
                "name another folder, or replace it with --overwrite"
            )
        for name, text in files.items():
            file = folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
            file.chmod(0o644)
    except (OSError, ValueError) as error:
        raise SetupError(f"cannot write the files to {folder}: {error}") from error


def _differs(file: Path, text: str) -> bool:
    return file.exists() and (not file.is_file() or file.read_bytes() != text.encode())


def _shipped() -> dict[str, str]:
    inside = _PACKAGE / "deploy"
    if inside.is_dir():
        return _texts(inside)
    checkout = _PACKAGE.parent
    plugin = (checkout / "plugin.json").read_text(encoding="utf-8")
    runbooks = (checkout / "docs/how-to/alerts.md").read_text(encoding="utf-8")
    return {**_texts(checkout / "deploy"), "plugin.json": plugin, _RUNBOOKS: runbooks}


def _texts(folder: Path) -> dict[str, str]:
    return {
        file.relative_to(folder).as_posix(): file.read_text(encoding="utf-8")
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }
