"""Decisions and status that OPA uploads for the plugin, to a service that may be away."""

from __future__ import annotations

import base64
import gzip
import json
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
import requests

from tests.fleet.test_fleet import LIST, LIST_VOLUMES, REQUEST, Host, allows, fetching_opa, says
from tests.harness.bundle_services import running_nginx
from tests.harness.log_receiver import LogReceiver, running_receiver
from tests.harness.plugin import Connection, Plugin, children, wait_for
from tests.harness.prometheus import free_port
from tests.harness.site import OPEN_VOLUMES, VOLUMES, Site, refused_start

RESPONSE = "/AuthZPlugin.AuthZRes"
UNKNOWN = {"RequestMethod": "POST", "RequestUri": "/v1.44/containers/x/teleport"}
SECRET = "a-secret-that-nobody-may-see"
CREATE: dict[str, Any] = {
    "RequestMethod": "POST",
    "RequestUri": "/v1.44/containers/create",
    "RequestHeaders": {"Content-Type": "application/json"},
    "RequestBody": base64.b64encode(
        json.dumps(
            {
                "Image": "alpine",
                "Env": [f"TOKEN={SECRET}"],
                "HostConfig": {"Binds": [f"/srv/password={SECRET}:/x"]},
            }
        ).encode()
    ).decode(),
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    made = Site(tmp_path_factory.mktemp("uploads") / "site")
    made.write(VOLUMES)
    made.build()
    return made


@pytest.fixture(scope="module")
def module_service() -> Iterator[LogReceiver]:
    with running_receiver() as running:
        yield running


@pytest.fixture
def service(site: Site) -> Iterator[LogReceiver]:
    with running_receiver() as running:
        running.bundle = site.built.read_bytes()
        yield running


@pytest.fixture
def host(tmp_path: Path, site: Site, service: LogReceiver) -> Host:
    return host_in(tmp_path / "host", site, service)


def host_in(folder: Path, site: Site, service: LogReceiver) -> Host:
    fleet = {
        "url": service.url,
        "bundle": "bundle.tar.gz",
        "key": str(site.public_key),
        "labels": {"group": "build", "site": "north"},
        "decisions": True,
    }
    return Host(folder, fleet, {"log": {"level": "debug"}})


@contextmanager
def measured(host: Host) -> Iterator[tuple[Plugin, Metrics]]:
    port = free_port()
    with host.running(OPA_AUTHZ_METRICS_LISTEN=f"127.0.0.1:{port}") as plugin:
        yield plugin, Metrics(port)


class Metrics:
    """The metrics of a plugin about its fleet."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}/metrics"

    def __getitem__(self, name: str) -> float:
        lines = requests.get(self._url, timeout=10).text.splitlines()
        [found] = [line for line in lines if line.startswith(f"opa_authz_fleet_{name} ")]
        return float(found.split()[1])


def logged(plugin: Plugin) -> Counter[str]:
    """How often the plugin's own log has each decision."""
    return Counter(record["decision_id"] for record in plugin.records() if "verdict" in record)


def uploaded(service: LogReceiver) -> Counter[str]:
    """How often the service has each decision."""
    return Counter(event["input"]["decision_id"] for event in service.decisions)


def post(plugin: Plugin, number: int, message: dict[str, str] = LIST) -> None:
    """Send a request a number of times, as dockerd does on one connection."""
    with Connection(plugin.socket) as connection:
        for _ in range(number):
            connection.post(REQUEST, message)


@pytest.fixture(scope="module")
def scene(
    tmp_path_factory: pytest.TempPathFactory, site: Site, module_service: LogReceiver
) -> tuple[LogReceiver, Plugin]:
    """A plugin that has no policy at first, and decides on six requests; what its log has."""
    host = host_in(tmp_path_factory.mktemp("scene"), site, module_service)
    host.fleet |= {"status": True}
    host.rest |= {"deadline": 0.2}
    host.write()
    with host.running() as plugin:
        assert not allows(plugin, LIST)
        module_service.bundle = site.built.read_bytes()
        says(plugin, "is in force")
        for message, is_allowed in (
            (LIST, True),
            (LIST, True),
            (LIST_VOLUMES, False),
            (UNKNOWN, False),
            (CREATE, False),
        ):
            assert plugin.post(REQUEST, message)["Allow"] is is_allowed
        plugin.post(RESPONSE, {**LIST, "ResponseStatusCode": 200})
        wait_for(lambda: len(module_service.events) >= 7, "the uploads")
        wait_for(lambda: logged(plugin).total() == 6, "the log")
    return module_service, plugin


Scene = tuple[LogReceiver, Plugin]


def test_every_decision_arrives_once_whether_opa_was_asked_or_not(scene: Scene) -> None:
    service, plugin = scene
    assert uploaded(service) == logged(plugin)
    told = [(event["input"]["rules"], event["input"]["engine"]) for event in service.decisions]
    assert told == [
        (["request.engine"], "embedded"),
        ([], "embedded"),
        ([], "embedded"),
        (["sections.operation operation"], "embedded"),
        (["request.unknown-operation path"], ""),
        (["mounts.source HostConfig.Binds[0]"], "embedded"),
    ]


def test_an_event_has_the_verdict_the_labels_and_the_revision(scene: Scene) -> None:
    service, _ = scene
    assert [event["result"] for event in service.decisions] == [
        {"allow": allowed} for allowed in (False, True, True, False, False, False)
    ]
    for event in service.events:
        assert {"group": "build", "site": "north"}.items() <= event["labels"].items()
    last = service.decisions[-1]
    assert last["bundles"]["site"]["revision"] == last["input"]["policy_revision"]


def test_an_event_has_what_the_log_has_with_the_same_masks(scene: Scene) -> None:
    service, plugin = scene
    assert [event["input"] for event in service.events] == plugin.records()


def test_the_outcome_of_a_request_arrives_under_the_id_of_its_decision(scene: Scene) -> None:
    service, _ = scene
    [outcome] = [event for event in service.events if event not in service.decisions]
    assert outcome["path"] == "authz_plugin/uploads/outcome"
    assert outcome["result"] == {"status": 200}
    assert outcome["input"]["decision_id"] in uploaded(service)


def test_no_secret_of_a_request_is_uploaded(scene: Scene) -> None:
    service, _ = scene
    assert "/srv/password=*** " in service.decisions[-1]["input"]["details"]
    assert SECRET.encode() not in orjson.dumps([service.events, service.reports])


def test_the_status_says_which_bundle_a_host_has(scene: Scene) -> None:
    service, _ = scene
    last = service.reports[-1]
    assert last["labels"]["group"] == "build"
    assert last["bundles"]["site"]["active_revision"]
    assert last["decision_logs"] == {}


def test_nothing_is_lost_while_the_service_is_away(host: Host, service: LogReceiver) -> None:
    service.status = 503
    with measured(host) as (plugin, metrics):
        post(plugin, 50)
        wait_for(lambda: service.refused > 0, "a refused upload")
        wait_for(lambda: metrics["uploads_up"] == 0, "the metric")
        assert metrics["decisions_waiting"] == 50
        assert "decisions are not uploaded to" in plugin.log
        service.status = 200
        wait_for(lambda: metrics["decisions_waiting"] == 0, "all to be uploaded", 20)
        assert metrics["uploads_up"] == 1
        assert metrics["decisions_uploaded_total"] == 50
        assert metrics["decisions_lost_total"] == 0
        assert uploaded(service) == logged(plugin)


def test_more_than_the_bound_is_lost_and_counted(host: Host, service: LogReceiver) -> None:
    service.status = 503
    host.fleet |= {"spool": 1}
    host.write()
    with measured(host) as (plugin, metrics):
        post(plugin, 400, {**LIST, "User": "u" * 4000})
        wait_for(lambda: metrics["decisions_lost_total"] > 0, "the metric")
        spool = list((host.state / "decisions").glob("*.jsonl"))
        assert 0.9 * (1 << 20) < sum(file.stat().st_size for file in spool) <= 1 << 20
        assert '"event":"spool_full"' in plugin.log
        service.status = 200
        wait_for(lambda: metrics["decisions_waiting"] == 0, "the rest to be uploaded", 30)
        lost = metrics["decisions_lost_total"]
        assert len(uploaded(service)) + lost == 400
        assert set(uploaded(service).values()) == {1}
        post(plugin, 1)
        wait_for(lambda: metrics["decisions_waiting"] == 0, "there to be room again")
        assert metrics["decisions_lost_total"] == lost


def test_what_was_not_uploaded_survives_a_restart_of_the_plugin(
    host: Host, service: LogReceiver
) -> None:
    with host.running() as plugin:
        post(plugin, 3)
    made = logged(plugin)
    assert uploaded(service) == made, "the last upload is at the end of OPA"
    service.status = 503
    with host.running() as plugin:
        post(plugin, 5)
    made += logged(plugin)
    service.status = 200
    with measured(host) as (plugin, metrics):
        wait_for(lambda: len(service.decisions) == 8, "the uploads")
        wait_for(lambda: metrics["decisions_waiting"] == 0, "their confirmation")
    assert uploaded(service) == made


def test_what_was_not_uploaded_survives_the_end_of_opa(host: Host, service: LogReceiver) -> None:
    service.status = 503
    with measured(host) as (plugin, metrics):
        post(plugin, 5)
        wait_for(lambda: service.refused > 0, "OPA to have them")
        ended = fetching_opa(plugin)
        os.kill(ended, signal.SIGKILL)
        wait_for(lambda: ended not in children(plugin.process.pid, "opa"), "its end")
        service.status = 200
        wait_for(lambda: metrics["decisions_waiting"] == 0, "the uploads", 20)
        assert uploaded(service) == logged(plugin)


def test_what_opa_gets_during_an_upload_is_not_taken_for_uploaded(
    host: Host, service: LogReceiver
) -> None:
    service.delay = 2
    with measured(host) as (plugin, metrics):
        post(plugin, 1)
        wait_for(lambda: service.begun == 1, "an upload to begin")
        post(plugin, 1)
        wait_for(lambda: len(service.decisions) == 1, "its end")
        service.status = 503
        time.sleep(0.5)
        os.kill(fetching_opa(plugin), signal.SIGKILL)
        service.status, service.delay = 200, 0
        wait_for(lambda: metrics["decisions_waiting"] == 0, "the uploads", 20)
        assert set(uploaded(service)) == set(logged(plugin))


def test_a_service_that_hangs_makes_nobody_wait(
    tmp_path: Path, host: Host, service: LogReceiver, site: Site
) -> None:
    host.fleet |= {"status": True}
    host.write()
    with host.running() as plugin:
        service.delay = 30
        post(plugin, 10)
        time.sleep(2)
        begun = time.monotonic()
        post(plugin, 100)
        assert time.monotonic() - begun < 2
        newer = Site(tmp_path / "newer")
        newer.write(OPEN_VOLUMES)
        newer.build(key=site.key)
        service.bundle = newer.built.read_bytes()
        says(plugin, "is in force", limit=90)
        assert allows(plugin, LIST_VOLUMES)
        assert "cannot be fetched" not in plugin.log


def test_debians_nginx_can_be_the_service(tmp_path: Path, site: Site, service: LogReceiver) -> None:
    host = host_in(tmp_path / "host", site, service)
    with running_nginx(tmp_path / "nginx") as nginx:
        receiver = {"url": nginx.url, "ca": str(nginx.ca), "token_file": str(nginx.token_file)}
        host.fleet |= {"status": True, "receiver": receiver}
        host.write()
        with measured(host) as (plugin, metrics):
            post(plugin, 3)
            wait_for(lambda: metrics["decisions_waiting"] == 0, "the uploads")
            found = [gzip.decompress(file.read_bytes()) for file in nginx.logs.iterdir()]
            events = [event for text in found for event in orjson.loads(text)]
            assert Counter(event["input"]["decision_id"] for event in events) == logged(plugin)
            reports = [orjson.loads(file.read_bytes()) for file in nginx.status.iterdir()]
            assert {report["labels"]["group"] for report in reports} == {"build"}
            assert nginx.token_file.read_text() not in plugin.log
    assert (service.events, service.reports) == ([], [])


@pytest.mark.parametrize(
    ("fleet", "fault"),
    [
        ({"type": "oci"}, "a service of type oci takes neither status nor decisions"),
        ({"receiver": {"ca": "/nowhere"}}, "fleet.receiver.url: is needed"),
        ({"receiver": {"url": "https://x", "ca": "/nowhere"}}, "/nowhere is not a file"),
        ({"decisions": False, "receiver": {"url": "https://x"}}, "needs fleet.status or"),
    ],
)
def test_a_receiver_is_needed_where_the_service_takes_nothing(
    host: Host, fleet: dict[str, Any], fault: str
) -> None:
    host.fleet |= fleet
    host.write()
    done = refused_start(host.config)
    assert done.returncode == 2
    assert fault in done.stderr
