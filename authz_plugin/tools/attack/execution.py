"""Send one attack, look for its effect and judge the result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from authz_plugin.errors import EndpointError
from authz_plugin.tools import grpc_call
from authz_plugin.tools.attack.model import Attack
from authz_plugin.tools.attack.rendering import AttackContext, render, render_proof
from authz_plugin.tools.attack.sending import send
from authz_plugin.tools.attack.verdict import Answer, Result, judge, read_answer
from authz_plugin.tools.docker_client import Endpoint, Reply, Request, exchange

AttackT = TypeVar("AttackT", bound=Attack)


@dataclass(frozen=True, slots=True)
class Execution(Generic[AttackT]):
    """An attack that was sent: the answer to it, and the result."""

    answer: Answer
    result: Result[AttackT]


def execute(endpoint: Endpoint, attack: AttackT, context: AttackContext) -> Execution[AttackT]:
    """Send an attack and judge it; raises ``EndpointError`` if the endpoint gives no answer."""
    request = request_of(attack, context)
    if attack.grpc:
        reply = grpc_call.call(endpoint, request.target)
    else:
        reply = send(endpoint, attack.request, request)
    answer = read_answer(request, reply)
    proof = None if attack.proof is None else render_proof(attack.proof, context)
    path = proof.path if proof is not None and answer.kind == "done" else ""
    evidence = _get(endpoint, path) if path else reply
    return Execution(answer, judge(attack, answer, context.success_errors, proof, evidence))


def request_of(attack: Attack, context: AttackContext) -> Request:
    """Return the request of an attack, as a plugin would be asked about it."""
    if attack.grpc:
        return Request(attack.request.method, attack.request.target)
    return render(attack.request, context)


def _get(endpoint: Endpoint, target: str) -> Reply | None:
    try:
        return exchange(endpoint, Request("GET", target))
    except EndpointError:
        return None
