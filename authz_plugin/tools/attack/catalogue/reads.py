"""What an endpoint gives away for the asking: the GETs that a guard of POSTs lets through."""

from __future__ import annotations

from typing import Any, Final

from authz_plugin.tools.attack.catalogue.shorthand import (
    DEVCONTAINER,
    MEANS_READ,
    NO_CONTAINER,
    NO_IMAGE,
    NO_MANAGER,
    get,
    post,
    sending,
)
from authz_plugin.tools.attack.row import Attack, Family, Message, Proof
from authz_plugin.tools.validation.probes import NOTHING

READS: Final = Family("read", "What a GET gives away")

_WEBSOCKET: Final = (
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA=="),
    ("Origin", "http://docker"),
)
_TAR: Final = Proof(form="tar")
_MEANS_STDIN: Final = "what is typed into a container's main process, which is code run in it"
_MEANS_SWARM: Final = "who has a manager's token or unlock key runs anything on every node"


def _own(id_: str, what: str, path: str, **more: Any) -> Attack:
    """Something about a container, asked of our own."""
    more = {"means": MEANS_READ, "rule": "", "open_in": DEVCONTAINER, **more}
    message = get(f"/containers/<own>/{path}")
    return sending(READS, id_, what, message, granted=NO_CONTAINER, **more)


def _stream(id_: str, what: str, message: Message, **more: Any) -> Attack:
    """The standard input of a container, of our own."""
    return sending(
        READS, id_, what, message, proof=Proof(form="stream"), granted=NO_CONTAINER, rule="",
        means=_MEANS_STDIN, **more,
    )  # fmt: skip


def _image(id_: str, what: str, target: str) -> Attack:
    return sending(
        READS, id_, what, get(target), proof=_TAR, granted=f"{NO_IMAGE}|reference does not exist",
        rule="", open_in=DEVCONTAINER, means="a whole image, with what was built into it",
    )  # fmt: skip


def _swarm(id_: str, what: str, target: str, **more: Any) -> Attack:
    more = {"granted": NO_MANAGER, **more}
    return sending(READS, id_, what, get(target), rule="", means=_MEANS_SWARM, **more)


ROWS: Final = (
    _own("archive", "A container's files", "archive?path=/.dockerenv", proof=_TAR),
    _own("archive-encoded", "A container's files, by arc%68ive", "arc%68ive?path=/.dockerenv",
         proof=_TAR),
    _own("export", "A whole container", "export", proof=_TAR),
    _own("export-query", "A whole container, with a harmless path in the query",
         "export?x=/containers/json", proof=_TAR),
    _stream("attach-ws", "A container's standard input, by attach/ws",
            get("/containers/<own>/attach/ws?stream=1&stdin=1", *_WEBSOCKET),
            open_in=DEVCONTAINER),
    _stream("attach-ws-encoded", "A container's standard input, by %61ttach/ws",
            get("/containers/<own>/%61ttach/ws?stream=1&stdin=1", *_WEBSOCKET),
            open_in=DEVCONTAINER),
    _own("top", "Options for the host's ps", "top?ps_args=-eo%20pid,args",
         rule="containers.ps-arguments",
         means="the host's ps runs with the caller's options, and shows the host's processes"),
    _image("image", "An image", "/images/<image>/get"),
    _image("images", "Images, named in the query", "/images/get?names=<image>&x=/images/json"),
    _swarm("swarm", "The swarm's join tokens", "/swarm", proof=Proof(at="JoinTokens.Manager")),
    _swarm("unlock-key", "The swarm's unlock key", "/swarm/unlockkey", proof=Proof(at="UnlockKey")),
    _swarm("config", "What is in a config of the swarm", f"/configs/{NOTHING}",
           granted=f"{NO_MANAGER}|config .* not found"),
    sending(READS, "debug", "dockerd's command line, by its profiler",
            get("/debug/pprof/cmdline"), proof=Proof(form="plain"), granted="", rule="",
            means="what dockerd holds in memory, and its processor's time"),
    _own("inspect", "A container's settings and variables", "json",
         proof=Proof(at="Config.Image"), notice=True,
         means="passwords and tokens that containers get as variables"),
    _own("logs", "A container's output", "logs?stdout=1", proof=Proof(form="plain"), notice=True,
         means="whatever applications write, tokens and personal data included"),
    _stream("attach", "A container's standard input, by a POST",
            post("/containers/<own>/attach?stream=1&stdin=1", b"", ("Upgrade", "tcp")),
            notice=True),
)  # fmt: skip
