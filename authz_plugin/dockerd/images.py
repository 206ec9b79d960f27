"""Every image, and every registry, that a request names, as one list.

References are normalised as dockerd does it: ``alpine`` is ``docker.io/library/alpine``. Sources:
distribution/reference v0.6.0 ``normalize.go`` (splitDockerDomain), ``regexp.go``; moby 28.5.2
``api/server/router/image/image_routes.go`` (the parameter tag overrides a tag in fromImage),
``registry/search.go`` (a search term may begin with a host and a slash), ``daemon/volumes.go`` (the
source of a mount of type image, since 28.0, is resolved like an image to run),
``api/server/router/build/build_routes.go`` (cachefrom).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any, Final, Literal, NamedTuple

from authz_plugin.dockerd.mounts import task_mount
from authz_plugin.dockerd.parts import Parts, first

Action = Literal["run", "mount", "pull", "push", "name", "look-up", "search", "plugin"]

_HUB: Final = "docker.io"
_DIGEST: Final = re.compile(r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9A-Fa-f]{32,}")
_ID: Final = re.compile(r"(?:sha256:)?[0-9a-f]{1,64}")
_REPOSITORY: Final = re.compile(
    r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*"
)
_TAG: Final = re.compile(r"\w[\w.-]{0,127}", re.ASCII)


class Image(NamedTuple):
    """An image or plugin that a request names, and what the request does with it.

    ``action`` is, among others, ``mount`` for an image that is mounted into a container, and
    ``look-up`` for an image whose registry dockerd may query.
    ``reference`` is as given; ``name`` is registry and repository, both normalised, or empty if
    the reference is invalid. ``tag`` and ``digest`` are empty if not given, except that an image to
    run or to mount without either has the tag ``latest``. ``names`` are compared with patterns: the
    name, and the name with its digest or, without a digest, with its tag, because dockerd ignores
    a tag beside a digest. ``may_be_id`` says that dockerd could take the reference for an image's
    id.
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


def of_container(parts: Parts) -> Iterator[Image]:
    """The image that a new container runs, and those that it mounts."""
    yield _image("run", "Image", parts.body["Image"])
    yield from _mounted(parts.body["HostConfig"]["Mounts"], "HostConfig.Mounts")


def of_service(parts: Parts) -> Iterator[Image]:
    """The image that a service runs and those that it mounts, or the plugin that it installs."""
    template = parts.body["TaskTemplate"]
    spec, plugin = template["ContainerSpec"], template["PluginSpec"]
    if spec is not None:
        field = "TaskTemplate.ContainerSpec"
        yield _image("run", f"{field}.Image", spec["Image"])
        yield from _mounted(map(task_mount, spec["Mounts"]), f"{field}.Mounts")
    if plugin is not None:
        yield _image("plugin", "TaskTemplate.PluginSpec.remote", plugin["remote"])


def of_pull(parts: Parts) -> Iterator[Image]:
    """The image in the query parameters ``fromImage`` and ``tag``."""
    name, tag = first(parts.query, "fromImage"), first(parts.query, "tag")
    yield _image("pull", "query.fromImage", name, tag)


def of_push(parts: Parts) -> Iterator[Image]:
    """The image in the path and the query parameter ``tag``."""
    yield _image("push", "path", parts.ref, first(parts.query, "tag"))


def of_repo(parts: Parts) -> Iterator[Image]:
    """The image that the query parameters ``repo`` and ``tag`` name."""
    repo = first(parts.query, "repo")
    if repo:
        yield _image("name", "query.repo", repo, first(parts.query, "tag"))


def of_build(parts: Parts) -> Iterator[Image]:
    """The names of the built image, and the images that it may take its cache from."""
    for i, name in enumerate(parts.query.get("t", ())):
        yield _image("name", f"query.t[{i}]", name)
    yield from _cache_sources(first(parts.query, "cachefrom"))


def of_search(parts: Parts) -> Iterator[Image]:
    """The term of a search, which may begin with a registry."""
    yield _image("search", "query.term", first(parts.query, "term"))


def of_distribution(parts: Parts) -> Iterator[Image]:
    """The image in the path, whose registry dockerd queries."""
    yield _image("look-up", "path", parts.ref)


def of_remote(parts: Parts) -> Iterator[Image]:
    """The plugin in the query parameter ``remote``."""
    yield _image("plugin", "query.remote", first(parts.query, "remote"))


def of_plugin_push(parts: Parts) -> Iterator[Image]:
    """The plugin in the path."""
    yield _image("plugin", "path", parts.ref)


def _mounted(mounts: Iterable[Any], field: str) -> Iterator[Image]:
    for i, mount in enumerate(mounts):
        if mount["Type"] == "image":
            yield _image("mount", f"{field}[{i}].Source", mount["Source"])


def _cache_sources(text: str) -> Iterator[Image]:
    """The images that a build may take its cache from, from a JSON list of strings. An entry of
    another type, and anything but a list, is one image without a registry; dockerd answers with an
    error."""
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
            yield _image("look-up", "query.cachefrom", "")._replace(registry="")


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
    registry, repository = split(name)
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


def split(name: str) -> tuple[str, str]:
    """Registry and repository of a name without digest, as dockerd completes them."""
    host, slash, rest = name.partition("/")
    is_host = slash and ("." in host or ":" in host or host == "localhost" or host.lower() != host)
    registry, repository = (host.lower(), rest) if is_host else (_HUB, name)
    if registry == f"index.{_HUB}":
        registry = _HUB
    if registry == _HUB and "/" not in repository:
        repository = f"library/{repository}"
    return registry, repository
