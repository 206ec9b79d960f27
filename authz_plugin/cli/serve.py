"""``opa-authz serve``: run the plugin in the foreground."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from authz_plugin import __version__, supervisor
from authz_plugin.cli.options import load_settings, policy_options
from authz_plugin.journal import log
from authz_plugin.settings import Settings


@click.command()
@policy_options
@click.option("--socket", metavar="PATH", help="Unix socket on which dockerd finds the plugin.")
@click.option("--engine", metavar="auto|opa", help="Policy engine.")
@click.option("--opa-url", metavar="URL", help="An OPA that you run, instead of one of our own.")
def serve(**options: Any) -> None:
    """Run the plugin in the foreground, with an OPA of its own.

    SIGHUP takes over a changed policy or configuration, if it is sound; SIGTERM and Ctrl-C stop
    the plugin after it has answered what it was asked.
    """
    settings = load_settings(options)
    render = log.renderer(settings.log.format)
    lines = log.Lines(render)

    def put(event: log.Event) -> None:
        lines.write([event])

    def announce(guard: supervisor.Guard) -> None:
        if render is log.as_text:
            click.echo(_announcement(settings, guard), err=True)
        else:
            put(log.notice("started", "opa-authz guards the Docker API", **_facts(settings, guard)))

    log.route_logging(put, settings.log.level)
    supervisor.run(
        settings,
        reload=lambda: load_settings(options),
        announce=announce,
        say=lambda text: put(log.notice("message", text, "warning")),
    )


def _facts(settings: Settings, guard: supervisor.Guard) -> dict[str, Any]:
    return {
        "version": __version__,
        "profile": guard.profile,
        "engine": guard.engine,
        "policy_revision": guard.revision,
        "packages": guard.packages,
        "listens": str(settings.server.listen or settings.server.socket),
        "metrics": guard.metrics,
    }


def _announcement(settings: Settings, guard: supervisor.Guard) -> str:
    return f"""\
opa-authz {__version__} guards the Docker API.
  profile   {guard.profile}
  engine    {guard.engine}
  policy    revision {guard.revision}, {guard.packages} rule packages
  listens   {settings.server.listen or settings.server.socket}
  metrics   {guard.metrics}
{_next_step(settings)}"""


def _next_step(settings: Settings) -> str:
    """What is left to do before dockerd asks this plugin."""
    enable = """\
Next, have dockerd ask it: put this into /etc/docker/daemon.json and run `systemctl reload docker`.
  {"authorization-plugins": ["opa-authz"]}"""
    server = settings.server
    if server.listen is not None:
        return f"{enable}\nand install plugin.json as /etc/docker/plugins/opa-authz.json."
    if server.socket == Path("/run/docker/plugins/opa-authz.sock"):
        return enable
    return f"""\
dockerd does not look for this socket by itself: tell it, as root, with
  mkdir -p /etc/docker/plugins
  echo unix://{server.socket} > /etc/docker/plugins/opa-authz.spec
{enable}"""
