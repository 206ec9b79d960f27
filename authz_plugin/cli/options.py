"""The options that several commands share, and the settings that they make."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from authz_plugin import fleet_policy, policy, renamed, settings
from authz_plugin.engine.binary import OpaWhenNeeded
from authz_plugin.errors import SetupError
from authz_plugin.hostpaths import host_paths
from authz_plugin.policy import Bundle
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


edited_option: Final = click.option(
    "--policy",
    metavar="FOLDER",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Try an edited copy of the policies, or of your own rules.",
)


def policy_options(command: _F) -> _F:
    """``--config``, ``--profile`` and ``--policies``."""
    for option in (
        click.option(
            "--policies", metavar="FOLDER", help="Folder with your own rules.", type=_absolute
        ),
        click.option(
            "--profile",
            metavar="NAME",
            help="Shipped profile; `--profile list` prints their names.",
            callback=_profile,
            shell_complete=_profiles_like,
        ),
        click.option(
            "--config",
            metavar="FILE",
            help=f"Settings file.  [default: {settings.DEFAULT_FILE}, if it is there]",
        ),
    ):
        command = option(command)
    return command


def load_settings(
    options: Mapping[str, Any], warn: Callable[[str], None] | None = None
) -> Settings:
    """Return the settings that a command's options make, over the environment and the file.

    With a fleet, their policy is the one that this host's plugin has kept; raises ``SetupError`` if
    there is none. ``warn`` is given a text for each old name; the default prints it on standard
    error.
    """
    loaded = load_local_settings(options, warn)
    if loaded.fleet is None:
        return loaded
    kept = fleet_policy.kept_policy(loaded.fleet.folder, loaded.fleet.key.read_bytes())
    if kept is None:
        raise SetupError(
            f"{loaded.fleet.folder} has no policy: start the plugin, which fetches it from "
            f"{loaded.fleet.url}"
        )
    found = fleet_policy.with_fleet_policy(loaded, *kept)
    for text in found.warnings:
        (warn or warn_on_stderr)(text)
    return found


def load_local_settings(
    options: Mapping[str, Any], warn: Callable[[str], None] | None = None
) -> Settings:
    """Like ``load_settings``, but with a fleet the settings have no policy."""
    warn = warn or warn_on_stderr
    flags = {_OPTIONS[name]: value for name, value in options.items()}
    loaded = settings.load(flags, os.environ, policy.config_schema(), _check_policy)
    warn_of_old_names(loaded, warn)
    return loaded


def _check_policy(loaded: Settings) -> None:
    """Raise ``SettingsError`` for what is wrong in the policy configuration."""
    policy.configuration(loaded, host_paths(visible=loaded.sees_host))


def warn_of_old_names(loaded: Settings, warn: Callable[[str], None]) -> None:
    """Give ``warn`` a text for each old name in the settings and in the operator's own rules."""
    for text in (*loaded.warnings, *policy.old_names(loaded.policies)):
        warn(text)


def warn_on_stderr(text: str) -> None:
    """Print a warning on standard error."""
    click.echo(f"opa-authz: {text}", err=True)


def current_rule_option(option: str, name: str) -> str:
    """Return the present rule id that an option (``RULE`` or ``RULE=VALUE``) names."""
    return current_name_option(option, name, renamed.current_rule)


def current_name_option(option: str, text: str, current: Callable[[str], str]) -> str:
    """Return an option's value with the present name before its ``=``, after a warning if that
    was an old one."""
    name, mark, rest = text.partition("=")
    if current(name) != name:
        warn_on_stderr(renamed.notice(option, name, current(name)))
    return f"{current(name)}{mark}{rest}"


@contextmanager
def assembled(options: Mapping[str, Any]) -> Iterator[tuple[OpaWhenNeeded, Bundle]]:
    """The bundle that a command's options make, for as long as it is used, and the OPA for it.

    Only rules of one's own need an OPA.
    """
    loaded = load_settings(options)
    opa = OpaWhenNeeded(loaded.opa.binary)
    config = policy.configuration(loaded, host_paths(visible=loaded.sees_host))
    with tempfile.TemporaryDirectory(prefix="opa-authz-") as folder:
        yield opa, policy.assemble(Path(folder), config, loaded.policies, opa)


def _profile(context: click.Context, _: click.Parameter, name: str | None) -> str | None:
    """Return the name of a profile; with ``list``, print all names and end the command."""
    if name != "list":
        return name
    for known in policy.profiles():
        click.echo(known)
    return context.exit()


def _profiles_like(_: click.Context, __: click.Parameter, start: str) -> list[str]:
    return [name for name in policy.profiles() if name.startswith(start)]


def _absolute(path: str) -> str:
    return str(Path(path).absolute())
