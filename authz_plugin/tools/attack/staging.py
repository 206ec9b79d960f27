"""What attacks stand on: an image and a container of the tool's own, and a folder of this host.

Owns what stands in the catalogue's ``<angle brackets>``: ``name`` is what a row makes, ``image`` an
image, ``own`` a container that is never started and ``own_id`` its id, ``fresh`` one for a row
alone; ``folder`` is a folder that may be mounted, with ``link`` in it, which leads to ``/etc``, and
``root`` the highest folder above it that may be; ``minor`` is the API's version after ``1.``,
``mib`` more than 1 MiB of text, ``token`` what is random about all of it; ``top`` and ``host`` are
the members of a harmless container's body, beside and in HostConfig. Where there is nothing of a
kind, a name stands for it that nobody has.
"""

from __future__ import annotations

import http
import ipaddress
import json
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from authz_plugin.errors import EndpointError
from authz_plugin.tools.attack.catalogue.shorthand import NO_IMAGE, archive
from authz_plugin.tools.attack.row import TAR, Attack, Container, Kind, Message, Thing
from authz_plugin.tools.attack.traces import Traces
from authz_plugin.tools.attack.verdict import NOT_MADE, Answer, read
from authz_plugin.tools.docker_client import Endpoint, Request, exchange
from authz_plugin.tools.validation.boundaries import container
from authz_plugin.tools.validation.probes import NOTHING, PROBES

PREFIX: Final = "opa-authz-attack-"
"""How the name of everything begins that the tool makes."""

Origin = Literal["given", "made", "found", "nobody's"]

_IMPOSSIBLE: Final[Mapping[Kind, str]] = {
    "image": "!", "volume": "!!", "network": "", "service": "!",
}  # fmt: skip
"""Names that dockerd refuses, once it has asked its plugins."""
_IMPOSSIBLE_NAME: Final = (
    "^invalid reference format|^invalid name:|includes invalid characters|name must be valid"
)
"""How it refuses them."""

_NOBODYS: Final = f"{NOTHING}:none"
_FOUND_LIMIT: Final = 3
_PADDING: Final = 1_200_000
_MINOR: Final = "41"
"""Of an API version that most engines speak, for endpoints that do not say theirs."""
_WORD: Final = re.compile(r"<([a-z_]+)>")


@dataclass(frozen=True, slots=True)
class Stand:
    """The image that containers are made of, where it is from, the body of a harmless container
    that is let through, and whether it is ``real``: made, as our own."""

    image: str
    origin: Origin
    body: Mapping[str, Any]
    real: bool


@dataclass(frozen=True, slots=True)
class Aim:
    """What a row is aimed with: its words, the body of a harmless container, what only a sender
    hears whom nobody stopped, and whether it is in ``vain``, because what it makes could not be
    removed again."""

    words: Mapping[str, str]
    body: Mapping[str, Any]
    granted: str
    vain: bool


class Staging:
    """See the module.

    ``engine`` is what the endpoint says it is, ``reached`` whether a dockerd has answered,
    ``control`` what was said to a harmless container, if none is let through. ``image`` and
    ``folder`` are the caller's choice, or None.
    """

    def __init__(
        self, endpoint: Endpoint, traces: Traces, image: str | None, folder: Path | None
    ) -> None:
        self._endpoint = endpoint
        self._traces = traces
        self._given = image
        self._where = folder or Path(tempfile.gettempdir())
        token = secrets.token_hex(4)
        self._image = Thing("image", f"{PREFIX}{token}")
        self._own = Thing("container", f"{PREFIX}{token}")
        self._own_id = NOTHING
        self._folder: Path | None = None
        self._root = self._where
        self._token = token
        self._minor = _MINOR
        self.engine = "unknown"
        self.reached = False
        self.control: Answer | None = None
        self.stand = Stand(_NOBODYS, "nobody's", _plain(_NOBODYS), real=False)

    def prepare(self) -> None:
        """Make what rows stand on; raises ``EndpointError`` if nobody answers."""
        ping = exchange(self._endpoint, PROBES["system.ping"])
        self.reached = read(PROBES["system.ping"], ping).is_dockerds
        self.engine = ping.headers.get("server", self.engine)
        self._minor = ping.headers.get("api-version", "").partition(".")[2] or _MINOR
        self.stand = self._find_stand()
        if is_local(self._endpoint):
            self._plant()

    def clear(self) -> None:
        """Remove what was made here."""
        self._traces.sweep()
        if self._folder is not None:
            shutil.rmtree(self._folder)

    def lacks(self, attack: Attack) -> str:
        """Why a row cannot be tried, or nothing."""
        if attack.folder and not is_local(self._endpoint):
            return "the daemon is on another machine: no link can be planted there"
        if attack.folder and self._folder is None:
            return f"{self._where} may not be mounted, or not written to (see --folder)"
        return ""

    def aim(self, attack: Attack) -> Aim:
        """Aim a row. What is made in vain is made of nobody's image, or under a name that dockerd
        refuses once it has asked its plugins."""
        name = f"{PREFIX}{self._token}-{attack.id.replace('.', '-')}"
        vain = not all(self._traces.removes(thing.kind) for thing in attack.makes)
        words = {
            "name": _IMPOSSIBLE.get(attack.makes[0].kind, name) if vain else name,
            "fresh": f"{name}-fresh" if self.stand.real and not vain else NOTHING,
            "own": self._own.name if self.stand.real else NOTHING,
            "own_id": self._own_id,
            "image": self.stand.image,
            "folder": str(self._folder),
            "root": str(self._root),
            "minor": self._minor,
            "token": self._token,
        }
        granted = [attack.granted] if attack.granted else []
        granted += [_IMPOSSIBLE_NAME] if vain else []
        return Aim(words, self._body_of(*attack.makes), "|".join(granted), vain)

    def make_fresh(self, aim: Aim) -> list[Thing]:
        """Make the container ``fresh``."""
        if not self.stand.real or aim.vain:
            return []
        thing = Thing("container", aim.words["fresh"])
        self._create(thing, aim.body)
        return [thing]

    def _find_stand(self) -> Stand:
        """The first harmless container that is let through."""
        refusal: Answer | None = None
        for image, origin, body in self._candidates():
            answer = self._create(self._own, body)
            if answer.said == "done" and answer.certain:
                self._own_id = self._look_up()
                return Stand(image, origin, body, real=True)
            if answer.said == "declined" and re.search(NO_IMAGE, answer.text):
                return Stand(image, "nobody's", body, real=False)
            refusal = refusal or answer
        self.control = refusal
        return self.stand

    def _look_up(self) -> str:
        """The id of our own container, or its name if that cannot be seen."""
        shown = self._get(Request("GET", f"/containers/{self._own.name}/json"))
        return str(shown["Id"]) if isinstance(shown, dict) and "Id" in shown else self._own.name

    def _candidates(self) -> Iterator[tuple[str, Origin, dict[str, Any]]]:
        for image, origin in self._images():
            yield image, origin, _plain(image)
            yield image, origin, _careful(image)

    def _images(self) -> Iterator[tuple[str, Origin]]:
        if not self._traces.removes("container"):
            yield _NOBODYS, "nobody's"
            return
        if self._given is not None:
            yield self._given, "given"
            return
        if self._traces.removes("image") and self._import():
            yield self._image.name, "made"
        for image in self._found():
            yield image, "found"
        yield _NOBODYS, "nobody's"

    def _import(self) -> bool:
        """Make an image of an archive with one small file in it."""
        target = f"/images/create?fromSrc=-&repo={self._image.name}&tag=latest"
        content = archive({"opa-authz-attack": "made to be removed"})
        request = Request("POST", target, (TAR,), content)
        return self._made(self._image, request).said == "done"

    def _found(self) -> list[str]:
        """Images of the host, the smallest first; only those that keep a name of their own."""
        listed = self._get(PROBES["image.list"])
        images = [i for i in listed if isinstance(i, dict)] if isinstance(listed, list) else []
        images.sort(key=lambda image: int(image.get("Size", 0)))
        names = [name for image in images for name in (image.get("RepoTags") or [])[:1]]
        return [name for name in names if not name.startswith("<none>")][:_FOUND_LIMIT]

    def _get(self, request: Request) -> Any:
        """What is answered to a request, or None if that is no JSON of success."""
        reply = exchange(self._endpoint, request)
        try:
            return reply.json() if reply.status == http.HTTPStatus.OK else None
        except EndpointError:
            return None

    def _plant(self) -> None:
        """Plant a link in a folder of our own, if that may be mounted."""
        try:
            folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=self._where))
        except OSError:
            return
        (folder / "link").symlink_to("/etc")
        if not self._may_mount(folder):
            shutil.rmtree(folder)
            return
        self._folder = folder
        while self._root != self._root.parent and self._may_mount(self._root.parent):
            self._root = self._root.parent

    def _may_mount(self, folder: Path) -> bool:
        thing = Thing("container", f"{self._own.name}-folder-{len(folder.parts)}")
        body = self._body_of(thing)
        host = _added(body["HostConfig"], {"Binds": [f"{folder}:/h"]})
        answer = self._create(thing, {**body, "HostConfig": host})
        if answer.said == "done":
            self._traces.remove([thing])
            return True
        return answer.said == "declined" and bool(re.search(NO_IMAGE, answer.text))

    def _body_of(self, *things: Thing) -> Mapping[str, Any]:
        """The body of a harmless container, of nobody's image if that, or what is made along with
        it, could not be removed again."""
        if all(self._traces.removes(thing.kind) for thing in things):
            return self.stand.body
        return {**self.stand.body, "Image": _NOBODYS}

    def _create(self, thing: Thing, body: Mapping[str, Any]) -> Answer:
        request = Request.of_json("POST", f"/containers/create?name={thing.name}", body)
        return self._made(thing, request)

    def _made(self, thing: Thing, request: Request) -> Answer:
        self._traces.expect([thing])
        answer = read(request, exchange(self._endpoint, request))
        if answer.said in NOT_MADE:
            self._traces.forget([thing])
        return answer


def render(message: Message, aim: Aim) -> Request:
    """A row's request, filled in."""
    target = fill(message.target, aim.words)
    return Request(
        message.method, target, message.headers, _body(message.body, aim), message.chunked
    )


def _body(body: Container | str | bytes, aim: Aim) -> bytes:
    if isinstance(body, bytes):
        return body
    beside = {key: value for key, value in aim.body.items() if key != "HostConfig"}
    host = aim.body["HostConfig"]
    if isinstance(body, Container):
        body = json.dumps({**beside, **body.top, "HostConfig": _added(host, body.host)})
    words = {word: _members(value) for word, value in aim.words.items()}
    within = _members(host)
    words |= {"top": _members(beside), "host": within and f"{within},", "mib": "x" * _PADDING}
    return fill(body, words).encode()


def fill(text: str, words: Mapping[str, str]) -> str:
    """A text with its ``<words>`` replaced."""
    return _WORD.sub(lambda found: words[found[1]], text)


def filled(value: Any, words: Mapping[str, str]) -> Any:
    """A JSON value with the ``<words>`` in its texts replaced."""
    match value:
        case str():
            return fill(value, words)
        case dict():
            return {key: filled(item, words) for key, item in value.items()}
        case list():
            return [filled(item, words) for item in value]
    return value


def is_local(endpoint: Endpoint) -> bool:
    """Whether a daemon sees this machine's files, as far as its address tells."""
    try:
        return endpoint.unix is not None or ipaddress.ip_address(endpoint.address[0]).is_loopback
    except ValueError:
        return endpoint.address[0] == "localhost"


def _plain(image: str) -> dict[str, Any]:
    return {"Image": image, "Cmd": ["true"], "HostConfig": {}}


def _careful(image: str) -> dict[str, Any]:
    """One that asks for less than any policy demands; rows choose its network."""
    body = container({}, image)
    body["HostConfig"].pop("NetworkMode")
    return body


def _added(host: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A HostConfig with changes; to its lists they are added."""
    both = {k: [*host[k], *v] for k, v in changes.items() if v and isinstance(host.get(k), list)}
    return {**host, **changes, **both}


def _members(value: Any) -> str:
    """A text, or the members of an object, as they stand within JSON."""
    return json.dumps(value)[1:-1]
