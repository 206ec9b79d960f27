"""Data that GET requests return, which a guard does not protect if it judges only other methods."""

from __future__ import annotations

from typing import Any, Final

from authz_plugin.tools.attack.catalogue.builders import (
    DEVCONTAINER,
    IMPACT_READ,
    NO_CONTAINER,
    NO_IMAGE,
    NO_MANAGER,
    entry,
    get,
    post,
)
from authz_plugin.tools.attack.model import CatalogueAttack, Family, Proof, RequestTemplate
from authz_plugin.tools.validation.probes import NOTHING

READS: Final = Family("read", "What a GET gives away")

_WEBSOCKET: Final = (
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA=="),
    ("Origin", "http://docker"),
)
_TAR: Final = Proof(form="tar")
_IMPACT_STDIN: Final = "what is typed into a container's main process, which is code run in it"
_IMPACT_SWARM: Final = "who has a manager's token or unlock key runs anything on every node"


def _own(id_: str, title: str, path: str, **more: Any) -> CatalogueAttack:
    """Return an attack that reads data of the campaign's own container."""
    more = {"impact": IMPACT_READ, "rule": "", "allowed_by": DEVCONTAINER, **more}
    request = get(f"/containers/<own>/{path}")
    return entry(READS, id_, title, request, success_errors=NO_CONTAINER, **more)


def _stream(id_: str, title: str, request: RequestTemplate, **more: Any) -> CatalogueAttack:
    """Return an attack that opens the standard input of the campaign's own container."""
    return entry(
        READS, id_, title, request, proof=Proof(form="stream"), success_errors=NO_CONTAINER,
        rule="",
        impact=_IMPACT_STDIN, **more,
    )  # fmt: skip


def _image(id_: str, title: str, target: str) -> CatalogueAttack:
    return entry(
        READS, id_, title, get(target), proof=_TAR,
        success_errors=f"{NO_IMAGE}|reference does not exist",
        rule="", allowed_by=DEVCONTAINER, impact="a whole image, with what was built into it",
    )  # fmt: skip


def _swarm(id_: str, title: str, target: str, **more: Any) -> CatalogueAttack:
    more = {"success_errors": NO_MANAGER, **more}
    return entry(READS, id_, title, get(target), rule="", impact=_IMPACT_SWARM, **more)


ROWS: Final = (
    _own("archive", "A container's files", "archive?path=/.dockerenv", proof=_TAR),
    _own("archive-encoded", "A container's files, by an encoded letter in archive",
         "arc%68ive?path=/.dockerenv", proof=_TAR),
    _own("export", "A whole container", "export", proof=_TAR),
    _own("export-query", "A whole container, with a harmless path in the query",
         "export?x=/containers/json", proof=_TAR),
    _stream("attach-ws", "A container's standard input, by attach/ws",
            get("/containers/<own>/attach/ws?stream=1&stdin=1", *_WEBSOCKET),
            allowed_by=DEVCONTAINER),
    _stream("attach-ws-encoded", "A container's standard input, by an encoded letter in attach/ws",
            get("/containers/<own>/%61ttach/ws?stream=1&stdin=1", *_WEBSOCKET),
            allowed_by=DEVCONTAINER),
    _own("top", "Options for the host's ps", "top?ps_args=-eo%20pid,args",
         rule="containers.ps-arguments",
         impact="the host's ps runs with the caller's options, and shows the host's processes"),
    _image("image", "An image", "/images/<image>/get"),
    _image("images", "Images, named in the query", "/images/get?names=<image>&x=/images/json"),
    _swarm("swarm", "The swarm's join tokens", "/swarm", proof=Proof(at="JoinTokens.Manager")),
    _swarm("unlock-key", "The swarm's unlock key", "/swarm/unlockkey", proof=Proof(at="UnlockKey")),
    _swarm("config", "What is in a config of the swarm", f"/configs/{NOTHING}",
           success_errors=f"{NO_MANAGER}|config .* not found"),
    entry(READS, "debug", "dockerd's command line, by its profiler",
          get("/debug/pprof/cmdline"), proof=Proof(form="plain"), success_errors="", rule="",
          impact="what dockerd holds in memory, and its processor's time"),
    _own("inspect", "A container's settings and variables", "json",
         proof=Proof(at="Config.Image"), informational=True,
         impact="passwords and tokens that containers get as variables"),
    _own("logs", "A container's output", "logs?stdout=1", proof=Proof(form="plain"),
         informational=True,
         impact="whatever applications write, tokens and personal data included"),
    _stream("attach", "A container's standard input, by a POST",
            post("/containers/<own>/attach?stream=1&stdin=1", b"", ("Upgrade", "tcp")),
            informational=True),
)  # fmt: skip
