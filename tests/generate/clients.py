"""docs/reference/clients.md: what real clients ask for, from the recorded requests."""

from __future__ import annotations

from collections import defaultdict
from typing import Final

from authz_plugin import dockerd
from tests.corpus import Recorded, recorded

_HEAD: Final = """\
# Clients

What people use Docker with, recorded as dockerd hands it to a plugin
([tests/corpus](../../tests/corpus)) and asked of the policies in every test run: the Docker CLI of
each engine, Docker Compose 2.26 and docker-py 7.2 (which Testcontainers for Python is built on),
with the engines 20.10 and 28.5. All of it is understood, field by field, and the ordinary day of
the first three is allowed under `devcontainer`, in the recording as on real daemons.

```sh
.venv/bin/pytest tests/test_corpus.py tests/real/test_clients.py
.venv/bin/python -m tests.corpus
```

The second command records them anew, which needs root. The table helps to write a
[configuration](policy-configuration.md) for a client; [profiles](profiles.md) has ready ones.
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
