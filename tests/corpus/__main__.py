"""Records the AuthZ messages of real clients and engines."""

from __future__ import annotations

import base64
import json
import os
import re
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from tests.corpus import FILE, WORKSPACE, Recorded, recorded
from tests.corpus.clients import ALL, BUILDERS, Workspace
from tests.harness.dockerd import scratch_dockerd
from tests.harness.engines import ENGINES, OLDEST, prepare
from tests.harness.plugin import wait_for
from tests.harness.unixhttp import plugin_socket
from tests.real.conftest import TESTED, prepare_content

_KEPT = ("Content-Type", "Content-Length", "Transfer-Encoding", "X-Registry-Auth", "Upgrade")


class Recorder:
    """A plugin that allows every request and keeps the messages."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []

    def __call__(self, path: str, message: bytes) -> bytes:
        if path == "/Plugin.Activate":
            return b'{"Implements": ["authz"]}'
        if path == "/AuthZPlugin.AuthZReq":
            self.messages.append(json.loads(message))
        return b'{"Allow": true}'


@click.command()
@click.argument("engines", nargs=-1, type=click.Choice(TESTED))
@click.option("--client", "clients", multiple=True, type=click.Choice(list(ALL)))
def main(engines: tuple[str, ...], clients: tuple[str, ...]) -> None:
    """Run clients (all) with engines (all) and write their requests to ``FILE``.

    What other clients and engines sent stays in the file.
    """
    engines, clients = engines or TESTED, clients or tuple(ALL)
    found = {
        _deduplication_key(request): request
        for request in recorded()
        if request.engine not in engines or request.client not in clients
    }
    for engine in engines:
        for client in clients:
            if client in BUILDERS and engine == OLDEST:
                continue
            recorder = Recorder()
            name = f"opa-authz-recorder-{os.getpid()}"
            with (
                tempfile.TemporaryDirectory(prefix="opa-authz-") as folder,
                plugin_socket(Path(f"/run/docker/plugins/{name}.sock"), recorder),
                scratch_dockerd(prepare(engine)) as dockerd,
            ):
                prepare_content(dockerd)
                dockerd.reload({"authorization-plugins": [name]})
                wait_for(lambda: _is_asked(dockerd, recorder), "dockerd to ask", 20)  # noqa: B023
                recorder.messages.clear()
                ALL[client](Workspace(dockerd, Path(folder)))
                for message in recorder.messages:
                    request = _recorded(client, engine, message, folder)
                    found.setdefault(_deduplication_key(request), request)
            click.echo(f"{engine} {client}: {len(found)} different requests so far")
    order = sorted(found.values(), key=lambda request: ENGINES.index(request.engine))
    lines = (json.dumps(asdict(request), sort_keys=True) for request in order)
    FILE.write_text("".join(f"{line}\n" for line in lines))


def _is_asked(dockerd: Any, recorder: Recorder) -> bool:
    dockerd.docker("ps")
    return bool(recorder.messages)


def _recorded(client: str, engine: str, message: dict[str, Any], folder: str) -> Recorded:
    body = base64.b64decode(message.get("RequestBody", "")).decode()
    body = body.replace(folder, WORKSPACE)
    headers = {k: v for k, v in message.get("RequestHeaders", {}).items() if k in _KEPT}
    if "Content-Length" in headers and body:
        headers["Content-Length"] = str(len(body.encode()))
    uri = message["RequestUri"].replace(folder, WORKSPACE)
    return Recorded(client, engine, message["RequestMethod"], uri, headers, body)


def _deduplication_key(request: Recorded) -> tuple[str, ...]:
    """Return a key that is equal for requests that differ in ids and times only."""
    uri = re.sub(r"[0-9a-f]{64}|[0-9a-z]{25}|\d{9,}", "ID", request.uri)
    body = re.sub(r"[0-9a-f]{64}|[0-9a-z]{25}|\d{9,}", "ID", request.body)
    return (request.client, request.engine, request.method, uri, body)


if __name__ == "__main__":
    main()
