"""``opa-authz serve``: run the plugin in the foreground."""

from __future__ import annotations

from typing import Any

import click

from authz_plugin import __version__, supervisor
from authz_plugin.cli.options import load_local_settings, policy_options, warn_of_old_names
from authz_plugin.hostpaths import SYSTEM_SOCKET
from authz_plugin.journal import log
from authz_plugin.settings import Settings


@click.command()
@policy_options
@click.option("--socket", metavar="PATH", help="Unix socket on which dockerd finds the plugin.")
@click.option("--engine", metavar="auto|embedded|opa", help="Policy engine.")
@click.option(
    "--opa-url", metavar="URL", help="An OPA server that you run, instead of the embedded engine."
)
def serve(**options: Any) -> None:
    r"""Run the plugin in the foreground.

    SIGHUP takes over a changed policy or configuration, if it is sound; SIGTERM and Ctrl-C stop
    the plugin after it has answered what it was asked.

    \b
    Exit status: 0 stopped, 1 it cannot start or go on, 2 wrong command line or
    settings.

    \b
    Examples:
      opa-authz serve
      opa-authz serve --config config.yaml --socket /tmp/opa-authz.sock
    """
    settings = load_local_settings(options, warn=_ignore)
    render = log.renderer(settings.log.format)
    lines = log.Lines(render)

    def put(event: log.Event) -> None:
        lines.write([event])

    def announce(status: supervisor.PolicyStatus) -> None:
        if render is log.as_text:
            click.echo(_announcement(settings, status), err=True)
        else:
            put(
                log.notice("started", "opa-authz guards the Docker API", **_facts(settings, status))
            )

    def say(text: str) -> None:
        put(log.notice("message", text, "warning"))

    log.route_logging(put, settings.log.level)
    warn_of_old_names(settings, say)
    supervisor.run(
        settings,
        reload=lambda: load_local_settings(options, warn=say),
        announce=announce,
        say=say,
    )


def _ignore(text: str) -> None:
    """Take a warning that is logged as soon as the log is set up."""
    del text


def _facts(settings: Settings, status: supervisor.PolicyStatus) -> dict[str, Any]:
    return {
        "version": __version__,
        "profile": status.profile,
        "engine": status.engine,
        "policy_revision": status.revision,
        "packages": status.packages,
        "listens": str(settings.server.listen or settings.server.socket),
        "metrics": status.metrics,
    }


def _announcement(settings: Settings, status: supervisor.PolicyStatus) -> str:
    return f"""\
opa-authz {__version__} guards the Docker API.
  profile   {status.profile}
  engine    {status.engine}
  policy    revision {status.revision}, {status.packages} rule packages
  listens   {settings.server.listen or settings.server.socket}
  metrics   {status.metrics}
{_next_step(settings)}"""


def _next_step(settings: Settings) -> str:
    """What is left to do before dockerd asks this plugin."""
    enable = """\
Next, have dockerd ask it: put this into /etc/docker/daemon.json and run `systemctl reload docker`.
  {"authorization-plugins": ["opa-authz"]}"""
    server = settings.server
    if server.listen is not None:
        return f"{enable}\nand install plugin.json as /etc/docker/plugins/opa-authz.json."
    if server.socket == SYSTEM_SOCKET:
        return enable
    return f"""\
dockerd does not look for this socket by itself: tell it, as root, with
  mkdir -p /etc/docker/plugins
  echo unix://{server.socket} > /etc/docker/plugins/opa-authz.spec
{enable}"""
