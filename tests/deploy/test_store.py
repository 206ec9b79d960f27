"""The store of decisions: Debian's syslog-ng brings audit files of real plugins into PostgreSQL."""

from __future__ import annotations

import base64
import gzip
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import orjson
import pytest
import requests

from authz_plugin.journal import chain
from authz_plugin.journal.audit import AuditFile, AuditOptions
from tests.fleet.test_fleet import Host
from tests.harness.certificates import Authority
from tests.harness.log_receiver import running_receiver
from tests.harness.plugin import Connection, Plugin, running_plugin, wait_for
from tests.harness.site import VOLUMES as CLOSED
from tests.harness.site import Site as FleetSite
from tests.harness.store import Collector, Store, running_store, running_web_server
from tests.journal.records import NO, create, record

CONTAINER: Final = "4f1c2b9e8d3a" + "0" * 52
EXEC: Final = "e1" * 32
OTHER: Final = "9b" * 32
EXCEPTION: Final = (
    "exceptions:\n- {rule: privileged.container, value: true, when: {image: tools}, "
    "expires: 2099-01-31, reason: The debugger of OPS-412.}\n"
)
LISTS: Final = 1100
"""Requests that fill more than one file of the audit."""


@dataclass
class DockerHost:
    """A host with a plugin, whose audit file syslog-ng sends to the store."""

    name: str
    folder: Path
    collector: Collector

    @property
    def audit_file(self) -> Path:
        return self.folder / "audit.jsonl"

    def links(self) -> list[chain.Link]:
        """All lines of its audit file, rotated ones too."""
        return list(chain.read_links(self.audit_file))


@dataclass
class Site:
    """Two hosts and the database."""

    store: Store
    web: DockerHost
    build: DockerHost

    def lines(self, host: DockerHost) -> list[tuple[int, str]]:
        """The lines of a host that are in the store: their numbers and hashes."""
        rows = self.store.psql(
            f"SELECT seq, hash FROM opa_authz.record WHERE host = '{host.name}' "
            "AND seq IS NOT NULL ORDER BY seq"
        )
        return [(int(row["seq"]), row["hash"]) for row in rows]

    def wait_for_all(self) -> None:
        """Wait until every line of the audit files is in the store."""
        for host in (self.web, self.build):
            expected = len(host.links())
            wait_for(
                lambda host=host, expected=expected: len(self.lines(host)) >= expected,
                f"{expected} lines of {host.name}",
                20,
            )

    def has_exactly_what_was_written(self) -> bool:
        return all(
            self.lines(host) == [(link.seq, link.hash) for link in host.links()]
            for host in (self.web, self.build)
        )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Two hosts that have worked for a while; what they wrote is in the store."""
    folder = tmp_path_factory.mktemp("site")
    with ExitStack() as running:
        store = running.enter_context(running_store(Authority(folder / "ca")))
        hosts = []
        for name in ("web-1", "build-1"):
            home = folder / name
            home.mkdir()
            collector = Collector(home / "syslog-ng", name, home / "audit.jsonl", store)
            hosts.append(DockerHost(name, home, collector))
        site = Site(store, *hosts)
        for host in hosts:
            running.enter_context(host.collector)
        _work_of_web(site.web)
        _work_of_build(site.build)
        site.wait_for_all()
        yield site


def _started(host: DockerHost, policy: str) -> Any:
    config = host.folder / "config.yaml"
    config.write_text(f"{policy}audit: {{file: {host.audit_file}, max_size: 1}}\n")
    return running_plugin(host.folder, f"--config={config}")


def _work_of_web(host: DockerHost) -> None:
    """A container with an exec, an exception, a denial; then another policy, which denies more."""
    with _started(host, f"profile: devcontainer\n{EXCEPTION}") as plugin:
        made = {"Image": "app", "HostConfig": {}}
        _ask(plugin, "POST", "/containers/create?name=web", made, user="ann", created=CONTAINER)
        _ask(plugin, "POST", f"/containers/{CONTAINER}/stop", user="ann", status=204)
        _ask(plugin, "POST", "/containers/web/exec", {"Cmd": ["sh"]}, user="bob", created=EXEC)
        _ask(plugin, "POST", f"/exec/{EXEC}/start", {"Detach": True}, user="bob", status=200)
        privileged = {"HostConfig": {"Privileged": True}}
        _ask(plugin, "POST", "/containers/create", {"Image": "app", **privileged}, user="bob")
        _ask(
            plugin,
            "POST",
            "/containers/create",
            {"Image": "tools", **privileged},
            user="ann",
            created=OTHER,
        )
        with Connection(plugin.socket) as connection:
            for _ in range(LISTS):
                _ask(connection, "GET", "/containers/json", status=200)
        (host.folder / "config.yaml").write_text(
            f"profile: closed\naudit: {{file: {host.audit_file}, max_size: 1}}\n"
        )
        plugin.reload()
        _ask(plugin, "DELETE", "/containers/4f1c2b9e8d3a?force=1", user="bob")
    assert len(chain.rotated(host.audit_file)) == 1


def _work_of_build(host: DockerHost) -> None:
    """Denials of today by a real plugin, after those of earlier days."""
    written = AuditFile(AuditOptions(file=host.audit_file), lambda _: None)
    for days, denials in ((2, 3), (1, 1)):
        day = datetime.now(UTC) - timedelta(days=days)
        assert written.write([record(create(), NO)._replace(time=day) for _ in range(denials)])
    written.close()
    with _started(host, "profile: production\n") as plugin:
        _ask(plugin, "GET", "/volumes", user="carl")
        _ask(plugin, "GET", "/containers/json", user="carl", status=200)


def _ask(
    plugin: Plugin | Connection,
    method: str,
    path: str,
    body: Any = None,
    *,
    user: str = "",
    status: int | None = None,
    created: str = "",
) -> None:
    """Send a request as dockerd does, and its outcome if it has one."""
    message = {"RequestMethod": method, "RequestUri": f"/v1.44{path}", "User": user}
    if body is not None:
        message["RequestHeaders"] = {"Content-Type": "application/json"}  # type: ignore[assignment]
        message["RequestBody"] = base64.b64encode(orjson.dumps(body)).decode()
    answer = plugin.post("/AuthZPlugin.AuthZReq", message)
    assert answer["Allow"] == bool(status or created), answer
    if answer["Allow"]:
        outcome: dict[str, Any] = {**message, "ResponseStatusCode": 201 if created else status}
        if created:
            content = orjson.dumps({"Id": created, "Warnings": []})
            outcome["ResponseBody"] = base64.b64encode(content).decode()
        plugin.post("/AuthZPlugin.AuthZRes", outcome)


def test_every_line_of_both_hosts_and_of_the_rotated_file_is_there_once(site: Site) -> None:
    assert site.has_exactly_what_was_written()
    assert len(site.lines(site.web)) > 2 * LISTS
    assert site.store.query("gaps") == []


def test_who_was_denied_what(site: Site) -> None:
    rows = site.store.query("denied", since="12 hours")
    assert {
        (row["host"], row["who"], row["operation"], row["resource"], row["rules"])
        for row in rows
        if row["host"] in {"web-1", "build-1"}
    } == {
        ("web-1", "bob", "container.create", "", '{"privileged.container HostConfig.Privileged"}'),
        ("web-1", "bob", "container.remove", "4f1c2b9e8d3a", '{"sections.operation operation"}'),
        ("build-1", "carl", "volume.list", "", '{"sections.operation operation"}'),
    }


def test_which_exceptions_were_used(site: Site) -> None:
    (row,) = site.store.query("exceptions")
    assert row.pop("last_used") > "20"
    assert row == {
        "rule": "privileged.container",
        "reason": "The debugger of OPS-412.",
        "expires": "2099-01-31",
        "requests": "1",
        "hosts": "{web-1}",
        "users": "{ann}",
    }


def test_which_hosts_decide_by_which_revision(site: Site) -> None:
    rows = site.store.query("revisions", since="12 hours")
    states = [(row["host"], row["profile"], row["in_force"], row["decisions"]) for row in rows]
    assert states == [
        ("build-1", "production", "t", "2"),
        ("web-1", "devcontainer", "f", str(LISTS + 6)),
        ("web-1", "closed", "t", "1"),
    ]
    assert len({row["revision"] for row in rows}) == 3


def test_who_did_what_to_one_container(site: Site) -> None:
    rows = site.store.query("container", container=f"{CONTAINER[:12]},web")
    steps = [(r["who"], r["operation"], r["verdict"], r["status"], r["created"]) for r in rows]
    assert steps == [
        ("ann", "container.create", "allow", "201", f"{{{CONTAINER}}}"),
        ("ann", "container.stop", "allow", "204", "{}"),
        ("bob", "exec.create", "allow", "201", f"{{{EXEC}}}"),
        ("bob", "exec.start", "allow", "200", "{}"),
        ("bob", "container.remove", "deny", "", ""),
    ]
    assert {row["host"] for row in rows} == {"web-1"}


def test_how_the_denials_of_a_rule_developed(site: Site) -> None:
    rows = site.store.query("rules", days="4", rule="mounts.source")
    assert [(row["denials"], row["hosts"]) for row in rows] == [
        ("0", "0"),
        ("3", "1"),
        ("1", "1"),
        ("0", "0"),
    ]
    assert {row["rule"] for row in site.store.query("rules")} == {
        "mounts.source",
        "privileged.container",
        "sections.operation",
    }


# --- faults ---------------------------------------------------------------------------------------


def _write(host: DockerHost, count: int, **options: Any) -> None:
    """Have a host write decisions to its audit file."""
    written = AuditFile(AuditOptions(file=host.audit_file, **options), lambda _: None)
    assert written.write([record() for _ in range(count)])
    written.close()


def test_what_was_written_and_rotated_while_the_hosts_collector_was_down_arrives_once(
    site: Site,
) -> None:
    site.build.collector.stop()
    _write(site.build, 2500, max_size=1)
    _write(site.build, 1, max_size=1)
    assert len(chain.rotated(site.build.audit_file)) == 1
    site.build.collector.start()
    site.wait_for_all()
    assert site.has_exactly_what_was_written()


def test_a_killed_collector_loses_nothing_and_nothing_is_there_twice(site: Site) -> None:
    _write(site.build, 300)
    site.build.collector.kill()
    _write(site.build, 10)
    site.build.collector.start()
    site.wait_for_all()
    assert site.has_exactly_what_was_written()


def test_while_the_database_is_down_the_lines_wait_also_over_a_restart(site: Site) -> None:
    site.store.stop()
    _write(site.build, 300)
    site.build.collector.stop()
    site.build.collector.start()
    _write(site.build, 10)
    site.store.start()
    site.wait_for_all()
    assert site.has_exactly_what_was_written()


def test_lines_that_are_no_records_are_kept_aside_and_hold_nothing_up(site: Site) -> None:
    name = "a\x00b'); DROP TABLE opa_authz.record; --\\\\u0000\u00e9\x7f"
    odd = record()._replace(resource=name).to_document()
    lines = [
        b'{"hash":"00","caf\xc3',
        b'{"source":"another","timestamp":"2026-01-01T00:00:00Z"}',
        orjson.dumps({**odd, "timestamp": "1999-01-01T00:00:00+00:00"}),
        orjson.dumps({**odd, "status": "many"}),
        orjson.dumps(odd),
    ]
    (site.web.folder / "audit.jsonl.torn").write_bytes(b"".join(line + b"\n" for line in lines))
    held = f"SELECT resource FROM opa_authz.decision WHERE decision_id = '{odd['decision_id']}'"
    wait_for(lambda: site.store.psql(held), "the line after those", 20)
    assert site.store.psql(held) == [{"resource": name.replace("\x00", "\ufffd")}]
    refused = [row["what"] for row in site.store.query("gaps")]
    assert len(refused) == len(lines) - 1
    assert all(what.startswith("refused: ") for what in refused)
    site.store.psql("DELETE FROM opa_authz.refused")


def test_an_event_of_opas_decision_log_is_the_same_row_as_the_line_of_the_audit_file(
    site: Site,
) -> None:
    document = record().to_document()
    event = {"labels": {"id": "x"}, "decision_id": "another", "input": document}
    line = {"hash": "ab" * 32, "prev": "cd" * 32, "seq": 7, **document}
    for function, sent in (("take_event", event), ("take", line), ("take_event", event)):
        text = orjson.dumps(sent).decode()
        site.store.psql(f"SELECT opa_authz.{function}('web-3', $${text}$$)")
    rows = site.store.psql("SELECT id, seq FROM opa_authz.record WHERE host = 'web-3'")
    assert rows == [{"id": document["decision_id"], "seq": "7"}]


@pytest.fixture(scope="module")
def web_server(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of the web server in front of the store."""
    with running_web_server(site.store, tmp_path_factory.mktemp("web")) as url:
        yield url


def test_what_the_opa_of_a_host_uploads_is_there_once_also_after_the_database_was_away(
    site: Site, web_server: str, tmp_path: Path
) -> None:
    made, (certificate, key) = FleetSite(tmp_path / "fleet"), site.store.authority.issue("web-4")
    made.write(CLOSED)
    made.build()
    receiver = {"url": web_server, "ca": str(site.store.authority.ca)}
    access = {"certificate": str(certificate), "client_key": str(key)}
    with running_receiver() as service:
        service.bundle = made.built.read_bytes()
        fleet = {"url": service.url, "bundle": "b", "key": str(made.public_key), "decisions": True}
        fleet["receiver"] = {**receiver, **access}
        host = Host(tmp_path / "host", fleet, {"log": {"level": "debug"}})
        with host.running() as plugin:
            _ask(plugin, "GET", "/containers/json", user="dora", status=200)
            wait_for(lambda: len(_stored(site, "web-4")) == 2, "decision and outcome", 30)
            site.store.stop()
            for _ in range(5):
                _ask(plugin, "GET", "/volumes", user="dora")
            wait_for(lambda: "decisions are not uploaded" in plugin.log, "the fault", 30)
            site.store.start()
            wait_for(lambda: len(_stored(site, "web-4")) == 7, "the other decisions", 60)
            records = {(record["decision_id"], record["event"]) for record in plugin.records()}
    assert sorted(_stored(site, "web-4")) == sorted(records)
    assert [row["who"] for row in site.store.query("denied") if row["host"] == "web-4"] == [
        "dora"
    ] * 5


def _stored(site: Site, host: str) -> list[tuple[str, str]]:
    """The decisions and outcomes of a host that are in the store."""
    rows = site.store.psql(f"SELECT id, event FROM opa_authz.record WHERE host = '{host}'")
    return [(row["id"], row["event"]) for row in rows]


def test_what_the_web_server_cannot_use_holds_up_nothing_and_nobody_else_is_answered(
    site: Site, web_server: str
) -> None:
    pair, authority = site.store.authority.issue("web-5"), str(site.store.authority.ca)
    sound = record()._replace(resource="a\x00b").to_document()

    def posted(body: bytes, path: str = "/logs", method: str = "POST") -> int:
        return requests.request(
            method,
            f"{web_server}{path}",
            data=gzip.compress(body),
            headers={"Content-Encoding": "gzip"},
            verify=authority,
            cert=(str(pair[0]), str(pair[1])),
            timeout=30,
        ).status_code

    assert posted(b'{"not": "an array"}') == 204
    assert posted(orjson.dumps([3, {"input": sound}])) == 204
    assert _stored(site, "web-5") == [(sound["decision_id"], sound["event"])]
    assert [row["what"].partition(":")[0] for row in site.store.query("gaps")] == ["refused"] * 2
    site.store.psql("DELETE FROM opa_authz.refused")
    assert (posted(b"[]", method="GET"), posted(b"[]", "/other"), posted(b"[]", "/")) == (403,) * 3
    with pytest.raises(requests.exceptions.SSLError):
        requests.post(f"{web_server}/logs", data=b"[]", verify=authority, timeout=30)
    for statement in ("TABLE opa_authz.record", "SELECT opa_authz.take('web-1', '{}')"):
        with pytest.raises(subprocess.CalledProcessError) as refused:
            site.store.psql(f"SET ROLE opa_authz_receiver; {statement}")
        assert "permission denied" in refused.value.stderr


def test_a_host_cannot_write_as_another_one_nor_read_nor_change(site: Site) -> None:
    line = orjson.dumps(record(create(), NO).to_document()).decode()
    site.store.insert("web-2", "web-1", line)
    assert [row["host"] for row in site.store.query("denied", since="1 hour")].count("web-2") == 1
    for statement in ("SELECT * FROM opa_authz.record", "DELETE FROM opa_authz.record"):
        with pytest.raises(subprocess.CalledProcessError) as refused:
            site.store.psql(f"SET ROLE opa_authz_writer; {statement}")
        assert "permission denied" in refused.value.stderr


def test_an_auditor_cannot_change_what_is_there(site: Site) -> None:
    for statement in (
        "DELETE FROM opa_authz.record",
        "INSERT INTO opa_authz.inbox VALUES ('web-1', '{}')",
        "SELECT opa_authz.take('web-1', '{}')",
        "SELECT opa_authz.forget('1 day')",
    ):
        with pytest.raises(subprocess.CalledProcessError) as refused:
            site.store.psql(statement, user="opa_authz_auditor")
        assert "permission denied" in refused.value.stderr


def test_a_host_that_cuts_its_audit_file_off_is_found_with_what_the_store_has(
    site: Site, tmp_path: Path
) -> None:
    copy = tmp_path / "audit.jsonl"
    for file in chain.files_of(site.web.audit_file):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    last = chain.Position(*site.lines(site.web)[-1])
    assert not [finding for finding in chain.verify(copy, last)[1] if finding.is_fault]
    copy.write_bytes(b"".join(copy.read_bytes().splitlines(keepends=True)[:-2]))
    assert not [finding for finding in chain.verify(copy)[1] if finding.is_fault]
    assert [finding for finding in chain.verify(copy, last)[1] if finding.is_fault]


def test_what_is_missing_is_named_and_comes_again_if_it_is_sent_again(site: Site) -> None:
    _write(site.build, 40)
    site.wait_for_all()
    site.store.psql("DELETE FROM opa_authz.record WHERE host = 'build-1' AND seq IN (8, 9, 30)")
    gaps = [(row["host"], row["first_line"], row["last_line"]) for row in site.store.query("gaps")]
    assert gaps == [("build-1", "8", "9"), ("build-1", "30", "30")]
    site.build.collector.stop()
    site.build.collector.forget()
    site.build.collector.start()
    site.wait_for_all()
    assert site.has_exactly_what_was_written()
    assert site.store.query("gaps") == []


def test_the_schema_can_be_loaded_again_and_days_that_are_too_old_go(site: Site) -> None:
    before = len(site.lines(site.build))
    site.store.load_schema()
    assert len(site.lines(site.build)) == before
    assert site.store.psql("SELECT opa_authz.forget('1 day')") == [{"forget": "1"}]
    assert len(site.lines(site.build)) == before - 3
