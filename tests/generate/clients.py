"""docs/reference/clients.md: what real clients ask for, from the recorded requests."""

from __future__ import annotations

from collections import defaultdict
from typing import Final

from authz_plugin import dockerd
from tests.corpus import Recorded, recorded

# ruff: noqa: E501
_HEAD: Final = """\
# Clients

The requests of common clients, recorded as dockerd sends them to a plugin
([tests/corpus](../../tests/corpus)). Every test run has the policies decide them. The plugin
understands every field of them. The profile `devcontainer` allows the ordinary use of the clients
that do not need BuildKit, both in the recording and on real daemons.

| engine | clients |
|---|---|
| 20.10 | its Docker CLI, Docker Compose 2.26, docker-py 7.2, Testcontainers for Python 4.15 and for Node 11.14 |
| 28.5 | its Docker CLI, Docker Compose 2.26, docker-py 7.2 |
| 29.9 | Docker CLI 29.9, Docker Compose 2.40, Buildx 0.29 with the driver `docker`, docker-py 7.2, Testcontainers for Python 4.15 and for Node 11.14 |

Testcontainers ran with `TESTCONTAINERS_RYUK_DISABLED=true`: its container Ryuk mounts
dockerd's socket, which no profile allows. *docker* builds with the legacy builder.
*docker buildx* and *docker compose (build)* build with BuildKit and need the sections `session` and
`grpc`, which [no rule can look into](../explanation/limits.md#builds).

```sh
.venv/bin/pytest tests/test_corpus.py tests/real/test_clients.py
.venv/bin/python -m tests.corpus
```

The second command records the requests again and needs root and Node.js. Use the table to write a
[configuration](policy-configuration.md) for a client; [profiles](profiles.md) lists profiles that
are made for clients.
"""


def clients_page() -> str:
    """The page: a row for each client, then its operations."""
    sent: dict[str, list[Recorded]] = defaultdict(list)
    for request in recorded():
        sent[request.client].append(request)
    lines = [_HEAD, "| client | requests | operations |", "|---|---:|---|"]
    for client, requests in sorted(sent.items()):
        operations = sorted({_operation(request) for request in requests})
        names = ", ".join(f"`{name}`" for name in operations)
        lines.append(f"| {client} | {len(requests)} | {names} |")
    return "\n".join(lines) + "\n"


def _operation(request: Recorded) -> str:
    headers = {name.lower(): value for name, value in request.headers.items()}
    body = request.body.encode()
    return dockerd.read(request.method, request.uri, headers, body).operation.id
