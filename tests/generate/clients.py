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

_NOT_RUN: Final = """\

## Clients that were not run

The requests of these clients are not recorded: they are made from the sources named here, and
[tests](../../tests/test_policy_library.py) have the client's [preset](profiles.md#for-clients)
decide them. `opa-authz import` uses them, too.

| preset | source | files |
|---|---|---|
| `act-runner` | nektos/act 0.2.89, on which the runners of Gitea and Forgejo are based | `pkg/container/docker_run.go`, `docker_network.go`, `docker_volume.go`, `pkg/runner/run_context.go` |
| `authentik-outpost` | goauthentik/authentik 090c10c | `authentik/outposts/controllers/docker.py` |
| `coolify-sentinel` | coollabsio/sentinel 0ed39b4 | `crates/docker/src/lib.rs` |
| `crowdsec` | crowdsecurity/crowdsec 710e7c1, 7dba2f1 | `pkg/acquisition/modules/docker/run.go`, `config.go` |
| `docker-volume-backup` | offen/docker-volume-backup ae3672f | `cmd/backup/stop_restart.go`, `exec.go` |
| `dockhand` | Finsys/dockhand 685132f | `src/lib/server/docker.ts` |
| `dokploy-monitoring` | Dokploy/dokploy 772b768 | `apps/monitoring/containers/monitor.go` |
| `komodo-periphery` | moghtech/komodo 3e10ea5, be40110, 2693f13, 04f944f | `bin/periphery/src/api/container/mod.rs`, `docker/container.rs`, `docker/image.rs`, `api/docker.rs` |
| `portainer` (recreate) | portainer/portainer 04e9ee3 | `api/docker/container.go` |
| `sablier` | sablierapp/sablier 041b906, 06ac659 | `pkg/provider/docker/docker.go`, `events.go`, `container_start.go`, `container_stop.go`, `container_list.go` |
| `woodpecker-agent` | woodpecker-ci/woodpecker 4407286, 01acd5f | `pipeline/backend/docker/docker.go`, `convert.go` |

Portainer recreates a container with all that an inspection shows of it. The lists of masked and
read-only paths are among that, and every shipped profile denies a request that has them
([`security-options.paths`](rules/security-options.md#security-optionspaths)). So is the network of
another container ([`namespaces.container`](rules/namespaces.md#namespacescontainer)).
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
    return "\n".join(lines) + "\n" + _NOT_RUN


def _operation(request: Recorded) -> str:
    headers = {name.lower(): value for name, value in request.headers.items()}
    body = request.body.encode()
    return dockerd.read(request.method, request.uri, headers, body).operation.id
