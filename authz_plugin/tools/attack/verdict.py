"""How an attack ended, read off what came back: who refused it, or what stands there now.

It takes nothing for a refusal that is not certainly one, and nothing for a success either: what it
cannot read, it says so of.
"""

from __future__ import annotations

import http
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from authz_plugin.errors import EndpointError
from authz_plugin.tools.attack.row import Attack, Proof
from authz_plugin.tools.docker_client import Reply, Request
from authz_plugin.tools.validation.checks import observe

Outcome = Literal["blocked", "succeeded", "open", "refused", "unclear", "not tried"]
Said = Literal["denied", "done", "declined", "unrouted", "unreadable"]

NOT_MADE: Final = frozenset[Said]({"denied", "declined", "unrouted"})
"""What is said where nothing has come of a request."""

_PLUGIN: Final = "plugin "
_OK: Final = range(200, 300)
_ELSEWHERE: Final = range(300, 400)
_DENIALS: Final = frozenset({401, 403, 405, 413, 414})
"""Statuses by which proxies refuse, where the answer is not dockerd's."""
_PAGE_DENIALS: Final = _DENIALS | {400, 404}
"""Those of an HTML page, which no dockerd sends."""
_REFUSALS: Final = frozenset({400, 403, 501})
"""dockerd's own, past its plugins, for a request that it does not understand or never does."""
_HAPROXY: Final = (
    b"Request forbidden by administrative rules",
    b"Your browser sent an invalid request",
)
_TAR_MAGIC: Final = (257, b"ustar")
_GRPC_HEAD: Final = 5
_SHOWN: Final = 200


@dataclass(frozen=True, slots=True)
class Answer:
    """What an endpoint said to a request.

    ``denied`` by the guard ``by`` and its ``rules``; ``done``; ``declined`` with an error by
    dockerd, which the request has reached; ``unrouted``, where no API operation was reached.
    ``certain`` is whether the answer has dockerd's own marks, ``status`` is that of HTTP.
    """

    said: Said
    status: int
    text: str
    by: str = ""
    rules: tuple[str, ...] = ()
    certain: bool = False

    @property
    def is_dockerds(self) -> bool:
        """Whether a dockerd is there, whatever it said."""
        return self.certain or self.by.startswith(_PLUGIN)


@dataclass(frozen=True, slots=True)
class Result:
    """How a row ended. ``proved`` is whether a success was seen to stand there, rather than
    dockerd saying what only somebody hears whom nobody stops."""

    attack: Attack
    outcome: Outcome
    detail: str
    proved: bool = False
    by: str = ""
    rules: tuple[str, ...] = ()
    status: int | None = None


def read(request: Request, reply: Reply) -> Answer:
    """Read an answer, before it is known what was asked for."""
    return _of_a_guard(request, reply) or _of_a_server(reply)


def is_absence(reply: Reply) -> bool:
    """Whether an API says that there is nothing of a name."""
    return reply.status == http.HTTPStatus.NOT_FOUND and _api_message(reply) is not None


def judge(
    attack: Attack, answer: Answer, granted: str, proof: Proof | None, shown: Reply | None
) -> Result:
    """How a row ended.

    ``granted`` and ``proof`` are those of the row, as it was aimed; ``shown`` is the answer that
    the proof asks for, or None if none came.
    """
    text, status = answer.text, answer.status
    if answer.said == "denied":
        return Result(attack, "blocked", text, by=answer.by, rules=answer.rules, status=status)
    if answer.said == "done":
        return _judge_done(attack, answer, proof, shown)
    if answer.said != "unreadable" and granted and re.search(granted, text):
        return succeeded(attack, text, status)
    if answer.said == "unrouted" or (answer.certain and _is_refusal(attack, answer)):
        return Result(attack, "refused", text, status=status)
    return Result(attack, "unclear", f"HTTP {status} {text}".strip(), status=status)


def succeeded(attack: Attack, detail: str, status: int | None, *, proved: bool = False) -> Result:
    """A success, or for a notice that the operation is open."""
    outcome: Outcome = "open" if attack.notice else "succeeded"
    return Result(attack, outcome, detail, proved, status=status)


def _of_a_guard(request: Request, reply: Reply) -> Answer | None:
    """The answer of a plugin or a proxy that refuses, or of dockerd's router."""
    seen = observe(request, reply)
    status = reply.status
    if seen.verdict == "denied":
        text = _shortened(seen.message)
        return Answer("denied", status, text, f"{_PLUGIN}{seen.plugin}", seen.rules)
    if seen.verdict == "failed":
        return Answer("unreadable", status, _shortened(reply.message))
    if seen.verdict == "absent":
        return Answer("unrouted", status, "it has no such route")
    if not _is_dockerds(reply) and (proxy := _proxy(reply)):
        return Answer("denied", status, _page_text(reply), proxy)
    return None


def _of_a_server(reply: Reply) -> Answer:
    """The answer of dockerd, or of a server that nothing is known of."""
    status, text, certain = reply.status, _shortened(reply.message), _is_dockerds(reply)
    if status in _ELSEWHERE:
        where = reply.headers.get("location", "nowhere").partition("?")[0]
        return Answer("unrouted", status, f"it redirects to {where}")
    if status == http.HTTPStatus.SWITCHING_PROTOCOLS or status in _OK:
        error = _stream_error(reply)
        said: Said = "done" if error is None else "declined"
        return Answer(said, status, _shortened(error or ""), certain=certain)
    if certain or _api_message(reply) is not None:
        return Answer("declined", status, text, certain=certain)
    if status in {http.HTTPStatus.BAD_REQUEST, http.HTTPStatus.NOT_FOUND}:
        return Answer("unrouted", status, text or f"HTTP {status}")
    return Answer("unreadable", status, text)


def _judge_done(attack: Attack, answer: Answer, proof: Proof | None, shown: Reply | None) -> Result:
    status = answer.status
    stands = None if proof is None or shown is None else _stands_there(proof, shown)
    if proof is not None and stands:
        return succeeded(attack, _seen(proof), status, proved=True)
    if proof is not None and stands is False:
        detail = f"accepted, but without effect: {proof.at} is not as asked for"
        return Result(attack, "refused", detail, status=status)
    if answer.certain:
        looked = f", and could not be looked at (HTTP {shown.status})" if shown and proof else ""
        return succeeded(attack, f"dockerd accepted it with HTTP {status}{looked}", status)
    return Result(attack, "unclear", f"HTTP {status}, not certainly dockerd's", status=status)


def _seen(proof: Proof) -> str:
    match proof.form:
        case "tar":
            return "the archive came"
        case "stream":
            return "dockerd handed the connection over"
        case "grpc":
            return "dockerd answered with a gRPC message"
        case "plain":
            return "dockerd answered it"
    return f"{proof.at} is there as asked for"


def _stands_there(proof: Proof, shown: Reply) -> bool | None:
    """Whether what an attack asked for is there; None if it cannot be told."""
    if is_absence(shown):
        return False
    if proof.form != "json":
        return _has_come(proof, shown) or None
    if shown.status not in _OK:
        return None
    try:
        found = _at(shown.json(), proof.at)
    except EndpointError:
        return None
    return found is not None if proof.value is None else _stands(found, proof.value)


def _has_come(proof: Proof, shown: Reply) -> bool:
    """Whether an answer is of the form that it should have."""
    body = shown.body
    if proof.form == "stream":
        return shown.status == http.HTTPStatus.SWITCHING_PROTOCOLS
    if proof.form == "grpc":
        return body[:1] == b"\0" and len(body) >= _GRPC_HEAD
    if proof.form == "tar":
        return body[_TAR_MAGIC[0] :].startswith(_TAR_MAGIC[1])
    return _is_dockerds(shown)


def _stands(found: Any, value: Any) -> bool:
    """Whether a value is there; of objects and lists the parts that it names."""
    if isinstance(value, Mapping):
        return isinstance(found, dict) and all(
            key in found and _stands(found[key], part) for key, part in value.items()
        )
    if isinstance(value, list) and value:
        return isinstance(found, list) and all(
            any(_stands(item, part) for item in found) for part in value
        )
    return bool(found == value)


def _at(document: Any, place: str) -> Any:
    for key in place.split("."):
        document = document.get(key) if isinstance(document, dict) else None
    return document


def _is_refusal(attack: Attack, answer: Answer) -> bool:
    return answer.status in _REFUSALS or bool(
        attack.refused and re.search(attack.refused, answer.text)
    )


def _is_dockerds(reply: Reply) -> bool:
    """Whether a handler of dockerd's answered: it says its version, and only behind its plugins.

    moby 28.5.2 ``daemon/server/middleware/version.go``. A connection that is handed over has no
    headers of the kind.
    """
    return "api-version" in reply.headers or reply.status == http.HTTPStatus.SWITCHING_PROTOCOLS


def _proxy(reply: Reply) -> str:
    """Who refused, if it was a proxy; or nothing."""
    page = "html" in reply.headers.get("content-type", "")
    if reply.status not in (_PAGE_DENIALS if page else _DENIALS):
        return ""
    if any(sentence in reply.body for sentence in _HAPROXY):
        return "HAProxy"
    server = reply.headers.get("server", "")
    return f"a proxy ({server})" if server else "a proxy"


def _page_text(reply: Reply) -> str:
    text = " ".join(re.sub(r"<[^>]*>", " ", reply.message).split())
    return f"HTTP {reply.status} {_shortened(text)}".strip()


def _api_message(reply: Reply) -> str | None:
    """The message of an error as the Docker API writes it."""
    try:
        fields = json.loads(reply.body)
    except ValueError:
        return None
    message = fields.get("message") if isinstance(fields, dict) else None
    return message if isinstance(message, str) else None


def _stream_error(reply: Reply) -> str | None:
    """The error in an answer that began well: builds and pulls tell how they went line by line."""
    last = reply.body.rstrip().rpartition(b"\n")[2]
    try:
        fields = json.loads(last)
    except ValueError:
        return None
    error = fields.get("error") if isinstance(fields, dict) else None
    return error if isinstance(error, str) else None


def _shortened(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN else f"{line[:_SHOWN]}…"
