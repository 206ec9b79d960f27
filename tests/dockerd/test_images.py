"""Images and registries that requests name, normalised as dockerd does it."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

import pytest

from authz_plugin import dockerd
from authz_plugin.dockerd.images import Image

JSON = {"content-type": "application/json"}


def images(method: str, uri: str, body: Any = None) -> tuple[Image, ...]:
    content = b"" if body is None else json.dumps(body).encode()
    return dockerd.read(method, uri, JSON if body is not None else {}, content).images


DIGEST = "sha256:" + "0" * 64


@pytest.mark.parametrize(
    ("reference", "names", "tag", "digest"),
    [
        ("alpine", ("docker.io/library/alpine", ":latest"), "latest", ""),
        ("alpine:3", ("docker.io/library/alpine", ":3"), "3", ""),
        ("team/app:1", ("docker.io/team/app", ":1"), "1", ""),
        ("index.docker.io/team/app:1", ("docker.io/team/app", ":1"), "1", ""),
        ("docker.io/alpine:1", ("docker.io/library/alpine", ":1"), "1", ""),
        ("registry.example/app:1", ("registry.example/app", ":1"), "1", ""),
        ("Registry.Example/app:1", ("registry.example/app", ":1"), "1", ""),
        ("registry:5000/app", ("registry:5000/app", ":latest"), "latest", ""),
        ("localhost/app:1", ("localhost/app", ":1"), "1", ""),
        ("UPPER/app:1", ("upper/app", ":1"), "1", ""),
        (f"app@{DIGEST}", ("docker.io/library/app", f"@{DIGEST}"), "", DIGEST),
        (f"app:1@{DIGEST}", ("docker.io/library/app", f"@{DIGEST}"), "1", DIGEST),
    ],
)
def test_a_reference_is_normalised(
    reference: str, names: tuple[str, str], tag: str, digest: str
) -> None:
    (image,) = images("POST", "/containers/create", {"Image": reference})
    assert image.names == (names[0], names[0] + names[1])
    assert (image.action, image.tag, image.digest) == ("run", tag, digest)


@pytest.mark.parametrize(
    "reference", ["", "App", "a b", "app:..", "app@sha256:00", "registry.example/", "a//b"]
)
def test_what_is_no_reference_has_no_name(reference: str) -> None:
    (image,) = images("POST", "/containers/create", {"Image": reference})
    assert image.names == ()


@pytest.mark.parametrize(
    ("reference", "may_be"),
    [("0a1b2c", True), (DIGEST, True), ("0" * 64, True), ("alpine", False), ("abc:1", False)],
)
def test_a_reference_that_could_be_an_id_is_said_to_be(reference: str, may_be: bool) -> None:
    (image,) = images("POST", "/containers/create", {"Image": reference})
    assert image.may_be_id is may_be


@pytest.mark.parametrize(
    ("method", "uri", "action", "name"),
    [
        ("POST", "/images/create?fromImage=app&tag=2", "pull", "docker.io/library/app:2"),
        ("POST", "/images/create?fromImage=app:1&tag=2", "pull", "docker.io/library/app:2"),
        (
            "POST",
            f"/images/create?fromImage=app:1&tag={DIGEST}",
            "pull",
            f"docker.io/library/app@{DIGEST}",
        ),
        ("POST", "/images/create?fromImage=app", "pull", "docker.io/library/app"),
        ("POST", "/images/create?fromSrc=-&repo=app&tag=1", "name", "docker.io/library/app:1"),
        ("POST", "/images/r.example/app/push?tag=1", "push", "r.example/app:1"),
        ("POST", "/images/other/tag?repo=r.example/app&tag=1", "name", "r.example/app:1"),
        ("POST", "/build?t=app:1", "name", "docker.io/library/app:1"),
        ("GET", "/distribution/r.example/app:1/json", "look-up", "r.example/app:1"),
        ("GET", "/images/search?term=r.example/app", "search", "r.example/app"),
        ("GET", "/plugins/privileges?remote=r.example/p:1", "plugin", "r.example/p:1"),
        ("POST", "/plugins/r.example/p:1/push", "plugin", "r.example/p:1"),
    ],
)
def test_every_request_that_names_an_image_is_read(
    method: str, uri: str, action: str, name: str
) -> None:
    (image,) = images(method, uri)
    assert image.action == action
    assert image.names[-1] == name


def test_every_tag_of_a_build_is_a_name() -> None:
    named = images("POST", "/build?t=a:1&t=b:2")
    assert [image.names[-1] for image in named] == [
        "docker.io/library/a:1",
        "docker.io/library/b:2",
    ]


def test_a_commit_and_a_service_and_a_plugin_name_images() -> None:
    (commit,) = images("POST", "/commit?repo=app&tag=1", {})
    assert (commit.action, commit.names[-1]) == ("name", "docker.io/library/app:1")
    spec = {
        "ContainerSpec": {"Image": "app:1"},
        "PluginSpec": {"remote": "r.example/p:1"},
    }
    run, plugin = images("POST", "/services/create", {"TaskTemplate": spec})
    assert (run.action, plugin.action) == ("run", "plugin")
    (pulled,) = images("POST", "/plugins/pull?remote=r.example/p:1", [])
    assert pulled.registry == "r.example"


def test_a_commit_without_a_name_gives_none() -> None:
    assert images("POST", "/commit?container=web", {}) == ()


def test_a_mounted_image_is_one_like_the_image_that_runs() -> None:
    mounts = [{"Type": "bind", "Source": "/x"}, {"Type": "image", "Source": "alpine"}]
    body = {"Image": "app:1", "HostConfig": {"Mounts": mounts}}
    _, mounted = images("POST", "/containers/create", body)
    assert (mounted.action, mounted.field) == ("mount", "HostConfig.Mounts[1].Source")
    assert mounted.names == ("docker.io/library/alpine", "docker.io/library/alpine:latest")
    mounts = [{"Type": "Image", "Source": "0a1b2c"}]
    service = {"TaskTemplate": {"ContainerSpec": {"Image": "app:1", "Mounts": mounts}}}
    _, mounted = images("POST", "/services/create", service)
    assert (mounted.action, mounted.may_be_id) == ("mount", True)
    assert mounted.field == "TaskTemplate.ContainerSpec.Mounts[0].Source"


@pytest.mark.parametrize(
    ("text", "registries"),
    [
        ('["registry.example/app:1","alpine"]', ["registry.example", "docker.io"]),
        ("[]", []),
        ("null", []),
        ("", []),
        ("{", [""]),
        ('{"a": 1}', [""]),
        ("[1]", [""]),
        ("[" * 100_000, [""]),
    ],
)
def test_a_builds_sources_of_steps_are_looked_up(text: str, registries: list[str]) -> None:
    query = urlencode({"cachefrom": text})
    found = dockerd.read("POST", f"/build?{query}", {"content-type": "application/x-tar"}, b"")
    assert [(image.action, image.registry) for image in found.images] == [
        ("look-up", registry) for registry in registries
    ]
