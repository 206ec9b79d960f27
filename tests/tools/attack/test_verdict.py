"""What answers mean: a refusal is told from an error, and neither is made up."""

from __future__ import annotations

import json
from typing import Any

import pytest

from authz_plugin.tools.attack.catalogue import select
from authz_plugin.tools.attack.model import CatalogueAttack, Proof
from authz_plugin.tools.attack.verdict import Answer, judge, read_answer
from authz_plugin.tools.docker_client import Reply, Request

POST = Request("POST", "/containers/create")
DOCKERD = {"api-version": "1.51", "server": "Docker/28.5.2 (linux)"}
HTML = {"content-type": "text/html"}
TEXT = {"content-type": "text/plain; charset=utf-8"}

DENIED = (
    b'{"message":"authorization denied by plugin opa-authz: container.create: 2 rules deny this\\n'
    b"- no [privileged.container HostConfig.Privileged]\\n- no [mounts.source HostConfig.Binds[0]]"
    b'\\n (decision 0123456789abcdef)"}'
)
HAPROXY = (
    b"<html><body><h1>403 Forbidden</h1>\nRequest forbidden by administrative rules.\n"
    b"</body></html>\n"
)


def error(message: str) -> bytes:
    return json.dumps({"message": message}).encode()


def reply(status: int, headers: dict[str, str], body: bytes = b"") -> Reply:
    return Reply(status, headers, body)


@pytest.mark.parametrize(
    ("what", "answer", "said", "by", "rules"),
    [
        ("a plugin of ours", reply(403, {}, DENIED), "denied", "plugin opa-authz",
         ("privileged.container", "mounts.source")),
        ("another plugin", reply(403, {}, error("authorization denied by plugin hbm: no")),
         "denied", "plugin hbm", ()),
        ("HAProxy", reply(403, HTML, HAPROXY), "denied", "HAProxy", ()),
        ("wollomatic: path", reply(403, TEXT, b"Forbidden\n"), "denied", "a proxy", ()),
        ("wollomatic: method", reply(405, TEXT, b"Method Not Allowed\n"), "denied", "a proxy", ()),
        ("a proxy that writes JSON", reply(403, {}, error("request denied by sockguard policy")),
         "denied", "a proxy", ()),
        ("a proxy that says nothing", reply(403, {}), "denied", "a proxy", ()),
        ("nginx", reply(404, {**HTML, "server": "nginx"}, b"<html>404</html>"), "denied",
         "a proxy (nginx)", ()),
        ("a limit of nginx", reply(413, {**HTML, "server": "nginx"}, b"<html></html>"), "denied",
         "a proxy (nginx)", ()),
        ("HAProxy, which does not understand", reply(400, HTML, b"<html>Bad request</html>"),
         "denied", "a proxy", ()),
        ("HAProxy without its dockerd", reply(503, HTML, b"<html>No server</html>"),
         "unreadable", "", ()),
        ("HAProxy out of patience", reply(504, HTML, b"<html>Time-out</html>"), "unreadable", "",
         ()),
        ("too many requests", reply(429, HTML, b"<html></html>"), "unreadable", "", ()),
        ("a plugin that is down",
         reply(500, {}, error("plugin opa-authz failed with error: dial unix")), "unreadable", "",
         ()),
        ("no route", reply(404, {}, error("page not found")), "unrouted", "", ()),
        ("the clean path", reply(301, {"location": "/info"}), "unrouted", "", ()),
        ("Go's HTTP server", reply(400, TEXT, b"400 Bad Request: malformed"), "unrouted", "", ()),
        ("done", reply(201, DOCKERD, b'{"Id":"x"}'), "done", "", ()),
        ("handed over", reply(101, {}), "done", "", ()),
        ("a build that ends well", reply(200, DOCKERD, b'{"stream":"x"}\r\n{"aux":{}}\r\n'),
         "done", "", ()),
        ("a build that does not", reply(200, DOCKERD, b'{"stream":"x"}\r\n{"error":"no"}\r\n'),
         "declined", "", ()),
        ("dockerd's own 403", reply(403, DOCKERD, error("not on a predefined network")),
         "declined", "", ()),
        ("dockerd's own 400", reply(400, DOCKERD, error("invalid mount")), "declined", "", ()),
        ("dockerd's error by way of a proxy that drops headers",
         reply(404, {}, error("No such image: x")), "declined", "", ()),
        ("a page for people", reply(200, HTML, b"<html>log in</html>"), "done", "", ()),
        ("garbage", reply(599, {}, b"\xff\x00"), "unreadable", "", ()),
    ],
)  # fmt: skip
def test_who_said_what(
    what: str, answer: Reply, said: str, by: str, rules: tuple[str, ...]
) -> None:
    seen = read_answer(POST, answer)
    assert (seen.kind, seen.guard, seen.rules) == (said, by, rules)
    marked = answer.headers == DOCKERD or answer.status == 101
    assert seen.identified == (marked and said in {"done", "declined"})
    assert seen.from_dockerd == (seen.identified or by.startswith("plugin "))


def row(id_: str) -> CatalogueAttack:
    (found,) = select([id_])
    return found


PRIVILEGED = row("scenario.privileged")
GRANTED = PRIVILEGED.success_errors
INSPECT = PRIVILEGED.proof


def inspected(privileged: Any) -> Reply:
    return reply(200, DOCKERD, json.dumps({"HostConfig": {"Privileged": privileged}}).encode())


CREATED = reply(201, DOCKERD, b'{"Id":"x"}')


@pytest.mark.parametrize(
    ("what", "answer", "shown", "outcome", "proved"),
    [
        ("it stands there", CREATED, inspected(privileged=True), "succeeded", True),
        ("it does not", CREATED, inspected(privileged=False), "refused", False),
        ("nothing is there", CREATED, reply(404, DOCKERD, error("No such container: x")),
         "refused", False),
        ("nobody may look", CREATED, reply(403, HTML, HAPROXY), "succeeded", False),
        ("nobody answers the look", CREATED, None, "succeeded", False),
        ("the look is no JSON", CREATED, reply(200, HTML, b"<html>"), "succeeded", False),
        ("a yes that is not dockerd's", reply(200, HTML, b"<html>"), reply(200, HTML, b"<html>"),
         "unclear", False),
        ("a yes that is not dockerd's, and it stands there", reply(201, {}, b"{}"),
         inspected(privileged=True), "succeeded", True),
        ("denied", reply(403, {}, DENIED), None, "blocked", False),
        ("a proxy", reply(403, HTML, HAPROXY), None, "blocked", False),
        ("no such image", reply(404, DOCKERD, error("No such image: x:none")), None, "succeeded",
         False),
        ("no such image, headers dropped", reply(404, {}, error("No such image: x:none")), None,
         "succeeded", False),
        ("no such image, as text", reply(404, TEXT, b"No such image: x:none\n"), None,
         "succeeded", False),
        ("the engine's 400", reply(400, DOCKERD, error("invalid")), None, "refused", False),
        ("a 400 of nobody", reply(400, {}, error("invalid")), None, "unclear", False),
        ("the engine has other troubles", reply(500, DOCKERD, error("no space left on device")),
         None, "unclear", False),
        ("a name that is taken", reply(409, DOCKERD, error("Conflict")), None, "unclear", False),
        ("a bad gateway", reply(502, HTML, b"<html>"), None, "unclear", False),
        ("a dead plugin", reply(500, {}, error("plugin x failed with error: y")), None, "unclear",
         False),
    ],
)  # fmt: skip
def test_how_an_attack_ended(
    what: str, answer: Reply, shown: Reply | None, outcome: str, proved: bool
) -> None:
    result = judge(PRIVILEGED, read_answer(POST, answer), GRANTED, INSPECT, shown)
    assert (result.outcome, result.proved) == (outcome, proved)


@pytest.mark.parametrize(
    ("found", "value", "stands"),
    [
        (["ALL", "SYS_ADMIN"], ["SYS_ADMIN"], True),
        (["ALL"], ["SYS_ADMIN"], False),
        (None, ["SYS_ADMIN"], False),
        ([], [], True),
        (["/proc/kcore"], [], False),
        (None, [], False),
        ([{"Source": "/", "Target": "/h", "Type": "bind"}], [{"Source": "/"}], True),
        ([{"Source": "/etc"}], [{"Source": "/"}], False),
        ({"a": "1", "b": "2"}, {"a": "1"}, True),
        ({"a": "1"}, {"a": "1", "b": "2"}, False),
        ("container:abc", "container:abc", True),
        ("anything", None, True),
        (None, None, False),
    ],
)
def test_what_stands_there_is_what_was_asked_for(found: Any, value: Any, stands: bool) -> None:
    proof = Proof("/x", "HostConfig.Field", value)
    shown = reply(200, DOCKERD, json.dumps({"HostConfig": {"Field": found}}).encode())
    result = judge(PRIVILEGED, read_answer(POST, CREATED), GRANTED, proof, shown)
    assert result.outcome == ("succeeded" if stands else "refused")


TAR = bytes(257) + b"ustar"


@pytest.mark.parametrize(
    ("form", "answer", "outcome", "proved"),
    [
        ("tar", reply(200, DOCKERD, TAR), "succeeded", True),
        ("tar", reply(200, HTML, b"<html>log in</html>"), "unclear", False),
        ("grpc", reply(200, {}, b"\x00\x00\x00\x00\x02ok"), "succeeded", True),
        ("grpc", reply(200, {}, b""), "unclear", False),
        ("grpc", reply(200, {}, b"<html>"), "unclear", False),
        ("stream", reply(101, {}), "succeeded", True),
        ("stream", reply(200, HTML, b"<html>"), "unclear", False),
        ("plain", reply(200, DOCKERD), "succeeded", True),
        ("plain", reply(200, HTML, b"<html>"), "unclear", False),
    ],
)
def test_an_answer_proves_itself_by_its_form(
    form: Any, answer: Reply, outcome: str, proved: bool
) -> None:
    result = judge(PRIVILEGED, read_answer(POST, answer), GRANTED, Proof(form=form), answer)
    assert (result.outcome, result.proved) == (outcome, proved)


@pytest.mark.parametrize(
    ("at", "value", "proved"),
    [
        ("HostConfig.CapAdd", ["KILL"], True),
        ("HostConfig.CapAdd", ["kill"], False),
        ("HostConfig.Options", {"a": "1"}, False),
        ("HostConfig.Options", {"a": "1", "b.c": "2"}, True),
        ("HostConfig.Options.b.c", "2", True),
        ("HostConfig.Mounts.0.Type", "bind", True),
        ("HostConfig.Mounts.1.Type", None, False),
        ("HostConfig.Mounts.1", {"Type": "bind"}, False),
        ("HostConfig.Nothing.Type", None, False),
        ("", None, True),
    ],
)
def test_an_exact_proof_has_the_whole_value_at_its_path(at: str, value: Any, proved: bool) -> None:
    host = {
        "CapAdd": ["KILL"],
        "Options": {"a": "1", "b.c": "2"},
        "Mounts": [{"Type": "bind", "Source": "/"}],
    }
    shown = reply(200, DOCKERD, json.dumps({"HostConfig": host}).encode())
    proof = Proof("/x", at, value, exact=True)
    result = judge(PRIVILEGED, read_answer(POST, CREATED), GRANTED, proof, shown)
    assert (result.outcome, result.proved) == (("succeeded" if proved else "refused"), proved)


@pytest.mark.parametrize(
    ("shown", "outcome", "proved"),
    [
        (reply(404, DOCKERD, error("No such image: x")), "succeeded", True),
        (reply(200, DOCKERD, b"{}"), "refused", False),
        (reply(500, DOCKERD, error("no")), "succeeded", False),
        (None, "succeeded", False),
    ],
)
def test_a_removal_is_proved_by_the_absence_of_the_object(
    shown: Reply | None, outcome: str, proved: bool
) -> None:
    proof = Proof("/images/x/json", form="absent")
    removed = read_answer(Request("DELETE", "/images/x"), reply(200, DOCKERD, b"[]"))
    result = judge(PRIVILEGED, removed, "", proof, shown)
    assert (result.outcome, result.proved) == (outcome, proved)


def test_a_known_refusal_is_told_from_other_troubles() -> None:
    mark = row("json.mark")
    for message, outcome in (("invalid character", "refused"), ("no space left", "unclear")):
        answer = read_answer(POST, reply(500, DOCKERD, error(message)))
        assert judge(mark, answer, mark.success_errors, mark.proof, None).outcome == outcome


def test_an_ordinary_operation_that_is_open_is_no_success() -> None:
    logs = row("read.logs")
    answer = reply(200, DOCKERD)
    seen = read_answer(Request("GET", "/"), answer)
    assert judge(logs, seen, logs.success_errors, logs.proof, answer).outcome == "open"


def test_what_dockerd_says_is_one_short_line() -> None:
    long = Answer("declined", 500, "", identified=True)
    assert judge(PRIVILEGED, long, GRANTED, INSPECT, None).detail == "HTTP 500"
    seen = read_answer(POST, reply(400, DOCKERD, error("two\nlines " * 100)))
    assert "\n" not in seen.text
    assert len(seen.text) <= 201
