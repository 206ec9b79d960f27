"""How rows are written: the shorthands of the catalogue, and what several families say."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from typing import Any, Final

from authz_plugin.tools.attack.row import JSON, Attack, Container, Family, Message, Proof, Thing

NO_IMAGE: Final = r"^No such image"
NO_CONTAINER: Final = r"No such container|is not running"
NO_MANAGER: Final = r"not a swarm manager"
NO_PLUGIN: Final = r"plugin .* not found"
NO_REGISTRY: Final = r"127\.0\.0\.1:1: connect: connection refused"

NOWHERE: Final = "127.0.0.1:1"
"""An address of dockerd's own host that nobody listens on: that it was asked is the proof."""

CREATE: Final = "/containers/create?name=<name>"
PRIVILEGED: Final = '{<top>,"HostConfig":{<host>"Privileged":true}}'
IS_PRIVILEGED: Final = ("HostConfig.Privileged", True)

MEANS_PRIVILEGED: Final = (
    "a privileged container has every capability and device of the host: "
    "whoever starts it is root there"
)
MEANS_FILES: Final = (
    "the host's files in a container are read and written as root: passwords, keys, cron"
)
MEANS_NETWORK: Final = "the host's interfaces, and whatever listens on its loopback address"
MEANS_PROCESSES: Final = (
    "the host's processes are seen and signalled, and by /proc/PID/root their files are read"
)
MEANS_SOCKET: Final = "whoever has the Docker socket asks dockerd for everything else on this list"
MEANS_ADMIN: Final = "SYS_ADMIN mounts, and leaves a container by several known ways"
MEANS_EXEC: Final = "commands run in other people's containers, with their secrets and mounts"
MEANS_READ: Final = "whatever lies in a container, secrets and databases included, leaves it"
MEANS_TASKS: Final = (
    "a service runs what it is told to on every node of a swarm, with mounts of its host"
)
DEVCONTAINER: Final = ("devcontainer",)


def sending(family: Family, id_: str, what: str, message: Message, **more: Any) -> Attack:
    """A row; ``more`` are its other fields, of which ``proof`` may be left out."""
    proof = more.pop("proof", None)
    return Attack(
        id=f"{family.id}.{id_}", family=family, what=what, message=message, proof=proof, **more
    )


def creating(
    family: Family,
    id_: str,
    what: str,
    message: Message,
    shown: tuple[str, Any],
    *,
    also: tuple[Thing, ...] = (),
    **more: Any,
) -> Attack:
    """A container that is made: ``shown`` is a place in what inspect tells of it, and what is found
    there; ``also`` is what is made along with it."""
    proof = Proof("/containers/<name>/json", *shown)
    made = (Thing("container"), *also)
    return sending(
        family, id_, what, message, proof=proof, makes=made, **{"granted": NO_IMAGE, **more}
    )


def hosting(family: Family, id_: str, what: str, host: Mapping[str, Any], **more: Any) -> Attack:
    """A container whose HostConfig holds something that is then found there again, or ``value``."""
    (key, value), *_ = host.items()
    shown = (f"HostConfig.{key}", more.pop("value", value))
    return creating(family, id_, what, post(CREATE, Container(host)), shown, **more)


def get(target: str, *headers: tuple[str, str]) -> Message:
    return Message("GET", target, headers=headers)


def post(
    target: str,
    body: Container | str | bytes = b"",
    *headers: tuple[str, str],
    chunked: bool = False,
) -> Message:
    """A POST; its body is JSON unless headers say otherwise."""
    return Message("POST", target, body, headers or ((JSON,) if body else ()), chunked)


def archive(files: Mapping[str, str]) -> bytes:
    """A tar archive of text files; the same files make the same bytes at any time."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            tar.addfile(entry, io.BytesIO(text.encode()))
    return packed.getvalue()


BUILD: Final = archive({"Dockerfile": "FROM scratch\nLABEL malicious=1\n"})
"""A build of an image that holds a label and nothing else; it runs nothing."""
