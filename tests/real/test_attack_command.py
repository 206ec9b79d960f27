"""``opa-authz attack`` on daemons guarded by nothing, by this plugin, by others, by a proxy."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest

import authz_plugin
from authz_plugin.tools.validation.probes import NOTHING
from tests.harness.dockerd import Dockerd, scratch_dockerd
from tests.harness.engines import NEWEST, prepare
from tests.harness.front import without_http2
from tests.harness.guarding import CANARY, asking
from tests.harness.haproxy import one_proxy
from tests.harness.in_process import Ended
from tests.harness.inventory import take_inventory
from tests.harness.plugin import running_plugin, wait_for
from tests.harness.unixhttp import plugin_socket
from tests.real.conftest import TESTED, Guard, guard_with, prepare_content
from tests.real.test_import import carry_over
from tests.real.test_operator_tools import opa_authz
from tests.tools.importer.settings import DEVELOPMENT

UNROUTED: Final = {
    "path.case", "path.dots", "path.double-slash", "path.encoded-dots", "path.encoded-twice",
    "path.method-case", "path.slash-behind", "images.buildkit-native",
}  # fmt: skip
"""What no engine here has: dockerd's router refuses it, and asks nobody."""

REFUSED: Final = {
    "20.10": UNROUTED | {
        "json.mark", "mounts.tmpfs-options", "mounts.type-bind-made", "running.checkpoint",
        "running.checkpoint-start", "hardening.annotation", "hardening.option-cgroups",
        "hardening.option-system-paths",
    },
    NEWEST: UNROUTED - {"images.buildkit-native"} | {
        "json.text-for-list", "networks.mac",
        "hidden.text", "hidden.text-plugin", "hidden.types-last", "hidden.untyped", "json.copy",
        "json.document-behind", "json.mark", "json.old-shape", "json.old-shape-null",
        "json.start", "json.start-chunked", "running.checkpoint", "running.checkpoint-start",
        "hardening.option-system-paths",
    },
}  # fmt: skip
"""What an engine does not fall for, guarded by nothing."""

UNASKED: Final = {"20.10": UNROUTED, NEWEST: UNROUTED | {"json.copy"}}
"""What it refuses before it asks its plugins."""

OPEN: Final = {"read.attach", "read.inspect", "read.logs"}

COME_TO_NOTHING: Final = ("swarm.", "plugins.", "running.", "images.")
"""Families with rows that nothing can prove without harm: their success is dockerd's answer."""

UNPROVED: Final = {
    "hidden.escape", "hidden.exec-chunked", "hidden.form-pull", "hidden.fragment",
    "hidden.fragment-plugin", "hidden.text", "hidden.text-plugin", "hidden.types-last",
    "hidden.untyped", "json.start", "json.start-chunked", "mounts.inline-driver",
    "networks.connect", "networks.macvlan", "path.alias", "path.bytes", "path.fragment",
    "read.config", "read.swarm", "read.top", "read.unlock-key", "scenario.exec",
}  # fmt: skip
"""Such rows of the other families."""


def outcomes(done: Ended) -> dict[str, dict[str, Any]]:
    return {attack["id"]: attack for attack in json.loads(done.stdout)["attacks"]}


def of(found: dict[str, dict[str, Any]], outcome: str) -> set[str]:
    return {id_ for id_, attack in found.items() if attack["outcome"] == outcome}


def attacked(dockerd: Dockerd, *arguments: str) -> Ended:
    return opa_authz("attack", f"--host=unix://{dockerd.socket}", *arguments)


Alone = Callable[[str], Dockerd]


@pytest.fixture(scope="module")
def alone() -> Iterator[Alone]:
    """Daemons that ask nobody, started when first asked for."""
    running: dict[str, Dockerd] = {}
    with ExitStack() as cleanup:

        def start(engine: str) -> Dockerd:
            if engine not in running:
                running[engine] = cleanup.enter_context(scratch_dockerd(prepare(engine)))
            return running[engine]

        yield start


@pytest.fixture
def unguarded(alone: Alone) -> Dockerd:
    return alone(NEWEST)


@pytest.mark.parametrize("engine", TESTED)
def test_with_no_guard_every_attack_succeeds_that_the_engine_falls_for(
    alone: Alone, engine: str
) -> None:
    unguarded = alone(engine)
    before = take_inventory(unguarded)
    done = attacked(unguarded, "--json")
    assert done.returncode == 3, done.stderr
    found = outcomes(done)
    assert of(found, "refused") == REFUSED[engine]
    assert of(found, "open") == OPEN
    assert of(found, "succeeded") == found.keys() - REFUSED[engine] - OPEN
    unproved = {id_ for id_ in of(found, "succeeded") if not found[id_]["proved"]}
    assert {id_ for id_ in unproved if not id_.startswith(COME_TO_NOTHING)} <= UNPROVED
    assert "is not running" in found["scenario.exec"]["detail"]
    assert json.loads(done.stdout)["left"] == []
    assert take_inventory(unguarded) == before


@pytest.mark.parametrize("engine", TESTED)
def test_guarded_by_production_nothing_succeeds_and_nothing_is_left(
    guard: Guard, engine: str
) -> None:
    guarded = guard(engine, "production")
    before = take_inventory(guarded.dockerd)
    done = attacked(guarded.dockerd, "--json")
    assert done.returncode == 0, done.stdout
    assert done.stderr == ""
    report, found = json.loads(done.stdout), outcomes(done)
    assert report["passed"]
    assert report["scenarios"]["blocked"] == 10
    assert "Bypasses by bodies that are hidden" in report["prevented"]
    assert of(found, "refused") == UNASKED[engine]
    assert of(found, "open") == OPEN
    assert {id_.rpartition("-")[0] for id_ in of(found, "not tried")} <= {
        "mounts.folder", "mounts.folder-link",
    }  # fmt: skip
    for id_ in found.keys() - UNASKED[engine] - OPEN - of(found, "not tried"):
        assert found[id_]["outcome"] == "blocked", id_
        assert found[id_]["by"] == f"plugin {guarded.name}"
        assert found[id_]["rules"]
    assert take_inventory(guarded.dockerd) == before


def test_guarded_by_devcontainer_no_way_leads_out_of_the_workspace(guard: Guard) -> None:
    guarded = guard(NEWEST, "devcontainer")
    folder, before = f"--folder={guarded.workspace}", sorted(guarded.workspace.iterdir())
    done = attacked(guarded.dockerd, "--only=mounts", folder, "--json")
    assert done.returncode == 0, done.stdout
    found = outcomes(done)
    assert of(found, "blocked") == found.keys()
    assert "mounts.source" in found["mounts.folder-link"]["rules"]
    assert sorted(guarded.workspace.iterdir()) == before
    allowed = attacked(guarded.dockerd, "--only=scenario", "--except=scenario.volume", "--json")
    assert of(outcomes(allowed), "succeeded") == {
        "scenario.build", "scenario.exec", "scenario.network",
    }  # fmt: skip


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_nothing_is_left_when_it_is_interrupted(unguarded: Dockerd, number: signal.Signals) -> None:
    before = take_inventory(unguarded)
    program = str(Path(sys.executable).with_name("opa-authz"))
    with subprocess.Popen(
        [program, "attack", f"--host=unix://{unguarded.socket}", "--only=json", "--only=hardening"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - as a shell
    ) as process:
        containers = unguarded.folder / "data/containers"
        wait_for(lambda: len(list(containers.glob("*"))) > 1, "a container", 30)
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert out == ""
    assert "interrupted: removing what was made" in err
    assert "could not be removed" not in err
    assert take_inventory(unguarded) == before


def without_rule(folder: Path, id_: str) -> dict[str, str]:
    """An environment in which the plugin runs with policies that lack a rule."""
    root = Path(authz_plugin.__file__).parents[1]
    for name in ("authz_plugin", "policies"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(root / name, folder / name, ignore=ignored)
    (source,) = (
        file
        for file in (folder / "policies/docker/authz/rules").rglob("*.rego")
        if f"#   id: {id_}\n" in file.read_text()
    )
    parts = re.split(r"(?=^# METADATA$)", source.read_text(), flags=re.MULTILINE)
    source.write_text("".join(part for part in parts if f"#   id: {id_}\n" not in part))
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return {"PYTHONPATH": str(folder), "PATH": path}


def test_what_an_import_opens_is_open_and_what_a_missing_rule_opens_got_through(
    tmp_path: Path,
) -> None:
    name, workspace = f"opa-authz-{os.getpid()}-opened", tmp_path / "workspace"
    workspace.mkdir()
    carry_over(tmp_path, workspace, DEVELOPMENT)
    socket, config = Path(f"/run/docker/plugins/{name}.sock"), tmp_path / "config.yaml"
    with scratch_dockerd(prepare(NEWEST), environment=without_http2()) as dockerd:
        root = dockerd.data_root
        guarded = partial(
            running_plugin, tmp_path, f"--config={config}", socket_=socket, data_root=root
        )

        metrics = {"OPA_AUTHZ_METRICS_LISTEN": f"unix:{tmp_path}/metrics.sock"}
        installed = {
            "OPA_AUTHZ_CONFIG": str(config), "OPA_AUTHZ_DATA_ROOT": str(root), **metrics,
        }  # fmt: skip

        def asked(command: str, *arguments: str) -> Ended:
            return opa_authz(
                command,
                f"--host=unix://{dockerd.socket}",
                f"--config={config}",
                *arguments,
                environment={"OPA_AUTHZ_DATA_ROOT": str(root)},
            )

        def attacked_as_installed(**variables: str) -> Ended:
            options = (f"--host=unix://{dockerd.socket}", "--only=scenario", "--json")
            return opa_authz("attack", *options, environment=installed | variables)

        with guarded(environment=metrics):
            prepare_content(dockerd)
            guard_with(dockerd, name)
            before = take_inventory(dockerd)
            validated = asked("validate")
            done, said = asked("attack", "--json"), asked("attack", "--only=scenario")
            known = attacked_as_installed()
            strict = attacked_as_installed(OPA_AUTHZ_METRICS_LISTEN="off")
        rule = "privileged.container"
        with guarded(environment=metrics | without_rule(tmp_path / "removed", rule)):
            removed = asked("attack", "--json")
            other = attacked_as_installed()
            assert take_inventory(dockerd) == before
        dockerd.reload({"authorization-plugins": []})
    assert validated.returncode == 0, validated.stdout
    assert done.returncode == 0, said.stdout
    found = outcomes(done)
    assert of(found, "succeeded") == set()
    assert found["scenario.volume"]["opened_by"] == ["sections.volumes"]
    assert found["scenario.network"]["opened_by"] == ["sections.networks"]
    assert said.returncode == 0
    assert "  scenario.volume\n      open by sections.volumes\n" in said.stdout
    assert known.returncode == 0
    assert {"scenario.volume", "scenario.network"} <= of(outcomes(known), "open")
    assert strict.returncode == 3
    assert "serve no metrics" in json.loads(strict.stdout)["uncompared"]
    assert other.returncode == 3
    assert "the plugin decides with policy" in json.loads(other.stdout)["uncompared"]
    assert removed.returncode == 3, removed.stdout
    through = outcomes(removed)
    assert "scenario.privileged" in of(through, "succeeded")
    assert {rule in through[id_]["denied_by"] for id_ in of(through, "succeeded")} == {True}
    assert of(found, "open") == of(through, "open")


Judge = Callable[[str, str], bool]
"""Whether a plugin allows a method of a target; asked about requests, or about answers."""


@contextmanager
def guarded_by(dockerd: Dockerd, *, requests: Judge, answers: Judge) -> Iterator[None]:
    """Have dockerd ask another plugin than ours."""
    name = f"opa-authz-other-{os.getpid()}-{secrets.token_hex(4)}"

    def answer(path: str, message: bytes) -> bytes:
        if path == "/Plugin.Activate":
            return b'{"Implements": ["authz"]}'
        asked = json.loads(message)
        judge = requests if path == "/AuthZPlugin.AuthZReq" else answers
        method, uri = asked["RequestMethod"], asked["RequestUri"]
        allowed = uri != CANARY and judge(method, uri)
        return json.dumps({"Allow": allowed, "Msg": "no"}).encode()

    with (
        plugin_socket(Path(f"/run/docker/plugins/{name}.sock"), answer),
        asking(dockerd, name),
    ):
        yield


def test_what_could_not_be_removed_again_is_not_made(unguarded: Dockerd) -> None:
    before = take_inventory(unguarded)
    with guarded_by(
        unguarded, requests=lambda method, _: method != "DELETE", answers=lambda *_: True
    ):
        done = attacked(unguarded, "--json")
        after = take_inventory(unguarded)
    found = outcomes(done)
    assert after == before
    assert json.loads(done.stdout)["left"] == []
    assert done.returncode == 3
    assert of(found, "blocked") == {"path.bytes", "path.fragment", "plugins.remove"}
    assert not of(found, "unclear")
    made = [found[f"scenario.{name}"] for name in ("privileged", "volume", "network", "build")]
    assert {attack["outcome"] for attack in made} == {"succeeded"}
    assert {attack["proved"] for attack in made} == {False}
    refused = REFUSED[NEWEST] - {
        "hidden.text-plugin", "json.old-shape", "json.old-shape-null",
        "hardening.option-system-paths", "networks.mac",
    }  # fmt: skip
    assert refused <= of(found, "refused") <= REFUSED[NEWEST]


def test_what_cannot_be_removed_is_named_with_the_command_that_does_it(
    unguarded: Dockerd,
) -> None:
    before = take_inventory(unguarded)
    with guarded_by(
        unguarded,
        requests=lambda method, uri: method != "DELETE" or NOTHING in uri,
        answers=lambda *_: True,
    ):
        done = attacked(unguarded, "--only=scenario", "--json")
        said = attacked(unguarded, "--only=scenario.network")
    report = json.loads(done.stdout)
    assert outcomes(done)["scenario.volume"]["proved"]
    assert "No such image" in outcomes(done)["scenario.pid-namespace"]["detail"]
    left = report["left"]
    assert Counter(thing["kind"] for thing in left) == {
        "container": 2, "image": 2, "network": 1, "volume": 1,
    }  # fmt: skip
    assert "could not be removed: authorization denied by plugin" in said.stdout
    commands = [thing["remove"] for thing in left]
    commands += re.findall(r"remove it with: (.*)", said.stdout)
    for command in commands:
        assert " opa-authz-attack-" in command
        unguarded.docker(*command.split()[1:])
    assert take_inventory(unguarded) == before


def test_an_answer_that_is_refused_too_late_is_no_protection(unguarded: Dockerd) -> None:
    before = take_inventory(unguarded)
    with guarded_by(
        unguarded,
        requests=lambda *_: True,
        answers=lambda method, uri: not (method == "POST" and "scenario" in uri),
    ):
        done = attacked(unguarded, "--only=scenario.privileged", "--json")
    attack = outcomes(done)["scenario.privileged"]
    assert attack["outcome"] == "succeeded"
    assert "carried out, and refused too late" in attack["detail"]
    assert take_inventory(unguarded) == before


TECNATIVA: Final = r"""
    http-request deny unless METH_GET || {{ bool({post}) }}
    http-request allow if {{ path,url_dec -m reg -i ^(/v[\d\.]+)?/(containers|_ping|version) }}
    http-request deny
"""
"""The rules of a socket proxy with CONTAINERS=1, and POST."""


@contextmanager
def behind_haproxy(dockerd: Dockerd, folder: Path, *, post: bool) -> Iterator[str]:
    frontend = TECNATIVA.format(post=str(post).lower())
    with one_proxy(folder, frontend, f"    server d unix@{dockerd.socket}\n") as socket:
        yield f"--host=unix://{socket}"


def test_a_socket_proxy_for_reading_gives_containers_away(
    unguarded: Dockerd, tmp_path: Path
) -> None:
    before = take_inventory(unguarded)
    parts = ("--only=scenario", "--only=read", "--only=images.buildkit-native", "--json")
    with behind_haproxy(unguarded, tmp_path, post=False) as host:
        done = opa_authz("attack", host, *parts)
    found = outcomes(done)
    assert done.returncode == 3
    assert {found[id_]["by"] for id_ in of(found, "blocked")} == {"HAProxy"}
    assert {id_ for id_ in found if id_.startswith("scenario.")} <= of(found, "blocked")
    assert {"read.archive", "read.export", "read.attach-ws"} <= of(found, "succeeded")
    assert "images.buildkit-native" in of(found, "blocked")
    assert "Forbidden" in json.loads(done.stdout)["harmless_container_refused"]
    assert take_inventory(unguarded) == before


def test_a_socket_proxy_for_the_life_of_containers_hands_over_the_host(
    unguarded: Dockerd, tmp_path: Path
) -> None:
    """The configuration that the guide calls secure, but for /images: CONTAINERS=1, POST=1."""
    before = take_inventory(unguarded)
    with behind_haproxy(unguarded, tmp_path, post=True) as host:
        done = opa_authz("attack", host, "--only=scenario")
        found = outcomes(opa_authz("attack", host, "--only=scenario", "--json"))
    assert of(found, "blocked") == {"scenario.build", "scenario.network", "scenario.volume"}
    assert "CRITICAL: 7 attacks succeeded. DO NOT deploy to production until fixed." in done.stdout
    assert "The guard (HAProxy) still prevents:" in done.stdout
    assert take_inventory(unguarded) == before


def test_on_a_manager_of_a_swarm_services_are_made_and_removed_and_no_token_is_told(
    tmp_path: Path,
) -> None:
    with scratch_dockerd(prepare(NEWEST)) as dockerd:
        dockerd.docker("swarm", "init", "--advertise-addr=127.0.0.1", "--listen-addr=127.0.0.1:0")
        done = attacked(dockerd, "--only=swarm", "--only=read.swarm", "--json")
        for kind in ("service", "secret", "config"):
            assert dockerd.docker(kind, "ls", "--quiet").stdout == ""
        token = dockerd.docker("swarm", "join-token", "--quiet", "manager").stdout.strip()
    found = outcomes(done)
    assert of(found, "refused") == {"swarm.network-old"}
    assert of(found, "succeeded") == found.keys() - {"swarm.network-old"}
    assert found["swarm.bind"]["proved"]
    assert found["read.swarm"]["proved"]
    assert token.startswith("SWMTKN-")
    assert token not in done.stdout


def test_the_catalogue_is_listed_without_a_daemon(tmp_path: Path) -> None:
    listed = opa_authz("attack", "--list", f"--host=unix://{tmp_path}/none.sock")
    assert listed.returncode == 0
    assert listed.stdout.startswith("Escape scenarios (10)\n  scenario.privileged ")
    rows = json.loads(opa_authz("attack", "--list", "--json", "--only=path").stdout)["attacks"]
    assert rows[0]["request"] == "POST /v1.<minor>/containers/create?name=<name>"


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["--host=unix:///none.sock"], 1, "no Docker API at unix:///none.sock"),
        (["--host=ftp://x"], 2, "neither unix://PATH nor tcp://HOST:PORT"),
        (["--only=everything"], 2, "everything is neither a family (scenario, "),
        (["--except=scenario.none"], 2, "scenario.none is neither a family"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(arguments: list[str], status: int, said: str) -> None:
    done = opa_authz("attack", *arguments)
    assert done.returncode == status
    assert said in done.stderr
    assert "Traceback" not in done.stderr
