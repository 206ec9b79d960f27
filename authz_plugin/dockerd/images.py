"""Every image, and every registry, that a request names, as one list.

References are normalised as dockerd does it: ``alpine`` is ``docker.io/library/alpine``. Sources:
distribution/reference v0.6.0 ``normalize.go`` (splitDockerDomain), ``regexp.go``; moby 28.5.2
``api/server/router/image/image_routes.go`` (the tag parameter goes before the one in fromImage),
``registry/search.go`` (the host before the first slash of a search), ``daemon/volumes.go`` (a
mount of type image, since 28.0, looks its source up as an image to run),
``api/server/router/build/build_routes.go`` (cachefrom).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from authz_plugin.dockerd.mounts import task_mount

Action = Literal["run", "mount", "pull", "push", "name", "look-up", "search", "plugin"]

_HUB: Final = "docker.io"
_DIGEST: Final = re.compile(r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9A-Fa-f]{32,}")
_ID: Final = re.compile(r"(?:sha256:)?[0-9a-f]{1,64}")
_REPOSITORY: Final = re.compile(
    r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*"
)
_TAG: Final = re.compile(r"\w[\w.-]{0,127}", re.ASCII)

Query = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Image:
    """An image or plugin that a request names, and what for.

    ``action`` is ``mount`` for an image whose files a container sees, and ``look-up`` for what
    dockerd may ask a registry about.
    ``reference`` is as written; ``name`` is registry and repository, both normalised, or empty
    where dockerd takes the reference for none. ``tag`` and ``digest`` are empty where none is
    given, except that a container without either runs ``latest``. ``names`` are what a pattern can
    be compared with: the name, and the name with its digest or, without one, its tag, because
    dockerd ignores a tag beside a digest. ``may_be_id`` says that dockerd could take the
    reference for an image's id.
    """

    action: Action
    field: str
    reference: str
    registry: str
    repository: str
    name: str
    tag: str
    digest: str
    names: tuple[str, ...]
    may_be_id: bool


def read_images(operation: str, ref: str | None, body: Any, query: Query) -> list[Image]:
    """All images of a request, given its operation id, path reference, canonical body and query."""
    return list(_read(operation, ref or "", body, query))


def _read(operation: str, ref: str, body: Any, query: Query) -> Iterator[Image]:  # noqa: C901, PLR0912 - a table
    match operation:
        case "container.create":
            yield _image("run", "Image", body["Image"])
            yield from _mounted(body["HostConfig"]["Mounts"], "HostConfig.Mounts")
        case "service.create" | "service.update":
            template = body["TaskTemplate"]
            if template["ContainerSpec"] is not None:
                field = "TaskTemplate.ContainerSpec.Image"
                yield _image("run", field, template["ContainerSpec"]["Image"])
                mounts = map(task_mount, template["ContainerSpec"]["Mounts"])
                yield from _mounted(mounts, "TaskTemplate.ContainerSpec.Mounts")
            if template["PluginSpec"] is not None:
                yield _image(
                    "plugin", "TaskTemplate.PluginSpec.remote", template["PluginSpec"]["remote"]
                )
        case "image.pull":
            yield _image("pull", "query.fromImage", first(query, "fromImage"), first(query, "tag"))
        case "image.push":
            yield _image("push", "path", ref, first(query, "tag"))
        case "image.tag" | "image.import" | "container.commit":
            if first(query, "repo"):
                yield _image("name", "query.repo", first(query, "repo"), first(query, "tag"))
        case "image.build":
            for i, name in enumerate(query.get("t", ())):
                yield _image("name", f"query.t[{i}]", name)
            yield from _cache_sources(first(query, "cachefrom"))
        case "image.search":
            yield _image("search", "query.term", first(query, "term"))
        case "distribution.inspect":
            yield _image("look-up", "path", ref)
        case "plugin.pull" | "plugin.upgrade" | "plugin.privileges":
            yield _image("plugin", "query.remote", first(query, "remote"))
        case "plugin.push":
            yield _image("plugin", "path", ref)


def _mounted(mounts: Iterable[Any], field: str) -> Iterator[Image]:
    for i, mount in enumerate(mounts):
        if mount["Type"] == "image":
            yield _image("mount", f"{field}[{i}].Source", mount["Source"])


def _cache_sources(text: str) -> Iterator[Image]:
    """The images that a build's steps may come from, a JSON list; one of no registry where it is
    none, which dockerd answers with an error."""
    try:
        references = json.loads(text or "null")
    except (ValueError, RecursionError):
        references = text
    if references is None:
        return
    if not isinstance(references, list):
        references = [None]
    for i, reference in enumerate(references):
        if isinstance(reference, str):
            yield _image("look-up", f"query.cachefrom[{i}]", reference)
        else:
            yield replace(_image("look-up", "query.cachefrom", ""), registry="")


def first(query: Query, name: str) -> str:
    """The value of a parameter that dockerd reads once; empty where it is not given."""
    return query.get(name, ("",))[0]


def _image(action: Action, field: str, reference: str, tag: str = "") -> Image:
    name, _, digest = reference.partition("@")
    colon = name.rfind(":")
    own_tag = ""
    if colon > name.rfind("/"):
        name, own_tag = name[:colon], name[colon + 1 :]
    if _DIGEST.fullmatch(tag):
        digest, own_tag = tag, ""
    elif tag:
        digest, own_tag = "", tag
    registry, repository = _split(name)
    sound = (
        _REPOSITORY.fullmatch(repository) is not None
        and (not own_tag or _TAG.fullmatch(own_tag) is not None)
        and (not digest or _DIGEST.fullmatch(digest) is not None)
    )
    if action in {"run", "mount"} and not own_tag and not digest:
        own_tag = "latest"
    whole = f"{registry}/{repository}" if sound else ""
    names = [whole] if sound else []
    if sound and (digest or own_tag):
        names.append(f"{whole}@{digest}" if digest else f"{whole}:{own_tag}")
    return Image(
        action=action,
        field=field,
        reference=reference,
        registry=registry,
        repository=repository,
        name=whole,
        tag=own_tag,
        digest=digest,
        names=tuple(names),
        may_be_id=not tag and _ID.fullmatch(reference) is not None,
    )


def _split(name: str) -> tuple[str, str]:
    """Registry and repository of a name without tag and digest."""
    host, slash, rest = name.partition("/")
    is_host = slash and ("." in host or ":" in host or host == "localhost" or host.lower() != host)
    registry, repository = (host.lower(), rest) if is_host else (_HUB, name)
    if registry == f"index.{_HUB}":
        registry = _HUB
    if registry == _HUB and "/" not in repository:
        repository = f"library/{repository}"
    return registry, repository
