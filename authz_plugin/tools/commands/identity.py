"""``opa-authz identity``: certificates for dockerd's clients, by which policies know them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from authz_plugin.cli.terminal import json_option, print_json
from authz_plugin.hostpaths import DEFAULT_IDENTITIES
from authz_plugin.tools.identities import ORGANIZATION, Identities, Identity

_identities = click.option(
    "--identities",
    "folder",
    metavar="FOLDER",
    default=DEFAULT_IDENTITIES,
    show_default=True,
    type=click.Path(file_okay=False, resolve_path=True, path_type=Path),
    help="Where the authority and its certificates are kept.",
)


@click.group()
def identity() -> None:
    r"""Give dockerd's clients certificates, list them, take them back.

    dockerd tells a plugin who asks only if the client has a TLS certificate. These commands keep a
    small certificate authority for that.

    \b
    Exit status: that of the command; see its --help.

    \b
    Examples:
      opa-authz identity add ci --role builders
      opa-authz identity list
    """


@identity.command()
@click.argument("name")
@click.option("--role", metavar="ROLE", help="Role in the settings.  [default: NAME]")
@click.option(
    "--days",
    default=365,
    show_default=True,
    type=click.IntRange(1, 3650),
    help="How long the certificate is valid.",
)
@click.option(
    "--host",
    "hosts",
    metavar="HOST",
    multiple=True,
    help="Name or address under which clients reach dockerd; makes dockerd's certificate anew.",
)
@_identities
def add(name: str, role: str | None, days: int, hosts: tuple[str, ...], folder: Path) -> None:
    r"""Make a certificate for a client, and say what to do with it.

    The first call makes the authority and dockerd's own certificate as well.

    \b
    Exit status: 0 done, 1 it cannot be done, 2 wrong command line.

    \b
    Examples:
      opa-authz identity add ci --role builders --days 90
      opa-authz identity add ci --host docker.example.org
    """
    identities = Identities(folder)
    made = identities.add(name, role or name, timedelta(days=days), hosts)
    click.echo(_instructions(identities, made))


@identity.command("list")
@json_option
@_identities
def list_(folder: Path, *, as_json: bool) -> None:
    r"""List the clients that have a certificate.

    \b
    Exit status: 0 done, 1 it cannot be done, 2 wrong command line.

    \b
    Examples:
      opa-authz identity list --json
    """
    now = datetime.now(UTC)
    found = Identities(folder).list()
    if as_json:
        print_json(identities=[_document(one, now) for one in found])
        return
    for one in found:
        click.echo(
            f"{one.name:<20} {one.role:<20} {one.not_after:%Y-%m-%d} "
            f"{one.state(now):<13} {one.sha256[:16]}"
        )
    if any(one.state(now) in {"expires soon", "expired"} for one in found):
        click.echo("renew: revoke, forget, then add again", err=True)


@identity.command()
@click.argument("name")
@_identities
def revoke(name: str, folder: Path) -> None:
    r"""Have a client refused from its next request on.

    \b
    Exit status: 0 done, 1 it cannot be done, 2 wrong command line.

    \b
    Examples:
      opa-authz identity revoke ci
    """
    revoked = Identities(folder).revoke(name)
    click.echo(f"{name} is revoked: the certificate {revoked.sha256[:16]} is refused from now on")


@identity.command()
@click.argument("name")
@_identities
def forget(name: str, folder: Path) -> None:
    r"""Remove the files of a revoked client, so that its name can be given again.

    \b
    Exit status: 0 done, 1 it cannot be done, 2 wrong command line.

    \b
    Examples:
      opa-authz identity forget ci
    """
    Identities(folder).forget(name)
    click.echo(f"the files of {name} are removed; its certificate stays revoked")


def _document(one: Identity, now: datetime) -> dict[str, str]:
    return {
        "name": one.name,
        "role": one.role,
        "sha256": one.sha256,
        "not_after": one.not_after.isoformat(),
        "state": one.state(now),
    }


def _instructions(identities: Identities, made: Identity) -> str:
    daemon = {
        "authorization-plugins": ["opa-authz"],
        "hosts": ["unix:///var/run/docker.sock", "tcp://0.0.0.0:2376"],
        "tlsverify": True,
        "tlscacert": str(identities.ca),
        "tlscert": str(identities.server / "cert.pem"),
        "tlskey": str(identities.server / "key.pem"),
    }
    return f"""\
{made.name} has the role {made.role} until {made.not_after:%Y-%m-%d}: {made.folder}

In the plugin's settings:
  identities: {identities.folder}
  roles:
    {made.role}:
      callers: [{{certificate: {{O: {ORGANIZATION}, OU: {made.role}}}}}]

In /etc/docker/daemon.json, once (then restart dockerd):
{json.dumps(daemon, indent=2)}

For the client, in a compose file:
  environment:
    DOCKER_HOST: tcp://HOST:2376
    DOCKER_TLS_VERIFY: "1"
    DOCKER_CERT_PATH: /certificates
  volumes:
    - {made.folder}:/certificates:ro"""
