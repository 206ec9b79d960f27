"""Run the attacks of the catalogue on one endpoint, one after another.

What an attack creates is examined and removed before the next attack. No container is started.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from authz_plugin.errors import EndpointError
from authz_plugin.tools.attack.configured import Configured
from authz_plugin.tools.attack.created_objects import CreatedObjects
from authz_plugin.tools.attack.execution import execute, request_of
from authz_plugin.tools.attack.model import CatalogueAttack, DockerObject
from authz_plugin.tools.attack.preparation import Preparation
from authz_plugin.tools.attack.rendering import fill
from authz_plugin.tools.attack.verdict import (
    NOT_CREATED,
    Result,
    got_through,
    has_effect,
    opened,
    success,
)
from authz_plugin.tools.docker_client import Endpoint
from authz_plugin.tools.sandbox import Judgement


class Campaign:
    """The attacks to run on one endpoint.

    ``image`` is the image to create containers of and ``folder`` a folder that may be mounted; for
    None, the campaign looks for one. ``configured`` is the configuration in force, or None: then
    everything that has an effect has succeeded. ``progress`` is called before each attack with the
    number of attacks that are done and with their total; it may raise an exception to end the
    campaign.

    After ``run``, ``preparation`` tells what the attacks used and ``created_objects`` which objects
    could not be removed.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        attacks: Sequence[CatalogueAttack],
        *,
        image: str | None = None,
        folder: Path | None = None,
        configured: Configured | None = None,
        progress: Callable[[int, int], None],
    ) -> None:
        self._endpoint = endpoint
        self._attacks = attacks
        self._configured = configured
        self._progress = progress
        self.created_objects = CreatedObjects(endpoint)
        self.preparation = Preparation(endpoint, self.created_objects, image, folder)

    def run(self) -> list[Result[CatalogueAttack]]:
        """Run every attack and remove what they created.

        Raises ``EndpointError`` if the endpoint does not answer before the first attack.
        """
        results: list[Result[CatalogueAttack]] = []
        try:
            self.preparation.prepare()
            for attack in self._attacks:
                self._progress(len(results), len(self._attacks))
                results.append(self._run(attack))
        finally:
            self.preparation.clean_up()
        return results

    def _run(self, attack: CatalogueAttack) -> Result[CatalogueAttack]:
        if missing := self.preparation.missing_for(attack):
            return Result(attack, "not tried", missing)
        try:
            return self._execute(attack)
        except EndpointError as error:  # objects it may have created are removed at the end
            return Result(attack, "unclear", str(error))

    def _execute(self, attack: CatalogueAttack) -> Result[CatalogueAttack]:
        context = self.preparation.context_for(attack)
        created = [
            DockerObject(object_.kind, fill(object_.name, context.placeholders))
            for object_ in attack.creates
        ]
        fresh = self.preparation.create_fresh_container(context) if attack.fresh_container else []
        # Decided before the attack changes what the policy looks at.
        expected = (
            None
            if self._configured is None
            else self._configured.judge(request_of(attack, context))
        )
        self.created_objects.add(created)
        execution = execute(self._endpoint, attack, context)
        answer = execution.answer
        self.preparation.dockerd_seen |= answer.from_dockerd
        removed = self.created_objects.remove(created)
        self.created_objects.remove(fresh)
        if answer.kind in NOT_CREATED:
            self.created_objects.discard(created)
            if "removed" in removed.values():
                detail = f"carried out, and refused too late: {answer.text}"
                result = success(attack, detail, answer.status, proved=True)
                return self._compared(result, expected)
        return self._compared(execution.result, expected)

    def _compared(
        self, result: Result[CatalogueAttack], expected: Judgement | None
    ) -> Result[CatalogueAttack]:
        """Return a result after a comparison with what the configuration says of the request."""
        if self._configured is None or expected is None or not has_effect(result):
            return result
        if expected.allow:
            return opened(result, self._configured.opening_keys(expected))
        return got_through(result, tuple(sorted({d.rule for d in expected.record.denials})))
