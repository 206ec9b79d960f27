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
    template = attack.request
    if attack.grpc:
        request = Request(template.method, template.target)
        reply = grpc_call.call(endpoint, template.target)
    else:
        request = render(template, context)
        reply = send(endpoint, template, request)
    answer = read_answer(request, reply)
    proof = None if attack.proof is None else render_proof(attack.proof, context)
    path = proof.path if proof is not None and answer.kind == "done" else ""
    evidence = _get(endpoint, path) if path else reply
    return Execution(answer, judge(attack, answer, context.success_errors, proof, evidence))


def _get(endpoint: Endpoint, target: str) -> Reply | None:
    try:
        return exchange(endpoint, Request("GET", target))
    except EndpointError:
        return None
