"""The options that name a Docker endpoint, as the Docker CLI has them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from authz_plugin.errors import SettingsError
from authz_plugin.tools.authz_message import Client, client_with
from authz_plugin.tools.docker_client import DEFAULT_HOST, Endpoint, Tls, find_endpoint

_F = TypeVar("_F", bound=Callable[..., Any])

_FILE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)


def endpoint_options(command: _F) -> _F:
    """``--host`` and the TLS files; ``DOCKER_HOST`` and its like count as they do for docker."""
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


def endpoint_of(options: dict[str, Any]) -> Endpoint:
    """Take the endpoint options out of a command's options; raises ``SettingsError``."""
    host = options.pop("host")
    ca, certificate, key = (options.pop(name) for name in ("tlscacert", "tlscert", "tlskey"))
    tls = Tls(verify=True, ca=ca, certificate=certificate, key=key)
    given = any((ca, certificate, key))
    return find_endpoint(host, tls if given else None, os.environ, Path.home())


def client_of(endpoint: Endpoint) -> Client:
    """Who dockerd takes this program for at an endpoint."""
    if endpoint.tls is None or endpoint.tls.certificate is None:
        return Client()
    return client_of_file(endpoint.tls.certificate)


def client_of_file(certificate: Path) -> Client:
    """The client that has a certificate; raises ``SettingsError`` if it cannot be read."""
    try:
        return client_with(certificate.read_bytes())
    except OSError as error:
        raise SettingsError(str(certificate), "", f"cannot be read: {error.strerror}") from error
