"""The options that several commands share, and the settings that they make."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from authz_plugin import policy, settings
from authz_plugin.settings import Key, Settings

_F = TypeVar("_F", bound=Callable[..., Any])

_OPTIONS: Final[dict[str, Key]] = {
    "config": ("config",),
    "profile": ("profile",),
    "policies": ("policies",),
    "socket": ("server", "socket"),
    "engine": ("engine",),
    "opa_url": ("opa", "url"),
}


def policy_options(command: _F) -> _F:
    """``--config``, ``--profile`` and ``--policies``."""
    for option in (
        click.option(
            "--policies", metavar="FOLDER", help="Folder with your own rules.", type=_absolute
        ),
        click.option("--profile", metavar="NAME", help=f"One of {', '.join(policy.profiles())}."),
        click.option(
            "--config",
            metavar="FILE",
            help=f"Settings file.  [default: {settings.DEFAULT_FILE}, if it is there]",
        ),
    ):
        command = option(command)
    return command


def load_settings(options: Mapping[str, Any]) -> Settings:
    """The settings that a command's options make, over the environment and the file."""
    flags = {_OPTIONS[name]: value for name, value in options.items()}
    return settings.load(flags, os.environ, policy.config_schema())


def _absolute(path: str) -> str:
    return str(Path(path).absolute())
