"""Functions and texts that several families of the catalogue use to define their attacks."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from typing import Any, Final

from authz_plugin.tools.attack.model import (
    JSON,
    CatalogueAttack,
    ContainerBody,
    DockerObject,
    Family,
    Proof,
    RequestTemplate,
)

# Errors of dockerd's, as regular expressions
NO_IMAGE: Final = r"^No such image"
NO_CONTAINER: Final = r"No such container|is not running"
NO_MANAGER: Final = r"not a swarm manager"
NO_PLUGIN: Final = r"plugin .* not found"
NO_REGISTRY: Final = r"127\.0\.0\.1:1: connect:"

NOWHERE: Final = "127.0.0.1:1"
"""A port of dockerd's host that nothing listens on.

That dockerd's connection was refused there proves that dockerd has tried to connect."""

CREATE: Final = "/containers/create?name=<name>"
PRIVILEGED: Final = '{<top>,"HostConfig":{<host>"Privileged":true}}'
IS_PRIVILEGED: Final = ("HostConfig.Privileged", True)

IMPACT_PRIVILEGED: Final = (
    "a privileged container has every capability and device of the host: "
    "whoever starts it is root there"
)
IMPACT_FILES: Final = (
    "the host's files in a container are read and written as root: passwords, keys, cron"
)
IMPACT_NETWORK: Final = "the host's interfaces, and whatever listens on its loopback address"
IMPACT_PROCESSES: Final = (
    "the host's processes are seen and signalled, and by /proc/PID/root their files are read"
)
IMPACT_SOCKET: Final = "whoever has the Docker socket asks dockerd for everything else on this list"
IMPACT_ADMIN: Final = "SYS_ADMIN mounts, and leaves a container by several known ways"
IMPACT_EXEC: Final = "commands run in other people's containers, with their secrets and mounts"
IMPACT_READ: Final = "whatever lies in a container, secrets and databases included, leaves it"
IMPACT_TASKS: Final = (
    "a service runs what it is told to on every node of a swarm, with mounts of its host"
)
DEVCONTAINER: Final = ("devcontainer",)


def entry(
    family: Family, id_: str, title: str, request: RequestTemplate, **more: Any
) -> CatalogueAttack:
    """Return an attack; ``more`` are its other fields. Without ``proof`` it has none."""
    proof = more.pop("proof", None)
    return CatalogueAttack(
        id=f"{family.id}.{id_}", family=family, title=title, request=request, proof=proof, **more
    )


def container_entry(
    family: Family,
    id_: str,
    title: str,
    request: RequestTemplate,
    inspected: tuple[str, Any],
    *,
    also: tuple[DockerObject, ...] = (),
    **more: Any,
) -> CatalogueAttack:
    """Return an attack that creates the container ``<name>``.

    ``inspected`` are ``at`` and ``value`` of the proof, which examines the container's inspect
    answer. ``also`` are further objects that the request creates.
    """
    more = {"success_errors": NO_IMAGE, **more}
    proof = Proof("/containers/<name>/json", *inspected)
    creates = (DockerObject("container"), *also)
    return entry(family, id_, title, request, proof=proof, creates=creates, **more)


def host_config_entry(
    family: Family, id_: str, title: str, host: Mapping[str, Any], **more: Any
) -> CatalogueAttack:
    """Return an attack that creates a container with changes of its HostConfig.

    It is proved by the first changed member, whose inspected value must be ``value``, or else the
    value that was sent.
    """
    (key, value), *_ = host.items()
    inspected = (f"HostConfig.{key}", more.pop("value", value))
    return container_entry(family, id_, title, post(CREATE, ContainerBody(host)), inspected, **more)


def get(target: str, *headers: tuple[str, str]) -> RequestTemplate:
    """Return a GET request."""
    return RequestTemplate("GET", target, headers=headers)


def post(
    target: str,
    body: ContainerBody | str | bytes = b"",
    *headers: tuple[str, str],
    chunked: bool = False,
) -> RequestTemplate:
    """Return a POST request. Without ``headers``, a body is sent as JSON."""
    return RequestTemplate("POST", target, body, headers or ((JSON,) if body else ()), chunked)


def archive(files: Mapping[str, str]) -> bytes:
    """Return a tar archive of text files, given by name; equal files give equal bytes."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text.encode()))
    return packed.getvalue()


BUILD: Final = archive({"Dockerfile": "FROM scratch\nLABEL malicious=1\n"})
"""A build context whose image has a label and no files; the build runs no command."""
