"""A campaign: the rows of the catalogue tried on one endpoint, one after the other.

Nothing is started: what an attack makes is looked at and removed again before the next one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from authz_plugin.errors import EndpointError
from authz_plugin.tools.attack import native
from authz_plugin.tools.attack.row import Attack, Proof, Thing
from authz_plugin.tools.attack.staging import Aim, Staging, fill, filled, render
from authz_plugin.tools.attack.traces import Traces
from authz_plugin.tools.attack.verdict import NOT_MADE, Answer, Result, judge, read, succeeded
from authz_plugin.tools.docker_client import Endpoint, Reply, Request, exchange, exchange_bytes


class Campaign:
    """The rows for one endpoint; ``staging`` and ``traces`` tell afterwards what they stood on and
    what is left of them.

    ``image`` is one to make containers of and ``folder`` one that may be mounted, where they are
    not to be found out. ``progress`` is told how many rows are done, of how many, and may raise to
    end it.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        attacks: Sequence[Attack],
        *,
        image: str | None = None,
        folder: Path | None = None,
        progress: Callable[[int, int], None],
    ) -> None:
        self._endpoint = endpoint
        self._attacks = attacks
        self._progress = progress
        self.traces = Traces(endpoint)
        self.staging = Staging(endpoint, self.traces, image, folder)

    def run(self) -> list[Result]:
        """Try every row, and remove everything; raises ``EndpointError`` if nobody answers."""
        results: list[Result] = []
        try:
            self.staging.prepare()
            for attack in self._attacks:
                self._progress(len(results), len(self._attacks))
                results.append(self._try(attack))
        finally:
            self.staging.clear()
        return results

    def _try(self, attack: Attack) -> Result:
        if lacking := self.staging.lacks(attack):
            return Result(attack, "not tried", lacking)
        try:
            return self._carry_out(attack)
        except EndpointError as error:  # what may have been made is noted, and removed at the end
            return Result(attack, "unclear", str(error))

    def _carry_out(self, attack: Attack) -> Result:
        aim = self.staging.aim(attack)
        made = [Thing(thing.kind, fill(thing.name, aim.words)) for thing in attack.makes]
        fresh = self.staging.make_fresh(aim) if attack.fresh else []
        self.traces.expect(made)
        answer, reply = self._send(attack, aim)
        proof = _filled(attack.proof, aim.words)
        shown = self._look(proof) if proof is not None and proof.path else reply
        result = judge(attack, answer, aim.granted, proof, shown)
        removed = self.traces.remove(made)
        self.traces.remove(fresh)
        if answer.said in NOT_MADE:
            self.traces.forget(made)
            if "removed" in removed.values():
                detail = f"carried out, and refused too late: {answer.text}"
                return succeeded(attack, detail, answer.status, proved=True)
        return result

    def _send(self, attack: Attack, aim: Aim) -> tuple[Answer, Reply]:
        if attack.native:
            request = Request(attack.message.method, attack.message.target)
            reply = native.call(self._endpoint, attack.message.target)
        else:
            request = render(attack.message, aim)
            reply = exchange_bytes(self._endpoint, _wire(request), request.method)
        answer = read(request, reply)
        self.staging.reached |= answer.is_dockerds
        return answer, reply

    def _look(self, proof: Proof) -> Reply | None:
        try:
            return exchange(self._endpoint, Request("GET", proof.path))
        except EndpointError:
            return None


def _wire(request: Request) -> bytes:
    """The bytes of a request; a connection that is to be handed over says so."""
    wire = request.to_bytes()
    if not any(name == "Upgrade" for name, _ in request.headers):
        return wire
    return wire.replace(b"\r\nConnection: close", b"\r\nConnection: Upgrade, close", 1)


def _filled(proof: Proof | None, values: Mapping[str, str]) -> Proof | None:
    if proof is None:
        return None
    return replace(proof, path=fill(proof.path, values), value=filled(proof.value, values))
