"""Plugins that fetch their policy: from Debian's nginx and Debian's registry."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from ruamel.yaml import YAML

from authz_plugin import fleet_policy
from authz_plugin.engine import binary
from authz_plugin.errors import SetupError
from authz_plugin.tools.bundle_archive import Access
from authz_plugin.tools.bundle_archive import push as push_file
from tests.harness.bundle_services import (
    WebServer,
    running_nginx,
    running_registry,
    running_s3,
)
from tests.harness.plugin import Plugin, children, running_plugin, wait_for
from tests.harness.prometheus import free_port
from tests.harness.site import DENY_PINGS, OPEN_VOLUMES, Site, refused_start, run

REQUEST = "/AuthZPlugin.AuthZReq"
LIST = {"RequestMethod": "GET", "RequestUri": "/v1.44/containers/json"}
LIST_VOLUMES = {"RequestMethod": "GET", "RequestUri": "/v1.44/volumes"}
VERSION = {"RequestMethod": "GET", "RequestUri": "/v1.44/version"}


@dataclass
class Host:
    """A host whose plugin fetches its policy; its files lie in a folder."""

    folder: Path
    fleet: dict[str, Any]
    rest: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.folder.mkdir(exist_ok=True)
        self.state = self.folder / "state"
        self.config = self.folder / "config.yaml"
        self.fleet |= {"interval": 1, "folder": str(self.state)}
        self.write()

    def write(self) -> None:
        self.config.write_text(json.dumps({"fleet": self.fleet, **self.rest}))

    def running(self, **environment: str) -> AbstractContextManager[Plugin]:
        return running_plugin(
            self.folder, f"--config={self.config}", environment=environment or None
        )


def allows(plugin: Plugin, message: dict[str, str]) -> bool:
    return bool(plugin.post(REQUEST, message)["Allow"])


def says(plugin: Plugin, text: str, times: int = 1, limit: float = 30) -> None:
    """Wait until the plugin's log has a text as often as that."""
    wait_for(lambda: plugin.log.count(text) >= times, f"{text!r} in the log", limit)


def fetching_opa(plugin: Plugin) -> int:
    """The OPA that fetches; with the embedded engine it is the only one."""
    wait_for(lambda: children(plugin.process.pid, "opa"), "OPA to be there")
    [pid] = children(plugin.process.pid, "opa")
    return pid


@pytest.fixture
def nginx(tmp_path: Path) -> Iterator[WebServer]:
    with running_nginx(tmp_path / "nginx") as server:
        yield server


@pytest.fixture
def push(site: Site, nginx: WebServer) -> Callable[..., dict[str, Any]]:
    """Builds the site's policy and puts it on nginx, for the group ``build``."""

    def pushed(*options: str, key: Path | None = None) -> dict[str, Any]:
        target = f"{nginx.url}/hosts/build.tar.gz"
        access = [f"--token-file={nginx.token_file}", f"--ca={nginx.ca}"]
        return site.build(f"--push={target}", *access, *options, key=key)

    return pushed


Push = Callable[..., dict[str, Any]]


@pytest.fixture
def host(tmp_path: Path, site: Site, nginx: WebServer) -> Host:
    return Host(
        tmp_path / "host",
        {
            "url": nginx.url,
            "bundle": "hosts/{group}.tar.gz",
            "labels": {"group": "build"},
            "key": str(site.public_key),
            "ca": str(nginx.ca),
            "token_file": str(nginx.token_file),
        },
    )


def test_a_pushed_policy_decides_within_seconds_with_rules_of_the_site(
    site: Site, push: Push, host: Host
) -> None:
    revision = push()["policy_revision"]
    with host.running() as plugin:
        assert f'"policy_revision":"{revision}"' in plugin.log
        assert (allows(plugin, LIST_VOLUMES), allows(plugin, VERSION)) == (False, True)
        site.write(OPEN_VOLUMES, DENY_PINGS)
        newer = push()["policy_revision"]
        says(plugin, f"policy revision {newer} of profile devcontainer, changed is in force")
        assert (allows(plugin, LIST_VOLUMES), allows(plugin, VERSION)) == (True, False)
        denied = plugin.post(REQUEST, VERSION)["Msg"]
        assert "not at this site" in denied
        assert newer != revision


@pytest.mark.parametrize("engine", ["embedded", "opa"])
def test_a_host_that_never_had_a_policy_denies_until_it_has_one(
    host: Host, push: Push, engine: str
) -> None:
    host.rest = {"engine": engine, "deadline": 0.2}
    host.write()
    with host.running() as plugin:
        assert "every request is denied until there is one" in plugin.log
        assert not allows(plugin, LIST)
        assert "request.engine" in plugin.post(REQUEST, LIST)["Msg"]
        push()
        says(plugin, "is in force")
        assert allows(plugin, LIST)
        assert not allows(plugin, LIST_VOLUMES)


def test_the_last_policy_decides_after_a_restart_without_the_service(
    tmp_path: Path, site: Site, host: Host
) -> None:
    port = free_port()
    with running_nginx(tmp_path / "nginx2", port) as nginx:
        host.fleet |= {"url": nginx.url, "ca": str(nginx.ca), "token_file": str(nginx.token_file)}
        host.write()
        site.write(OPEN_VOLUMES, DENY_PINGS)
        access = [f"--token-file={nginx.token_file}", f"--ca={nginx.ca}"]
        site.build(f"--push={nginx.url}/hosts/build.tar.gz", *access)
        with host.running() as plugin:
            assert not allows(plugin, VERSION)
    with host.running() as plugin:
        assert "every request is denied" not in plugin.log
        says(plugin, "cannot be fetched")
        assert (allows(plugin, LIST_VOLUMES), allows(plugin, VERSION)) == (True, False)
        plugin.reload()
        assert (allows(plugin, LIST_VOLUMES), allows(plugin, VERSION)) == (True, False)
        with running_nginx(tmp_path / "nginx2", port):
            says(plugin, "answers again", limit=60)


def test_what_the_site_did_not_sign_is_refused(
    site: Site, push: Push, host: Host, nginx: WebServer
) -> None:
    push()
    with host.running() as plugin:
        site.write(OPEN_VOLUMES)
        push(key=site.new_key("other"))
        says(plugin, "failed to verify JWT signature")
        assert not allows(plugin, LIST_VOLUMES)
        push()
        says(plugin, "is in force")
        assert allows(plugin, LIST_VOLUMES)
        changed = rewritten(site.built, lambda text: text.replace(b"read", b"write"))
        (nginx.files / "hosts/build.tar.gz").write_bytes(changed)
        says(plugin, "digest mismatch")
        unsigned = rewritten(site.built, lambda text: text, leave_out=".signatures.json")
        (nginx.files / "hosts/build.tar.gz").write_bytes(unsigned)
        says(plugin, "missing .signatures.json")
        assert allows(plugin, LIST_VOLUMES)


def rewritten(file: Path, change: Callable[[bytes], bytes], leave_out: str = "") -> bytes:
    """A bundle in which files are changed or left out, while its signature is not."""
    copy = file.with_name("rewritten.tar.gz")
    with tarfile.open(file) as old, tarfile.open(copy, "w:gz") as new:
        for entry in old.getmembers():
            content = old.extractfile(entry)
            if content is None or entry.name == leave_out:
                continue
            text = content.read()
            if entry.name.endswith("data.json"):
                text = change(text)
            entry.size = len(text)
            content.close()
            new.addfile(entry, io.BytesIO(text))
    return copy.read_bytes()


def signed(site: Site, document: Any, roots: str = fleet_policy.ROOT) -> bytes:
    """A bundle that the site has signed, with data that its own tools would not write."""
    folder = site.folder / "handmade"
    shutil.rmtree(folder, ignore_errors=True)
    data = folder / roots / "data.json"
    data.parent.mkdir(parents=True)
    data.write_text(json.dumps(document))
    (folder / ".manifest").write_text(json.dumps({"revision": "x", "roots": [roots]}))
    binary.find().sign(folder, site.key, "RS256")
    file = site.folder / "handmade.tar.gz"
    with tarfile.open(file, "w:gz") as archive:
        archive.add(folder, arcname="/")
    return file.read_bytes()


def document_of(site: Site) -> dict[str, Any]:
    with tarfile.open(site.built) as archive:
        content = archive.extractfile(f"{fleet_policy.ROOT}/data.json")
        assert content is not None
        found: dict[str, Any] = json.load(content)
    return found


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"format": 2}, "update the plugin"),
    ({"format": 0}, "build it again"),
    ({"at_least": "9.1"}, "the bundle needs opa-authz 9.1"),
    ({"rules": None}, "configuration and rules are mappings"),
    ({"about": {"revision": "x"}}, "the bundle is incomplete"),
    ({"configuration": {"profile": "produktion"}}, "produktion is not known"),
    ({"configuration": {"sections": {"volume": "read"}}}, "no such key"),
    ({"rules": {"x.rego": "package docker.authz.rules.custom_x\n\nx := "}}, "rego_parse_error"),
    ({"rules": {"x.rego": "package docker.authz.decision\n\nx := 1"}}, "docker.authz.decision"),
    ({"rules": {"../x.rego": ""}}, "../x.rego cannot be in a bundle"),
    ({"about": {"revision": "x", "built": "2020-01-01T00:00:00+00:00"}}, "to go back to it"),
]
"""What is changed in a sound policy, and why it is refused then."""


def test_a_signed_policy_that_cannot_be_served_is_refused_and_the_old_one_stays(
    site: Site, push: Push, host: Host, nginx: WebServer
) -> None:
    push()
    with host.running() as plugin:
        for number, (change, reason) in enumerate(REFUSED, 1):
            built = datetime.now(UTC) + timedelta(minutes=number)
            about = {"revision": f"bad{number}", "built": built.isoformat()}
            bad = {**document_of(site), "about": about, **change}
            (nginx.files / "hosts/build.tar.gz").write_bytes(signed(site, bad))
            says(plugin, "the fetched policy is refused, the one in force stays", times=number)
            assert reason in plugin.log.splitlines()[-1]
            assert (allows(plugin, LIST), allows(plugin, LIST_VOLUMES)) == (True, False)
        site.write(OPEN_VOLUMES)
        push()
        says(plugin, "is in force")
        assert allows(plugin, LIST_VOLUMES)
        assert plugin.log.count("is refused") == len(REFUSED)


def test_a_bundle_for_another_purpose_is_told(site: Site, host: Host, nginx: WebServer) -> None:
    (nginx.files / "hosts").mkdir()
    (nginx.files / "hosts/build.tar.gz").write_bytes(
        signed(site, {"about": {"revision": "x"}, "configuration": {}})
    )
    with host.running() as plugin:
        says(plugin, "has no policy of a fleet")


def test_a_registry_hands_out_policies_too(
    tmp_path: Path, site: Site, registry: str, registry_push: tuple[str, str]
) -> None:
    pushed = site.build(*registry_push)["pushed"]
    with pytest.raises(SetupError, match="a registry without TLS needs --plain-http"):
        push_file(site.built, registry_push[0].removeprefix("--push="), Access())
    assert re.fullmatch(rf"{registry}/docker-policy:build@sha256:[0-9a-f]{{64}}", pushed)
    with Host(tmp_path / "host", site.registry_fleet(registry)).running() as plugin:
        assert (allows(plugin, LIST), allows(plugin, LIST_VOLUMES)) == (True, False)
        site.write(OPEN_VOLUMES)
        for number in range(1, 4):
            revision = site.build(*registry_push, f"--at-least=0.0.{number}")["policy_revision"]
            says(plugin, f"from the bundle of revision {revision}", times=number)
        assert allows(plugin, LIST_VOLUMES)
        fetched = Path(f"/proc/{fetching_opa(plugin)}/cwd/fetched/oci/blobs/sha256")
        wait_for(lambda: len(list(fetched.iterdir())) <= 6, "old bundles to be removed")


def test_an_s3_compatible_store_hands_out_policies_to_those_who_may_read_it(
    tmp_path: Path, site: Site
) -> None:
    with running_s3(tmp_path / "s3") as bucket:
        credentials = tmp_path / "credentials"
        credentials.write_text(aws_profile(bucket.access_key, "a-secret-that-is-wrong"))
        host = Host(
            tmp_path / "host",
            {
                "url": bucket.url,
                "type": "s3",
                "bundle": "hosts/{group}.tar.gz",
                "labels": {"group": "build"},
                "key": str(site.public_key),
                "ca": str(bucket.ca),
                "region": bucket.region,
                "credentials": str(credentials),
            },
        )
        site.build()
        bucket.put("hosts/build.tar.gz", site.built)
        with host.running() as plugin:
            says(plugin, "server replied with Forbidden")
            assert not allows(plugin, LIST)
            credentials.write_text(aws_profile(bucket.access_key, bucket.secret_key))
            says(plugin, "is in force")
            assert (allows(plugin, LIST), allows(plugin, LIST_VOLUMES)) == (True, False)
            site.write(OPEN_VOLUMES)
            site.build()
            bucket.put("hosts/build.tar.gz", site.built)
            says(plugin, "is in force", times=2)
            assert allows(plugin, LIST_VOLUMES)
            log = Path(f"/proc/{fetching_opa(plugin)}/cwd/opa.log").read_text()
            for secret in (bucket.secret_key, "a-secret-that-is-wrong", "AWS4-HMAC"):
                assert secret not in plugin.log + log


def aws_profile(access_key: str, secret_key: str) -> str:
    return f"[default]\naws_access_key_id={access_key}\naws_secret_access_key={secret_key}\n"


def test_an_opa_that_ends_is_started_again(site: Site, push: Push, host: Host) -> None:
    push()
    with host.running() as plugin:
        ended = fetching_opa(plugin)
        os.kill(ended, signal.SIGKILL)
        wait_for(lambda: ended not in children(plugin.process.pid, "opa"), "its end")
        site.write(OPEN_VOLUMES)
        push()
        says(plugin, "is in force")
        assert allows(plugin, LIST_VOLUMES)


def test_a_replaced_key_counts_at_once_and_for_what_was_kept(
    tmp_path: Path, site: Site, push: Push, host: Host, nginx: WebServer
) -> None:
    push()
    with host.running() as plugin:
        new = site.new_key("new")
        shutil.copy(site.folder / "new.pub.pem", site.public_key)
        says(plugin, "failed to verify JWT signature")
        assert allows(plugin, LIST), "what is in force stays"
    with host.running() as plugin:
        assert "every request is denied until there is one" in plugin.log
        assert not allows(plugin, LIST)
        push(key=new)
        says(plugin, "is in force")
        assert allows(plugin, LIST)


def test_a_kept_policy_that_another_user_can_change_is_not_used(
    push: Push, host: Host, nginx: WebServer
) -> None:
    push()
    with host.running():
        pass
    (nginx.files / "hosts/build.tar.gz").unlink()
    host.state.chmod(0o770)
    with host.running() as plugin:
        assert "the policy that was kept is not used" in plugin.log
        assert "another user can change it" in plugin.log
        assert not allows(plugin, LIST)
        host.state.chmod(0o700)


def test_a_new_token_is_used_without_a_restart(
    tmp_path: Path, site: Site, push: Push, host: Host, nginx: WebServer
) -> None:
    wrong = tmp_path / "token"
    wrong.write_text("a-token-that-nobody-knows")
    host.fleet |= {"token_file": str(wrong)}
    host.write()
    push()
    with host.running() as plugin:
        says(plugin, "Unauthorized")
        assert not allows(plugin, LIST)
        shutil.copy(nginx.token_file, wrong)
        says(plugin, "is in force")
        assert allows(plugin, LIST)
        secret = nginx.token_file.read_text()
        assert secret not in plugin.log
        assert "a-token-that-nobody-knows" not in plugin.log


def test_metrics_say_what_is_in_force_since_when_and_what_was_refused(
    tmp_path: Path, site: Site, push: Push, host: Host, nginx: WebServer
) -> None:
    revision = push()["policy_revision"]
    port = free_port()

    def series() -> dict[str, float]:
        text = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=10).text
        lines = [line.rsplit(" ", 1) for line in text.splitlines() if "_fleet_" in line]
        return {name: float(value) for name, value in lines if not name.startswith("#")}

    with host.running(OPA_AUTHZ_METRICS_LISTEN=f"127.0.0.1:{port}") as plugin:
        found = series()
        now = time.time()
        assert found[f'opa_authz_fleet_bundle_info{{revision="{revision}"}}'] == 1
        assert found["opa_authz_fleet_up"] == 1
        assert found["opa_authz_fleet_policy_kept"] == 1
        assert now - 60 < found["opa_authz_fleet_last_success_timestamp_seconds"] <= now
        assert now - 60 < found["opa_authz_fleet_bundle_built_timestamp_seconds"] <= now
        assert found["opa_authz_fleet_bundles_refused_total"] == 0
        bad = {**document_of(site), "format": 9, "about": {"revision": "y", "built": "z"}}
        (nginx.files / "hosts/build.tar.gz").write_bytes(signed(site, bad))
        says(plugin, "is refused")
        wait_for(lambda: series()["opa_authz_fleet_bundle_refused"] == 1, "the metric")
        assert series()["opa_authz_fleet_bundles_refused_total"] == 1
        (nginx.files / "hosts/build.tar.gz").unlink()
        wait_for(lambda: series()["opa_authz_fleet_up"] == 0, "the metric")
        push()
        says(plugin, "is in force")
        wait_for(lambda: series()["opa_authz_fleet_bundle_refused"] == 0, "the metric")


def test_commands_read_the_policy_that_the_plugin_has_kept(
    site: Site, push: Push, host: Host
) -> None:
    done = run("check", f"--config={host.config}")
    assert done.returncode != 0
    assert "start the plugin, which fetches it" in done.stderr
    revision = push()["policy_revision"]
    with host.running():
        pass
    done = run("check", f"--config={host.config}")
    assert done.returncode == 0, done.stderr
    assert revision in done.stdout


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({"profile": "closed"}, "take profile out of the settings"),
        ({"opa": {"url": "unix:/run/opa.sock"}}, "is for the plugin's own OPA"),
        ({"fleet": {"url": "https://x", "bundle": "b"}}, "fleet.key: is needed"),
    ],
)
def test_a_policy_has_one_source(host: Host, settings: dict[str, Any], fault: str) -> None:
    host.rest = settings
    host.write()
    done = refused_start(host.config)
    assert done.returncode == 2
    assert fault in done.stderr


def test_a_fleets_bundle_must_be_signed(site: Site) -> None:
    done = run("bundle", f"--config={site.config}", "--fleet", f"--output={site.built}")
    assert done.returncode == 2
    assert "--fleet needs --signing-key" in done.stderr


def test_the_commands_of_the_page_push_a_policy_that_hosts_fetch(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs/how-to/fleet.md").read_text()
    commands, *_ = re.findall(r"^```sh\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    settings, *_ = re.findall(r"^```yaml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    programs = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    with running_registry(tmp_path / "registry") as registry:
        subprocess.run(
            ["bash", "-euc", commands.replace("--push", "--plain-http --push")],
            cwd=tmp_path,
            env={**os.environ, "PATH": programs, "REGISTRY": registry},
            check=True,
        )
        fleet = YAML(typ="safe").load(settings)["fleet"]
        del fleet["token_file"]
        fleet |= {"url": f"http://{registry}", "key": str(tmp_path / "site.pub.pem")}
        fleet["bundle"] = fleet["bundle"].replace("registry.example.org", registry)
        with Host(tmp_path / "host", fleet).running() as plugin:
            assert '"profile":"devcontainer, changed"' in plugin.log
            assert allows(plugin, LIST_VOLUMES)
