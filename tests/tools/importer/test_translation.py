"""What a proxy never looked at is judged from now on: bodies, by a real OPA."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from authz_plugin.engine.binary import Opa
from authz_plugin.errors import SettingsError
from authz_plugin.tools.importer import SELECTABLE
from authz_plugin.tools.importer.client_requests import Request, create
from authz_plugin.tools.importer.translation import NAMED_VOLUMES
from tests.test_policy_library import document
from tests.tools.importer.decisions import Decider, open_decider
from tests.tools.importer.settings import DEVELOPMENT, MULTI_TENANT, ProxySettings, proxy_settings

MAKES = proxy_settings("tecnativa", CONTAINERS="1", POST="1")
DEVELOPS = proxy_settings("tecnativa", **DEVELOPMENT)
PORT = {"PortBindings": {"80/tcp": [{"HostPort": "80"}]}}

BODIES: list[tuple[ProxySettings, Request, str]] = [
    (MAKES, create(), ""),
    (MAKES, create({"Privileged": True}), "privileged.container"),
    (MAKES, create({"PidMode": "host"}), "namespaces.host"),
    (MAKES, create({"CapAdd": ["SYS_ADMIN"]}), "capabilities.add"),
    (MAKES, create({"Devices": [{"PathOnHost": "/dev/sda"}]}), "devices.mapping"),
    (MAKES, create({"SecurityOpt": ["seccomp=unconfined"]}), "security-options.value"),
    (MAKES, create({"Binds": ["/etc:/etc"]}), "mounts.source"),
    (MAKES, create({"Binds": ["/var/run/docker.sock:/s"]}), "mounts.protected"),
    (MAKES, create({"Binds": ["data:/data"]}), "volumes.named"),
    (MAKES, create(PORT), "ports.range"),
    (proxy_settings("tecnativa", NAMED_VOLUMES, CONTAINERS="1", POST="1"),
     create({"Binds": ["data:/data"]}), ""),
    (proxy_settings("tecnativa", CONTAINERS="1", VOLUMES="1", POST="1"),
     create({"Binds": ["data:/data"]}), ""),
    (proxy_settings("tecnativa", CONTAINERS="1", POST="1", ALLOW_PRIVILEGED="1"),
     create({"Privileged": True}), ""),
    (DEVELOPS, create({"Binds": ["/workspace/data:/data"]}), ""),
    (DEVELOPS, create({"Binds": ["/workspace2:/data"]}), "mounts.source"),
    (DEVELOPS, create({"Privileged": True}), "privileged.container"),
    (DEVELOPS, create(PORT), ""),
    (proxy_settings("tecnativa", **MULTI_TENANT),
     create({"Binds": ["data:/data"]}), "volumes.named"),
    (proxy_settings("tecnativa", SERVICES="1", POST="1"),
     ("POST", "/services/create", {"Name": "x", "TaskTemplate": {"ContainerSpec": {"Mounts": [
         {"Type": "bind", "Source": "/etc", "Target": "/e"}]}}}), "mounts.source"),
    (proxy_settings("tecnativa", VOLUMES="1", POST="1"),
     ("POST", "/volumes/create", {"Name": "x", "DriverOpts": {"type": "none", "o": "bind",
      "device": "/etc"}}), "mounts.source"),
]  # fmt: skip


@pytest.fixture(scope="module")
def decider(opa: Opa) -> Iterator[Decider]:
    with open_decider(opa) as opened:
        yield opened


@pytest.mark.parametrize(("settings", "request_", "rule"), BODIES)
def test_a_body_is_judged(
    decider: Decider, settings: ProxySettings, request_: Request, rule: str
) -> None:
    configuration = settings.imported().configuration
    ((decided,),) = decider.decide([configuration], [document("", request_)])
    assert decided.allow == (rule == "")
    assert rule in decided.rules | {""}


@pytest.mark.parametrize(
    ("settings", "profile"),
    [
        (proxy_settings("tecnativa", CONTAINERS="1"), "closed"),
        (proxy_settings("tecnativa", IMAGES="1", POST="1"), "closed"),
        (MAKES, "production"),
        (proxy_settings("tecnativa", SERVICES="1", POST="1"), "production"),
        (proxy_settings("tecnativa", CONTAINERS="1", POST="1", EXEC="1"), "devcontainer"),
        (proxy_settings("tecnativa", CONTAINERS="1", POST="1", BUILD="1"), "devcontainer"),
        (
            proxy_settings("tecnativa", CONTAINERS="1", POST="1", WORKSPACE_ROOT="/w"),
            "devcontainer",
        ),
        (proxy_settings("tecnativa", CONTAINERS="1", POST="1", ALLOW_PRIVILEGED="0"), "production"),
    ],
    ids=str,
)
def test_the_profile_is_the_one_whose_rules_for_bodies_fit(
    settings: ProxySettings, profile: str
) -> None:
    assert settings.imported().configuration["profile"] == profile


@pytest.mark.parametrize(
    ("variables", "roots"),
    [
        ({}, []),
        ({"WORKSPACE_ROOT": "/w"}, ["/w"]),
        ({"WORKSPACE_ROOT": "/w/../v/"}, ["/v"]),
        ({"DOCKER_MOUNT_VALIDATION": "on"}, ["/workspace"]),
        ({"DOCKER_MOUNT_VALIDATION": "on", "WORKSPACE_ROOT": "/w"}, ["/w"]),
        ({"DOCKER_MOUNT_VALIDATION": "off"}, []),
        ({"DOCKER_MOUNT_VALIDATION": "off", "WORKSPACE_ROOT": "/w"}, ["/w"]),
        ({"ALLOWED_MOUNT_PATHS": "/a:/b,/c /d"}, ["/a", "/b", "/c", "/d"]),
        ({"ALLOWED_MOUNT_PATHS": '("/a" "/b")', "WORKSPACE_ROOT": "/a"}, ["/a", "/b"]),
    ],
)
def test_the_check_of_mounts_becomes_the_paths_that_may_be_mounted(
    variables: dict[str, str], roots: list[str]
) -> None:
    imported = proxy_settings("tecnativa", CONTAINERS="1", POST="1", **variables).imported()
    assert imported.configuration["mounts"] == {"allow": [{"path": path} for path in roots]}
    assert variables.keys() <= {note.subject.partition("=")[0] for note in imported.notes}


@pytest.mark.parametrize("name", ["WORKSPACE_ROOT", "ALLOWED_MOUNT_PATHS"])
def test_a_path_that_is_not_absolute_is_refused(name: str) -> None:
    with pytest.raises(SettingsError, match="workspace is no absolute path") as raised:
        proxy_settings("tecnativa", **{name: "workspace"}).imported()
    assert raised.value.where == "proxy.env"


def test_what_the_proxy_does_not_let_through_is_not_opened_by_asking() -> None:
    imported = proxy_settings(
        "linuxserver", "logs", "archive", CONTAINERS="1", ALLOW_LOGS="1"
    ).imported()
    assert "container.archive.get" not in imported.operations
    warned = {note.subject for note in imported.notes if note.kind == "warning"}
    assert "--with archive" in warned
    assert "--with logs" not in warned


@pytest.mark.parametrize("word", [word for word in SELECTABLE if word != NAMED_VOLUMES])
def test_what_is_asked_for_by_name_is_open_and_nothing_else_is(word: str) -> None:
    given = {"CONTAINERS": "1", "IMAGES": "1", "SERVICES": "1", "SWARM": "1"}
    given |= {"TASKS": "1", "POST": "1" if word == "load" else "0"}
    plain = proxy_settings("tecnativa", **given).imported()
    selected = proxy_settings("tecnativa", word, **given).imported()
    (closed,) = (note.text for note in plain.notes if note.subject == word)
    opened = selected.operations - plain.operations
    assert opened
    assert plain.operations <= selected.operations
    assert closed.startswith(", ".join(sorted(opened)) + " closed: ")
    assert closed.endswith(f"; --with {word} opens it")
    assert word not in {note.subject for note in selected.notes}
