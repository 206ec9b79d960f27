"""Prepare a daemon in use for the attacks of the catalogue, and define their placeholders.

- ``<name>`` is the name of what the attack creates, ``<image>`` an image;
- ``<own>`` is a container that is created for the campaign and never started, ``<own_id>`` its id,
  ``<fresh>`` a container that is created for one attack;
- ``<folder>`` is a folder that may be mounted and contains ``link``, a symbolic link to ``/etc``;
  ``<root>`` is the highest parent folder of it that may be mounted;
- ``<minor>`` is the API's version without the leading ``1.``, ``<token>`` is random.

Where an object cannot be created or found, its placeholder is a name that does not exist.
"""

from __future__ import annotations

import http
import ipaddress
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from authz_plugin.errors import EndpointError
from authz_plugin.tools.attack.catalogue.builders import NO_IMAGE, archive
from authz_plugin.tools.attack.created_objects import CreatedObjects
from authz_plugin.tools.attack.model import TAR, CatalogueAttack, DockerObject, ObjectKind
from authz_plugin.tools.attack.rendering import AttackContext, merge_host_config
from authz_plugin.tools.attack.verdict import NOT_CREATED, Answer, read_answer
from authz_plugin.tools.docker_client import Endpoint, Request, exchange
from authz_plugin.tools.validation.boundaries import container
from authz_plugin.tools.validation.checks import ping
from authz_plugin.tools.validation.probes import NOTHING, PROBES

PREFIX: Final = "opa-authz-attack-"
"""The prefix of the names of all objects that a campaign creates."""

Origin = Literal["given", "made", "found", "nobody's"]
"""Where an image is from: the caller, an import, the daemon's images; or it does not exist."""

_INVALID_NAMES: Final[Mapping[ObjectKind, str]] = {
    "image": "!", "volume": "!!", "network": "", "service": "!",
}  # fmt: skip
"""Names that dockerd rejects after it has asked its plugins."""
_INVALID_NAME_ERRORS: Final = (
    "^invalid reference format|^invalid name:|includes invalid characters|name must be valid"
)

_MISSING_IMAGE: Final = f"{NOTHING}:none"
_IMAGE_LIMIT: Final = 3
_DEFAULT_MINOR: Final = "41"
"""The minor API version to use if the endpoint does not tell its own; most engines speak it."""


@dataclass(frozen=True, slots=True)
class HarmlessContainer:
    """A container that the guard allows: its image, where that is from and its request body.

    ``exists`` says whether the container was created on the daemon.
    """

    image: str
    origin: Origin
    body: Mapping[str, Any]
    exists: bool


class Preparation:
    """The objects that attacks on an endpoint use.

    ``image`` and ``folder`` are the caller's choice, or None.

    ``engine`` is the Server header of the endpoint, ``dockerd_seen`` whether a dockerd has
    answered, ``container`` the harmless container, and ``container_refusal`` the answer to the
    first attempt to create one, if every attempt was refused.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        created_objects: CreatedObjects,
        image: str | None,
        folder: Path | None,
    ) -> None:
        self._endpoint = endpoint
        self._created_objects = created_objects
        self._given_image = image
        self._parent_folder = folder or Path(tempfile.gettempdir())
        token = secrets.token_hex(4)
        self._own_image = DockerObject("image", f"{PREFIX}{token}")
        self._own_container = DockerObject("container", f"{PREFIX}{token}")
        self._own_id = NOTHING
        self._folder: Path | None = None
        self._root = self._parent_folder
        self._token = token
        self._minor = _DEFAULT_MINOR
        self.engine = "unknown"
        self.dockerd_seen = False
        self.container_refusal: Answer | None = None
        self.container = HarmlessContainer(
            _MISSING_IMAGE, "nobody's", _minimal_body(_MISSING_IMAGE), exists=False
        )

    def prepare(self) -> None:
        """Create what the attacks use; raises ``EndpointError`` as ``ping``."""
        reply = ping(self._endpoint)
        self.dockerd_seen = read_answer(PROBES["system.ping"], reply).from_dockerd
        self.engine = reply.headers.get("server", self.engine)
        self._minor = reply.headers.get("api-version", "").partition(".")[2] or _DEFAULT_MINOR
        self.container = self._find_harmless_container()
        if is_local(self._endpoint):
            self._create_folder()

    def clean_up(self) -> None:
        """Remove everything that was created on the daemon and on this host."""
        self._created_objects.remove_all()
        if self._folder is not None:
            shutil.rmtree(self._folder)

    def missing_for(self, attack: CatalogueAttack) -> str:
        """Return why an attack cannot be tried, or an empty text."""
        if attack.needs_folder and not is_local(self._endpoint):
            return "the daemon is on another machine: no link can be planted there"
        if attack.needs_folder and self._folder is None:
            return f"{self._parent_folder} may not be mounted, or not written to (see --folder)"
        return ""

    def context_for(self, attack: CatalogueAttack) -> AttackContext:
        """Return the context of an attack.

        If objects of a kind that it creates cannot be removed again, the attack gets an image that
        does not exist or a name that dockerd rejects after it has asked its plugins.
        """
        name = f"{PREFIX}{self._token}-{attack.id.replace('.', '-')}"
        creates_nothing = not all(
            self._created_objects.can_remove(object_.kind) for object_ in attack.creates
        )
        invalid_name = _INVALID_NAMES.get(attack.creates[0].kind, name) if creates_nothing else name
        fresh_exists = self.container.exists and not creates_nothing
        placeholders = {
            "name": invalid_name,
            "fresh": f"{name}-fresh" if fresh_exists else NOTHING,
            "own": self._own_container.name if self.container.exists else NOTHING,
            "own_id": self._own_id,
            "image": self.container.image,
            "folder": str(self._folder),
            "root": str(self._root),
            "minor": self._minor,
            "token": self._token,
        }
        errors = [attack.success_errors] if attack.success_errors else []
        errors += [_INVALID_NAME_ERRORS] if creates_nothing else []
        body = self._container_body(*attack.creates)
        return AttackContext(placeholders, body, "|".join(errors), creates_nothing)

    def create_fresh_container(self, context: AttackContext) -> list[DockerObject]:
        """Create the container ``<fresh>``; return it, or nothing if it may not be created."""
        if not self.container.exists or context.creates_nothing:
            return []
        fresh = DockerObject("container", context.placeholders["fresh"])
        self._create_container(fresh, context.container)
        return [fresh]

    def _find_harmless_container(self) -> HarmlessContainer:
        """Create the first candidate that the guard allows."""
        refusal: Answer | None = None
        for image, origin, body in self._candidates():
            answer = self._create_container(self._own_container, body)
            if answer.kind == "done" and answer.from_dockerd:
                self._own_id = self._look_up_id()
                return HarmlessContainer(image, origin, body, exists=True)
            if answer.kind == "declined" and re.search(NO_IMAGE, answer.text):
                return HarmlessContainer(image, "nobody's", body, exists=False)
            refusal = refusal or answer
        self.container_refusal = refusal
        return self.container

    def _look_up_id(self) -> str:
        """Return the id of the campaign's container, or its name if inspect is not allowed."""
        name = self._own_container.name
        inspected = self._get_json(Request("GET", f"/containers/{name}/json"))
        return str(inspected["Id"]) if isinstance(inspected, dict) and "Id" in inspected else name

    def _candidates(self) -> Iterator[tuple[str, Origin, dict[str, Any]]]:
        for image, origin in self._images():
            yield image, origin, _minimal_body(image)
            yield image, origin, _restricted_body(image)

    def _images(self) -> Iterator[tuple[str, Origin]]:
        if not self._created_objects.can_remove("container"):
            yield _MISSING_IMAGE, "nobody's"
            return
        if self._given_image is not None:
            yield self._given_image, "given"
            return
        if self._created_objects.can_remove("image") and self._import_image():
            yield self._own_image.name, "made"
        for image in self._existing_images():
            yield image, "found"
        yield _MISSING_IMAGE, "nobody's"

    def _import_image(self) -> bool:
        """Import an image that contains one small file."""
        target = f"/images/create?fromSrc=-&repo={self._own_image.name}&tag=latest"
        content = archive({"opa-authz-attack": "made to be removed"})
        request = Request("POST", target, (TAR,), content)
        return self._create(self._own_image, request).kind == "done"

    def _existing_images(self) -> list[str]:
        """Return the names of the daemon's smallest images that have one."""
        listed = self._get_json(PROBES["image.list"])
        images = [i for i in listed if isinstance(i, dict)] if isinstance(listed, list) else []
        images.sort(key=lambda image: int(image.get("Size", 0)))
        names = [name for image in images for name in (image.get("RepoTags") or [])[:1]]
        return [name for name in names if not name.startswith("<none>")][:_IMAGE_LIMIT]

    def _get_json(self, request: Request) -> Any:
        """Return the JSON of an answer with HTTP 200, or None for any other answer."""
        reply = exchange(self._endpoint, request)
        try:
            return reply.json() if reply.status == http.HTTPStatus.OK else None
        except EndpointError:
            return None

    def _create_folder(self) -> None:
        """Create a folder with a link to ``/etc``, and keep it if it may be mounted."""
        try:
            folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=self._parent_folder))
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
        name = f"{self._own_container.name}-folder-{len(folder.parts)}"
        mounting = DockerObject("container", name)
        body = self._container_body(mounting)
        host = merge_host_config(body["HostConfig"], {"Binds": [f"{folder}:/h"]})
        answer = self._create_container(mounting, {**body, "HostConfig": host})
        if answer.kind == "done":
            self._created_objects.remove([mounting])
            return True
        return answer.kind == "declined" and bool(re.search(NO_IMAGE, answer.text))

    def _container_body(self, *created: DockerObject) -> Mapping[str, Any]:
        """Return the body of the harmless container, for a request that creates some objects.

        If one of those could not be removed again, the image of the body does not exist.
        """
        if all(self._created_objects.can_remove(object_.kind) for object_ in created):
            return self.container.body
        return {**self.container.body, "Image": _MISSING_IMAGE}

    def _create_container(self, created: DockerObject, body: Mapping[str, Any]) -> Answer:
        target = f"/containers/create?name={created.name}"
        return self._create(created, Request.of_json("POST", target, body))

    def _create(self, created: DockerObject, request: Request) -> Answer:
        self._created_objects.add([created])
        answer = read_answer(request, exchange(self._endpoint, request))
        if answer.kind in NOT_CREATED:
            self._created_objects.discard([created])
        return answer


def is_local(endpoint: Endpoint) -> bool:
    """Return whether an endpoint's address is a unix socket or a loopback address, so that its
    daemon sees the files of this host."""
    try:
        return endpoint.unix is not None or ipaddress.ip_address(endpoint.address[0]).is_loopback
    except ValueError:
        return endpoint.address[0] == "localhost"


def _minimal_body(image: str) -> dict[str, Any]:
    return {"Image": image, "Cmd": ["true"], "HostConfig": {}}


def _restricted_body(image: str) -> dict[str, Any]:
    """Return a body with every restriction that a policy may demand, except for the network mode,
    which attacks set."""
    body = container({}, image)
    body["HostConfig"].pop("NetworkMode")
    return body
