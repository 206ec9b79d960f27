"""Judge an attack by the answer to it: who refused it, or which effect it had.

Only an answer that is certainly a refusal counts as one, and only proven effects or known errors
of dockerd's count as success. Every other answer is ``unclear``.
"""

from __future__ import annotations

import http
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Generic, Literal, TypeVar

from authz_plugin.errors import EndpointError
from authz_plugin.tools.attack.model import Attack, Proof
from authz_plugin.tools.docker_client import Reply, Request
from authz_plugin.tools.validation.checks import observe

Outcome = Literal["blocked", "succeeded", "open", "refused", "unclear", "not tried"]
AnswerKind = Literal["denied", "done", "declined", "unrouted", "unreadable"]

NOT_CREATED: Final = frozenset[AnswerKind]({"denied", "declined", "unrouted"})
"""Answers after which nothing was created."""

_PLUGIN: Final = "plugin "
_SUCCESS: Final = range(200, 300)
_REDIRECTION: Final = range(300, 400)
_PROXY_DENIALS: Final = frozenset({401, 403, 405, 413, 414})
"""Statuses of refusals by proxies, if the answer is not dockerd's."""
_PAGE_DENIALS: Final = _PROXY_DENIALS | {400, 404}
"""The same for HTML pages, which dockerd never sends."""
_ENGINE_REFUSALS: Final = frozenset({400, 403, 501})
"""Statuses by which dockerd itself rejects a request after it has asked its plugins."""
_HAPROXY_PAGES: Final = (
    b"Request forbidden by administrative rules",
    b"Your browser sent an invalid request",
)
_TAR_MAGIC_OFFSET: Final = 257
_TAR_MAGIC: Final = b"ustar"
_GRPC_PREFIX_LENGTH: Final = 5
_TEXT_LIMIT: Final = 200

AttackT = TypeVar("AttackT", bound=Attack)


@dataclass(frozen=True, slots=True)
class Answer:
    """An endpoint's answer to a request.

    ``kind`` is one of:

    - ``denied``: refused by ``guard`` (``plugin NAME``, ``HAProxy``, ``a proxy``), by its
      ``rules`` where it names them;
    - ``done``: executed;
    - ``declined``: an error of dockerd's, so the request has reached it;
    - ``unrouted``: no operation of the API was reached;
    - ``unreadable``: none of these for certain.

    ``status`` is the HTTP status, ``text`` the message in one line. ``identified`` says that
    headers of the answer identify it as dockerd's.
    """

    kind: AnswerKind
    status: int
    text: str
    guard: str = ""
    rules: tuple[str, ...] = ()
    identified: bool = False

    @property
    def from_dockerd(self) -> bool:
        """Whether a dockerd has answered, by itself or for one of its plugins."""
        return self.identified or self.guard.startswith(_PLUGIN)


@dataclass(frozen=True, slots=True)
class Result(Generic[AttackT]):
    """The result of one attack.

    ``proved`` says that the proof of the attack was found; a success without it follows from
    dockerd's answer alone. ``guard`` and ``rules`` are those that blocked the attack.

    Compared with a configuration, an attack that dockerd has executed was ``opened_by`` keys of the
    configuration, or the configuration has it ``denied_by`` rules.
    """

    attack: AttackT
    outcome: Outcome
    detail: str
    proved: bool = False
    guard: str = ""
    rules: tuple[str, ...] = ()
    status: int | None = None
    opened_by: tuple[str, ...] = ()
    denied_by: tuple[str, ...] = ()


def read_answer(request: Request, reply: Reply) -> Answer:
    """Classify an answer, whatever the purpose of the request."""
    return _read_refusal(request, reply) or _read_server_answer(reply)


def is_not_found(reply: Reply) -> bool:
    """Return whether an answer is the Docker API's error that an object does not exist."""
    return reply.status == http.HTTPStatus.NOT_FOUND and _api_message(reply) is not None


def judge(
    attack: AttackT,
    answer: Answer,
    success_errors: str,
    proof: Proof | None,
    evidence: Reply | None,
) -> Result[AttackT]:
    """Judge an attack by the answer to it.

    ``success_errors`` and ``proof`` are the attack's own as its context renders them. ``evidence``
    is the answer that the proof describes, or None if there was none.
    """
    text, status = answer.text, answer.status
    if answer.kind == "denied":
        return Result(
            attack, "blocked", text, guard=answer.guard, rules=answer.rules, status=status
        )
    if answer.kind == "done":
        return _judge_done(attack, answer, proof, evidence)
    if answer.kind != "unreadable" and success_errors and re.search(success_errors, text):
        return success(attack, text, status)
    if answer.kind == "unrouted" or (answer.identified and _is_engine_refusal(attack, answer)):
        return Result(attack, "refused", text, status=status)
    return Result(attack, "unclear", f"HTTP {status} {text}".strip(), status=status)


def success(
    attack: AttackT, detail: str, status: int | None, *, proved: bool = False
) -> Result[AttackT]:
    """Return the result of an attack that succeeded: for an informational one, ``open``."""
    outcome: Outcome = "open" if attack.informational else "succeeded"
    return Result(attack, outcome, detail, proved, status=status)


def has_effect(result: Result[Any]) -> bool:
    """Return whether dockerd has executed an attack, or would have."""
    return result.outcome in {"succeeded", "open"}


def opened(result: Result[AttackT], keys: tuple[str, ...]) -> Result[AttackT]:
    """Return the result of an attack with an effect that keys of the configuration open."""
    return replace(result, outcome="open", opened_by=keys)


def got_through(result: Result[AttackT], rules: tuple[str, ...]) -> Result[AttackT]:
    """Return the result of an attack with an effect that the configuration denies by rules."""
    return replace(result, outcome="succeeded", denied_by=rules)


def _read_refusal(request: Request, reply: Reply) -> Answer | None:
    """Read an answer of a plugin, of a proxy that refuses, or of dockerd's router."""
    observation = observe(request, reply)
    status = reply.status
    if observation.verdict == "denied":
        text = _shortened(observation.message)
        return Answer("denied", status, text, f"{_PLUGIN}{observation.plugin}", observation.rules)
    if observation.verdict == "failed":
        return Answer("unreadable", status, _shortened(reply.message))
    if observation.verdict == "absent":
        return Answer("unrouted", status, "it has no such route")
    if not _is_from_dockerd(reply) and (proxy := _refusing_proxy(reply)):
        return Answer("denied", status, _page_text(reply), proxy)
    return None


def _read_server_answer(reply: Reply) -> Answer:
    """Read an answer of dockerd, or of an unknown server."""
    status, text, identified = reply.status, _shortened(reply.message), _is_from_dockerd(reply)
    if status in _REDIRECTION:
        location = reply.headers.get("location", "nowhere").partition("?")[0]
        return Answer("unrouted", status, f"it redirects to {location}")
    if status == http.HTTPStatus.SWITCHING_PROTOCOLS or status in _SUCCESS:
        error = _stream_error(reply)
        kind: AnswerKind = "done" if error is None else "declined"
        return Answer(kind, status, _shortened(error or ""), identified=identified)
    if identified or _api_message(reply) is not None:
        return Answer("declined", status, text, identified=identified)
    if status in {http.HTTPStatus.BAD_REQUEST, http.HTTPStatus.NOT_FOUND}:
        return Answer("unrouted", status, text or f"HTTP {status}")
    return Answer("unreadable", status, text)


def _judge_done(
    attack: AttackT, answer: Answer, proof: Proof | None, evidence: Reply | None
) -> Result[AttackT]:
    status = answer.status
    proved = None if proof is None or evidence is None else _is_proved(proof, evidence)
    if proof is not None and proved:
        return success(attack, _proof_text(proof), status, proved=True)
    if proof is not None and proved is False:
        detail = f"accepted, but without effect: {proof.at} is not as asked for"
        return Result(attack, "refused", detail, status=status)
    if answer.identified:
        detail = f"dockerd accepted it with HTTP {status}"
        if proof is not None and evidence is not None:
            detail += f", and could not be looked at (HTTP {evidence.status})"
        return success(attack, detail, status)
    return Result(attack, "unclear", f"HTTP {status}, not certainly dockerd's", status=status)


def _proof_text(proof: Proof) -> str:
    match proof.form:
        case "tar":
            return "the archive came"
        case "stream":
            return "dockerd handed the connection over"
        case "grpc":
            return "dockerd answered with a gRPC message"
        case "plain":
            return "dockerd answered it"
        case "absent":
            return "the object is gone"
    return f"{proof.at} is there as asked for"


def _is_proved(proof: Proof, evidence: Reply) -> bool | None:
    """Return whether an answer is what a proof describes; None if that cannot be told."""
    if is_not_found(evidence):
        return proof.form == "absent"
    readable = evidence.status in _SUCCESS
    match proof.form:
        case "absent":
            return False if readable else None
        case "json":
            return _has_value(proof, evidence) if readable else None
    return _has_form(proof, evidence) or None


def _has_value(proof: Proof, evidence: Reply) -> bool | None:
    """Return whether an answer has a proof's value; None if it is no JSON."""
    try:
        found = _value_at(evidence.json(), proof.at)
    except EndpointError:
        return None
    if proof.value is None:
        return found is not None
    return bool(found == proof.value) if proof.exact else _contains(found, proof.value)


def _has_form(proof: Proof, evidence: Reply) -> bool:
    """Return whether an answer has the form of a proof other than JSON."""
    body = evidence.body
    if proof.form == "stream":
        return evidence.status == http.HTTPStatus.SWITCHING_PROTOCOLS
    if proof.form == "grpc":
        return body[:1] == b"\0" and len(body) >= _GRPC_PREFIX_LENGTH
    if proof.form == "tar":
        return body[_TAR_MAGIC_OFFSET:].startswith(_TAR_MAGIC)
    return _is_from_dockerd(evidence)


def _contains(found: Any, value: Any) -> bool:
    """Return whether a JSON value is another one, or an object or a list with the parts of it."""
    if isinstance(value, Mapping):
        return isinstance(found, dict) and all(
            key in found and _contains(found[key], part) for key, part in value.items()
        )
    if isinstance(value, list) and value:
        return isinstance(found, list) and all(
            any(_contains(item, part) for item in found) for part in value
        )
    return bool(found == value)


def _value_at(document: Any, path: str) -> Any:
    """Return the value at a path such as ``HostConfig.Binds.0``, or None if there is none.

    Keys may contain dots themselves. The empty path is the document.
    """
    if not path:
        return document
    if isinstance(document, list):
        index, _, rest = path.partition(".")
        return _value_at(document[int(index)], rest) if int(index) < len(document) else None
    if isinstance(document, dict):
        for key, value in document.items():
            if path == key or path.startswith(f"{key}."):
                return _value_at(value, path[len(key) + 1 :])
    return None


def _is_engine_refusal(attack: Attack, answer: Answer) -> bool:
    return answer.status in _ENGINE_REFUSALS or bool(
        attack.refusal_errors and re.search(attack.refusal_errors, answer.text)
    )


def _is_from_dockerd(reply: Reply) -> bool:
    """Return whether headers identify an answer as one of a handler of dockerd's.

    dockerd adds ``Api-Version`` to every answer after it has asked its plugins (moby 28.5.2,
    ``daemon/server/middleware/version.go``), except where it switches protocols.
    """
    return "api-version" in reply.headers or reply.status == http.HTTPStatus.SWITCHING_PROTOCOLS


def _refusing_proxy(reply: Reply) -> str:
    """Return the name of the proxy that refused a request, or an empty text."""
    page = "html" in reply.headers.get("content-type", "")
    if reply.status not in (_PAGE_DENIALS if page else _PROXY_DENIALS):
        return ""
    if any(sentence in reply.body for sentence in _HAPROXY_PAGES):
        return "HAProxy"
    server = reply.headers.get("server", "")
    return f"a proxy ({server})" if server else "a proxy"


def _page_text(reply: Reply) -> str:
    text = " ".join(re.sub(r"<[^>]*>", " ", reply.message).split())
    return f"HTTP {reply.status} {_shortened(text)}".strip()


def _api_message(reply: Reply) -> str | None:
    """Return the message of an error in the Docker API's JSON, or None."""
    try:
        fields = json.loads(reply.body)
    except ValueError:
        return None
    message = fields.get("message") if isinstance(fields, dict) else None
    return message if isinstance(message, str) else None


def _stream_error(reply: Reply) -> str | None:
    """Return the error on the last line of a progress stream (builds, pulls, pushes), or None.

    The status of such an answer is 200 even if the operation failed.
    """
    last = reply.body.rstrip().rpartition(b"\n")[2]
    try:
        fields = json.loads(last)
    except ValueError:
        return None
    error = fields.get("error") if isinstance(fields, dict) else None
    return error if isinstance(error, str) else None


def _shortened(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _TEXT_LIMIT else f"{line[:_TEXT_LIMIT]}…"
