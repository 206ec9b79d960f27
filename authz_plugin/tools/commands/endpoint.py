"""The options for a Docker endpoint, which are those of the Docker CLI."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from authz_plugin.errors import SettingsError
from authz_plugin.journal.own_tools import Tool, agent_of
from authz_plugin.tools.authz_message import Client, client_with
from authz_plugin.tools.docker_client import DEFAULT_HOST, Endpoint, Tls, find_endpoint

_F = TypeVar("_F", bound=Callable[..., Any])

_FILE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)


def endpoint_options(command: _F) -> _F:
    """Add ``--host`` and the TLS options to a command; ``DOCKER_*`` variables are read too."""
    for option in (
        click.option("--tlskey", metavar="FILE", type=_FILE, help="Its key."),
        click.option("--tlscert", metavar="FILE", type=_FILE, help="Your TLS certificate."),
        click.option(
            "--tlscacert", metavar="FILE", type=_FILE, help="Whose certificate dockerd must have."
        ),
        click.option(
            "-H",
            "--host",
            metavar="URL",
            help=f"The Docker API.  [default: $DOCKER_HOST, else {DEFAULT_HOST}]",
        ),
    ):
        command = option(command)
    return command


def endpoint_of(options: dict[str, Any], tool: Tool) -> Endpoint:
    """Remove the endpoint options from a command's options, and return the endpoint.

    ``tool`` is the command; requests to the endpoint name it in their User-Agent. Raises
    ``SettingsError`` for a host that is not a Docker endpoint.
    """
    host = options.pop("host")
    ca, certificate, key = (options.pop(name) for name in ("tlscacert", "tlscert", "tlskey"))
    tls = Tls(verify=True, ca=ca, certificate=certificate, key=key)
    given = any((ca, certificate, key))
    found = find_endpoint(host, tls if given else None, os.environ, Path.home())
    return replace(found, agent=agent_of(tool))


def client_of(endpoint: Endpoint) -> Client:
    """Return the identity of this program at an endpoint: that of the TLS client certificate."""
    if endpoint.tls is None or endpoint.tls.certificate is None:
        return Client()
    return client_of_file(endpoint.tls.certificate)


def client_of_file(certificate: Path) -> Client:
    """Return the client with a PEM file; raises ``SettingsError`` if it cannot be read."""
    try:
        return client_with(certificate.read_bytes())
    except OSError as error:
        raise SettingsError(str(certificate), "", f"cannot be read: {error.strerror}") from error
