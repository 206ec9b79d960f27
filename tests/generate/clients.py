"""docs/reference/clients.md: what real clients ask for, from the recorded requests."""

from __future__ import annotations

from collections import defaultdict
from typing import Final

from authz_plugin import dockerd
from tests.corpus import Recorded, recorded

_HEAD: Final = """\
# Clients

The requests of common clients, recorded as dockerd sends them to a plugin
([tests/corpus](../../tests/corpus)): the Docker CLI of each engine, Docker Compose 2.26 and
docker-py 7.2 (on which Testcontainers for Python is built), with the engines 20.10 and 28.5. Every
test run has the policies decide them. The plugin understands every field of them, and the profile
`devcontainer` allows the ordinary use of the first three clients, both in the recording and on real
daemons.

```sh
.venv/bin/pytest tests/test_corpus.py tests/real/test_clients.py
.venv/bin/python -m tests.corpus
```

The second command records the requests again and needs root. Use the table to write a
[configuration](policy-configuration.md) for a client; [profiles](profiles.md) lists profiles that
are made for clients.
"""


def clients_page() -> str:
    """The page: a row for each client, then its operations."""
    sent: dict[str, list[Recorded]] = defaultdict(list)
    for request in recorded():
        sent[request.client].append(request)
    lines = [_HEAD, "| client | requests | operations |", "|---|---:|---|"]
    for client, requests in sent.items():
        operations = sorted({_operation(request) for request in requests})
        names = ", ".join(f"`{name}`" for name in operations)
        lines.append(f"| {client} | {len(requests)} | {names} |")
    return "\n".join(lines) + "\n"


def _operation(request: Recorded) -> str:
    headers = {name.lower(): value for name, value in request.headers.items()}
    body = request.body.encode()
    return dockerd.read(request.method, request.uri, headers, body).operation.id
