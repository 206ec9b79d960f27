"""Labels that requests set, wherever they stand."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz_plugin import dockerd
from authz_plugin.dockerd.labels import labels_of_change

JSON = {"content-type": "application/json"}


def labels(method: str, uri: str, body: Any = None) -> list[tuple[str | None, str]]:
    content = b"" if body is None else json.dumps(body).encode()
    request = dockerd.read(method, uri, JSON if body is not None else {}, content)
    return [(label.name, label.field) for label in request.labels]


@pytest.mark.parametrize(
    ("method", "uri"),
    [
        ("POST", "/containers/create"),
        ("POST", "/commit?container=x"),
        ("POST", "/networks/create"),
        ("POST", "/volumes/create"),
        ("POST", "/secrets/create"),
        ("POST", "/secrets/x/update?version=1"),
        ("POST", "/configs/create"),
        ("POST", "/configs/x/update?version=1"),
        ("POST", "/services/create"),
        ("POST", "/services/x/update?version=1"),
        ("POST", "/nodes/x/update?version=1"),
        ("POST", "/swarm/update?version=1"),
    ],
)
def test_labels_of_a_body_are_listed(method: str, uri: str) -> None:
    assert labels(method, uri, {"Labels": {"A": "b"}}) == [("A", "Labels")]


def test_labels_of_tasks_and_of_mounted_volumes_are_listed() -> None:
    mounts = [{"Type": "volume", "VolumeOptions": {"Labels": {"a": ""}}}, {"Type": "bind"}]
    field = "[0].VolumeOptions.Labels"
    container = {"Image": "x", "HostConfig": {"Mounts": mounts}}
    assert labels("POST", "/containers/create", container) == [("a", f"HostConfig.Mounts{field}")]
    spec = {"ContainerSpec": {"Labels": {"b": ""}, "Mounts": mounts}}
    assert labels("POST", "/services/create", {"TaskTemplate": spec}) == [
        ("b", "TaskTemplate.ContainerSpec.Labels"),
        ("a", f"TaskTemplate.ContainerSpec.Mounts{field}"),
    ]
    swarm = {"Spec": {"Labels": {"a": ""}}}
    assert labels("POST", "/swarm/init", swarm) == [("a", "Spec.Labels")]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ('{"a": "b"}', ["a"]),
        ("null", []),
        ("", []),
        ("[]", [None]),
        ("{", [None]),
        ("[" * 100_000, [None]),
    ],
)
def test_labels_of_a_build_are_listed(text: str, names: list[str | None]) -> None:
    uri = f"/build?{urlencode({'labels': text})}"
    found = dockerd.read("POST", uri, {"content-type": "application/x-tar"}, b"").labels
    assert [label.name for label in found] == names


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ("LABEL a=b", ["a"]),
        ("  label\ta.b/c=d  e=\"f g\" h='i j' k=", ["a.b/c", "e", "h", "k"]),
        ("LaBeL a b c=d", ["a"]),
        ("LABEL a", ["a"]),
        ("LABEL a=$B", ["a"]),
        ("ONBUILD LABEL a=b", ["a"]),
        ("onbuild  label  a=b", ["a"]),
        ("ONBUILD ENV A=b", []),
        ("ENV LABEL=a", []),
        ('CMD ["a"]', []),
        ("USER", []),
        ("# LABEL a=b", []),
        ("", []),
        ("LABEL", [None]),
        ('LABEL "a"=b', [None]),
        ("LABEL a\\ b=c", [None]),
        ("LABEL $A=b", [None]),
        ("LABEL a=b\\c", [None]),
        ("LABEL a=b c", [None]),
        ("LABEL -- a=b", [None]),
        ("ENV A=b\\", [None]),
        ("ENV A=b`  ", [None]),
        ("# escape=`\nLABEL a=b", [None]),
        ("ENV A=b\nLABEL c=d", [None]),
        ("LABEL\u00a0a=b", [None]),
        ("\ufeffLABEL a=b", [None]),
        ("RUN true", [None]),
        ("ONBUILD ONBUILD LABEL a=b", []),
    ],
)
def test_labels_of_a_change_are_certain_or_unreadable(change: str, names: list[str | None]) -> None:
    assert labels_of_change(change) == names
    found = labels("POST", f"/commit?container=x&{urlencode({'changes': change})}", {})
    assert found == [(name, "query.changes[0]") for name in names]


@given(st.text(alphabet="LABELlabel =\"'\\`$\n\t#a.-", max_size=40))
def test_no_change_with_the_word_label_at_its_beginning_goes_unnoticed(text: str) -> None:
    if text.strip().lower().startswith("label"):
        assert labels_of_change(text) != []


def test_a_label_is_folded_as_readers_do() -> None:
    body = json.dumps({"Labels": {"Traefi\u212a.ENABLE": "1"}}).encode()
    (label,) = dockerd.read("POST", "/networks/create", JSON, body).labels
    assert label.folded == "traefik.enable"
