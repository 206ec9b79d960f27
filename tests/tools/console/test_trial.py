"""A tried request is decided as the plugin would, in the sandbox alone."""

from __future__ import annotations

import json
import shlex
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest
from ruamel.yaml import YAML

from authz_plugin.errors import SetupError
from authz_plugin.tools.console.run_options import create_request, option_names
from authz_plugin.tools.console.trial import MAX_BODY, Asker, Trial, raw_request, tried
from authz_plugin.tools.explanation.reasons import Explainer
from authz_plugin.tools.sandbox import Sandbox, open_sandbox
from tests.conftest import with_policy
from tests.tools.learning.days import message

NOBODY = Asker()
POLICY: dict[str, Any] = {
    "profile": "production",
    "roles": {
        "ci": {"callers": [{"user": "runner"}], "privileged": {"allow": True}},
        "reader": {"callers": [{"user": "bob"}], "sections": {"containers": "read"}},
    },
}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with open_sandbox(with_policy(**POLICY)) as opened:
        yield opened


@pytest.fixture(scope="module")
def explainer(sandbox: Sandbox) -> Explainer:
    return Explainer(sandbox)


@pytest.fixture(autouse=True)
def nothing_else_is_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    """No trial may start a process or connect to anything."""

    def fail(*_: object, **__: object) -> NoReturn:
        raise AssertionError("a trial left the sandbox")

    monkeypatch.setattr(subprocess, "Popen", fail)
    monkeypatch.setattr(socket, "socket", fail)


def body(line: str) -> Any:
    return json.loads(create_request(line).body)


def run(sandbox: Sandbox, explainer: Explainer, line: str, asker: Asker = NOBODY) -> Trial:
    return tried(sandbox, explainer, create_request(line), asker)


def raw(sandbox: Sandbox, explainer: Explainer, path: str, given: str) -> Trial:
    return tried(sandbox, explainer, raw_request("POST", path, given), NOBODY)


def denied_by(trial: Trial) -> set[str]:
    return {rule.rule for rule in trial.reasoned.rules if not rule.warns}


def test_a_run_is_denied_with_its_rule_and_the_change_that_is_shown_allows_it(
    sandbox: Sandbox, explainer: Explainer
) -> None:
    line = "docker run --rm -v /srv/data:/d alpine:3 sh"
    found = run(sandbox, explainer, line)
    assert found.title == "POST /containers/create"
    assert denied_by(found) == {"mounts.source"}
    change = found.reasoned.change
    assert change is not None
    settings = YAML(typ="safe").load(change.settings)
    assert settings == {"mounts": {"allow": [{"path": "/srv/data"}]}}
    config = sandbox.configured({**POLICY, **settings})
    assert sandbox.judge(message(create_request(line)), config).allow


def test_what_docker_run_asks_next_is_told(sandbox: Sandbox, explainer: Explainer) -> None:
    found = run(sandbox, explainer, "alpine:3")
    assert found.reasoned.allow
    assert dict(found.following) == {
        "container.attach": True,
        "container.wait": True,
        "container.start": True,
    }
    reader = run(sandbox, explainer, "alpine:3", Asker(user="bob"))
    assert dict(reader.following)["container.start"] is False


@pytest.mark.parametrize("asker", [Asker(user="runner"), Asker(role="ci")])
def test_the_caller_counts_by_name_and_by_role(
    sandbox: Sandbox, explainer: Explainer, asker: Asker
) -> None:
    line = "--privileged alpine:3"
    assert denied_by(run(sandbox, explainer, line)) == {"privileged.container"}
    found = run(sandbox, explainer, line, asker)
    assert found.reasoned.allow
    assert found.reasoned.role == "ci"


def test_the_change_for_a_role_is_one_of_the_role_alone(
    sandbox: Sandbox, explainer: Explainer
) -> None:
    found = run(sandbox, explainer, "-v /srv/data:/d alpine:3", Asker(role="reader"))
    assert found.reasoned.change is not None
    assert set(YAML(typ="safe").load(found.reasoned.change.settings)) == {"roles"}


@pytest.mark.parametrize(
    ("asker", "told"),
    [
        (Asker(role="nobody"), "no role"),
        (Asker(user="bob", role="ci"), "a name or a role"),
        (Asker(user="x" * 300), "at most 256"),
    ],
)
def test_a_caller_that_cannot_be_is_told(
    sandbox: Sandbox, explainer: Explainer, asker: Asker, told: str
) -> None:
    with pytest.raises(SetupError, match=told):
        run(sandbox, explainer, "alpine:3", asker)


def test_a_role_that_others_come_before_is_told_and_not_decided_otherwise() -> None:
    roles = {"all": {"callers": [{"user": "*"}]}, "ci": {"callers": [{"user": "runner"}]}}
    with (
        open_sandbox(with_policy(profile="production", roles=roles)) as opened,
        pytest.raises(SetupError, match="a caller without a name has role all"),
    ):
        run(opened, Explainer(opened), "alpine:3", Asker(role="ci"))


def test_a_raw_request_is_decided_with_its_body(sandbox: Sandbox, explainer: Explainer) -> None:
    given = json.dumps({"Image": "alpine:3", "HostConfig": {"Privileged": True}})
    found = raw(sandbox, explainer, "/v1.44/containers/create", given)
    assert denied_by(found) == {"privileged.container"}
    listed = tried(sandbox, explainer, raw_request("GET", "/containers/json?all=1", ""), NOBODY)
    assert listed.reasoned.allow
    assert listed.following == []


@pytest.mark.parametrize("given", ["{", "[" * 5000, '{"Image": 1}', "\ud800", "\0"])
def test_a_body_that_is_not_understood_is_denied_with_a_reason(
    sandbox: Sandbox, explainer: Explainer, given: str
) -> None:
    found = raw(sandbox, explainer, "/containers/create", given)
    assert not found.reasoned.allow
    assert found.reasoned.rules[0].rule.startswith("request.")
    assert found.reasoned.change is not None
    assert found.reasoned.change.state == "none"


@pytest.mark.parametrize(
    ("method", "path", "given", "told"),
    [
        ("BREW", "/containers/json", "", "method"),
        ("GET", "containers/json", "", "begin with /"),
        ("GET", "/a b", "", "begin with /"),
        ("GET", "/a\r\nHost: b", "", "begin with /"),
        ("GET", "/" + "a" * 8192, "", "8192"),
        ("POST", "/containers/create", "x" * (MAX_BODY + 1), "256 KiB"),
    ],
)
def test_what_is_no_request_is_told(method: str, path: str, given: str, told: str) -> None:
    with pytest.raises(SetupError, match=told):
        raw_request(method, path, given)


def test_texts_of_the_request_are_one_line_and_secrets_are_masked(
    sandbox: Sandbox, explainer: Explainer
) -> None:
    found = run(sandbox, explainer, "-v '/srv/<b>\u202e:/d' -e PASSWORD=hunter2 alpine:3")
    texts = [text for _, text in found.reasoned.facts or ()]
    assert any("<b>" in text for text in texts)
    assert all(text.isprintable() for text in texts)
    assert "hunter2" not in repr(found)


@pytest.mark.parametrize(
    ("line", "place", "value"),
    [
        ("--privileged a", "HostConfig.Privileged", True),
        ("--privileged=true a", "HostConfig.Privileged", True),
        ("-v /a:/b:ro -v c:/d -v /e a", "HostConfig.Binds", ["/a:/b:ro", "c:/d"]),
        ("-v /e a", "Volumes", {"/e": {}}),
        ("--tmpfs /run:size=1m a", "HostConfig.Tmpfs", {"/run": "size=1m"}),
        ("-e A=b --env C= a", "Env", ["A=b", "C="]),
        ("-l x -l y=z a", "Labels", {"x": "", "y": "z"}),
        ("-itu 0 a", "User", "0"),
        ("-it a", "OpenStdin", True),
        ("-d a", "AttachStdout", False),
        ("--cap-add sys_admin --cap-add=ALL a", "HostConfig.CapAdd", ["CAP_SYS_ADMIN", "ALL"]),
        ("--device /dev/a a", "HostConfig.Devices", [
            {"PathOnHost": "/dev/a", "PathInContainer": "/dev/a", "CgroupPermissions": "rwm"}
        ]),
        ("--device /dev/a:r a", "HostConfig.Devices", [
            {"PathOnHost": "/dev/a", "PathInContainer": "/dev/a", "CgroupPermissions": "r"}
        ]),
        ("--device v.com/gpu=0 a", "HostConfig.DeviceRequests", [
            {"Driver": "cdi", "DeviceIDs": ["v.com/gpu=0"]}
        ]),
        ("-p 127.0.0.1:8000-8001:90-91/udp a", "HostConfig.PortBindings", {
            "90/udp": [{"HostIp": "127.0.0.1", "HostPort": "8000"}],
            "91/udp": [{"HostIp": "127.0.0.1", "HostPort": "8001"}],
        }),
        ("-p [::1]:1:2 -p 3:2 a", "HostConfig.PortBindings", {
            "2/tcp": [{"HostIp": "::1", "HostPort": "1"}, {"HostIp": "", "HostPort": "3"}],
        }),
        ("-p 80 a", "HostConfig.PortBindings", {"80/tcp": [{"HostIp": "", "HostPort": ""}]}),
        ("-p 8000-8009:80 a", "HostConfig.PortBindings", {
            "80/tcp": [{"HostIp": "", "HostPort": "8000-8009"}]
        }),
        ("a", "HostConfig.NetworkMode", "default"),
        ("--net host a", "HostConfig.NetworkMode", "host"),
        ("--network x --network y a", "NetworkingConfig.EndpointsConfig", {"x": {}, "y": {}}),
        ("--memory 64m --cpus 1.5 a", "HostConfig.Memory", 64 << 20),
        ("--cpus 1.5 a", "HostConfig.NanoCpus", 1_500_000_000),
        ("--ulimit nofile=10:20 a", "HostConfig.Ulimits", [
            {"Name": "nofile", "Soft": 10, "Hard": 20}
        ]),
        ("--security-opt systempaths=unconfined a", "HostConfig.MaskedPaths", []),
        ("--security-opt seccomp=unconfined a", "HostConfig.SecurityOpt", ["seccomp=unconfined"]),
        ("--add-host b=1.2.3.4 a", "HostConfig.ExtraHosts", ["b:1.2.3.4"]),
        ("--restart on-failure:3 a", "HostConfig.RestartPolicy", {
            "Name": "on-failure", "MaximumRetryCount": 3
        }),
        ("--mount type=bind,src=/a,dst=/b,readonly a", "HostConfig.Mounts", [
            {"Type": "bind", "Source": "/a", "Target": "/b", "ReadOnly": True}
        ]),
        ("--mount source=v,target=/b,volume-opt=o=bind a", "HostConfig.Mounts", [
            {
                "Type": "volume",
                "Source": "v",
                "Target": "/b",
                "VolumeOptions": {"DriverConfig": {"Options": {"o": "bind"}}},
            }
        ]),
        ("--entrypoint /x --gpus all a b --privileged", "Cmd", ["b", "--privileged"]),
        ("docker run \\\n --init \\\n a", "HostConfig.Init", True),
    ],
)  # fmt: skip
def test_options_become_what_the_docker_cli_writes(line: str, place: str, value: Any) -> None:
    found = body(line)
    for name in place.split("."):
        found = found[name]
    assert found == value


@pytest.mark.parametrize(
    "line",
    [
        "--entrypoint '' alpine",
        "-v '' alpine",
        "--mount '' alpine",
        "--network '' alpine",
        "--device '' alpine",
        "--cap-add '' alpine",
    ],
)
def test_an_empty_value_is_a_value(line: str) -> None:
    assert body(line)["Image"] == "alpine"


def test_name_and_platform_are_in_the_query() -> None:
    request = create_request("--name a&b --platform linux/amd64 alpine")
    assert request.target == "/containers/create?name=a%26b&platform=linux%2Famd64"


def test_a_switch_that_is_off_is_left_out() -> None:
    assert "Privileged" not in body("--privileged=false alpine")["HostConfig"]


def test_words_behind_the_image_are_the_command() -> None:
    assert body("alpine sh -c --privileged=true")["Cmd"] == ["sh", "-c", "--privileged=true"]
    assert body("-e A=b alpine --init=false")["Cmd"] == ["--init=false"]


@pytest.mark.parametrize(
    "line",
    [
        "--env-file {file} alpine",
        "--label-file {file} alpine",
        "--cidfile {file} alpine",
        "--config {file} alpine",
        "-H unix://{file} alpine",
        "--context x alpine",
        "--security-opt seccomp={file} alpine",
        "-e HOME alpine",
        "-v ./a:/b alpine",
        "--mount type=bind,source=a,target=/b alpine",
    ],
)
def test_no_option_reads_or_writes_a_file_or_the_environment(tmp_path: Path, line: str) -> None:
    file = tmp_path / "file"
    file.write_text("SECRET=hunter2")
    with pytest.raises(SetupError) as raised:
        create_request(line.format(file=file))
    assert "hunter2" not in str(raised.value)
    assert file.read_text() == "SECRET=hunter2"
    assert list(tmp_path.iterdir()) == [file]


def test_nothing_in_a_command_line_is_expanded_or_run(tmp_path: Path) -> None:
    words = ["$(id)", "`id`", "*", "$HOME", "~", f">{tmp_path}/x", ";", "|", "@file"]
    assert body(f"alpine {shlex.join(words)}")["Cmd"] == words
    assert body(f"alpine {' '.join(words)}")["Cmd"] == words
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("", "no image"),
        ("--rm", "no image"),
        ("alpine 'x", "cannot be read"),
        ("--memory", "--memory"),
        ("--memory x alpine", "no size"),
        ("--cpus x alpine", "--cpus"),
        ("-p x alpine", "no port"),
        ("-p 1-9999:1-9999 alpine", "at most 100"),
        ("-p 1-2:1-3 alpine", "as many ports"),
        ("--ulimit nofile alpine", "whole number"),
        ("--add-host x alpine", "NAME:ADDRESS"),
        ("--gpus device=0 alpine", "all or a number"),
        (f"--gpus {'9' * 5000} alpine", "whole number"),
        ("--cpus nan alpine", "number of processors"),
        ("--cpus 1e308 alpine", "number of processors"),
        ("--mount 'type=bind\rx' alpine", "--mount"),
        ("--mount type=tmpfs,tmpfs-mode=8 alpine", "no mode"),
        (f"--mount type=tmpfs,tmpfs-mode={'7' * 9000} alpine", "no mode"),
        ("--network name=a,ip=1.2.3.4 alpine", "its name alone"),
        ("--mount type=bind,x alpine", "not read here"),
        ("--nonsense alpine", "No such option"),
        ("x" * 17_000, "characters"),
        ("a " * 600, "words"),
    ],
)
def test_a_command_line_that_is_wrong_is_told(line: str, told: str) -> None:
    with pytest.raises(SetupError, match=told):
        create_request(line)


def test_the_options_are_named() -> None:
    names = option_names()
    assert {"--volume", "--privileged", "--cap-add"} <= set(names)
    assert not {"--env-file", "--label-file", "--cidfile"} & set(names)
