"""Carries out a validation: sends every attempt to the daemon and evaluates the replies."""

from __future__ import annotations

import http
import re
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from authz_plugin.dockerd.routes import OPERATIONS
from authz_plugin.errors import EndpointError
from authz_plugin.tools.authz_message import Client, authz_message
from authz_plugin.tools.docker_client import Endpoint, Reply, Request, exchange
from authz_plugin.tools.sandbox import Judgement, Sandbox
from authz_plugin.tools.validation import expected_policy
from authz_plugin.tools.validation.attempts import Attempt, AttemptFactory
from authz_plugin.tools.validation.boundaries import boundaries, container
from authz_plugin.tools.validation.checks import (
    GROUPS,
    ExecutedAttempt,
    Group,
    Observation,
    Result,
    evaluate,
    observe,
    ping,
)
from authz_plugin.tools.validation.limits import limits
from authz_plugin.tools.validation.probes import PROBES

_TIMEOUT: Final = 60.0
_DECISION: Final = re.compile(r"\(decision [0-9a-f]{16}\)")
_SOCKETS: Final = ("/var/run/docker.sock", "/run/docker.sock")


class Validation:
    """The validation of one daemon against one policy.

    ``client`` is the identity of this program at the daemon. ``image`` is the reference of an image
    that the policy allows, if it cannot be derived from the configuration. ``progress`` is called
    with the numbers of finished attempts and of all attempts.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        sandbox: Sandbox,
        client: Client,
        *,
        image: str | None = None,
        progress: Callable[[int, int], None],
    ) -> None:
        self._endpoint = endpoint
        self._sandbox = sandbox
        self._client = client
        self._progress = progress
        document = self._judge(PROBES["system.ping"]).document
        self.config = sandbox.config if document is None else sandbox.config_for(document)
        self._base = self._allowed_container(image)
        self.engine = "unknown"

    def run(self) -> list[Result]:
        """Carry out all checks; raises ``EndpointError`` as ``ping``."""
        self.engine = ping(self._endpoint).headers.get("server", "unknown")
        executed = list(self._execute(self._attempts()))
        results = [
            *self._prerequisites(executed),
            *map(evaluate, executed),
            self._create_container_check(),
            *self._settings(executed),
        ]
        return sorted(results, key=lambda result: GROUPS.index(result.group))

    def _observe(self, request: Request) -> Observation:
        try:
            return observe(request, exchange(self._endpoint, request, _TIMEOUT))
        except EndpointError as error:
            return Observation("failed", "", (), str(error))

    def _judge(self, request: Request) -> Judgement:
        return self._sandbox.judge(authz_message(request, self._client))

    def _allowed_container(self, image: str | None) -> dict[str, Any]:
        """Return a minimal container if it is allowed, else one that meets all requirements."""
        compliant = container(self.config, image)
        minimal = {"Image": compliant["Image"], "Cmd": compliant["Cmd"], "HostConfig": {}}
        request = Request.of_json("POST", "/containers/create", minimal)
        return minimal if self._judge(request).allow else compliant

    def _attempts(self) -> list[tuple[Group | None, Attempt]]:
        """Return all attempts with their groups; None if the group depends on the outcome."""
        probes = {
            **PROBES,
            "container.create": Request.of_json("POST", "/containers/create", self._base),
        }
        operations: list[tuple[Group | None, Attempt]] = [
            (None, self._operation_attempt(id_, probe)) for id_, probe in probes.items()
        ]
        others = [
            *boundaries(self.config, self._base),
            *limits(self.config, AttemptFactory(self._base)),
        ]
        return operations + [("security boundaries", attempt) for attempt in others]

    def _operation_attempt(self, id_: str, probe: Request) -> Attempt:
        permitted = expected_policy.allows_operation(self.config, OPERATIONS[id_])
        title = f"{id_} ({probe.method} {probe.target.partition('?')[0]})"
        return Attempt(f"operation.{id_}", title, probe, permitted, ("sections.operation",))

    def _execute(self, attempts: list[tuple[Group | None, Attempt]]) -> Iterator[ExecutedAttempt]:
        for done, (group, attempt) in enumerate(attempts, 1):
            judgement = self._judge(attempt.request)
            permitted = attempt.permitted or self._has_exemption(attempt)
            expected = permitted and judgement.allow
            by_outcome: Group = "allowed operations" if expected else "denied operations"
            observation = self._observe(attempt.request)
            yield ExecutedAttempt(attempt, group or by_outcome, judgement, permitted, observation)
            self._progress(done, len(attempts))

    def _has_exemption(self, attempt: Attempt) -> bool:
        """Return whether the rules of an attempt are in mode warn, or one has an exception."""
        excepted = {exception["rule"] for exception in self._sandbox.config.get("exceptions", [])}
        rules = {rule for rule in attempt.rules if not rule.endswith(".")}
        return all(expected_policy.is_warn_only(self.config, rule) for rule in rules) or bool(
            excepted & rules
        )

    def _prerequisites(self, executed: list[ExecutedAttempt]) -> Iterator[Result]:
        sandbox = self._sandbox
        yield _prerequisite("api", f"the Docker API answers at {self._endpoint.url}")
        yield _prerequisite("settings", f"the settings are sound: {sandbox.bundle.profile}")
        yield _prerequisite("opa", f"the policy can be evaluated: {sandbox.engine}")
        title = f"the policy gives decisions: revision {sandbox.bundle.revision}"
        yield _prerequisite("policy", title)
        denied = [t.observation for t in executed if t.observation.verdict == "denied"]
        plugins = sorted({observation.plugin for observation in denied if observation.plugin})
        yield Result(
            "enforcement",
            "prerequisites",
            "dockerd asks an authorization plugin and obeys it",
            bool(denied),
            detail=f"plugin: {', '.join(plugins)}" if denied else "nothing at all was denied",
        )

    def _create_container_check(self) -> Result:
        """Create, inspect and remove a container of an existing image."""
        group: Group = "allowed operations"
        id_, title = "life", "a container of an image of this host is made, inspected and removed"
        image = self._existing_image()
        if image is None:
            detail = "there is no image here that this caller may see and run"
            return Result(id_, group, title, None, detail=detail)
        name = f"opa-authz-validate-{secrets.token_hex(6)}"
        create = Request.of_json(
            "POST", f"/containers/create?name={name}", {**self._base, "Image": image}
        )
        inspect = Request("GET", f"/containers/{name}/json")
        remove = Request("DELETE", f"/containers/{name}?v=1")
        if not all(self._judge(request).allow for request in (create, inspect, remove)):
            detail = "this caller may not make, inspect and remove one"
            return Result(id_, group, title, None, detail=detail)
        try:
            created = exchange(self._endpoint, create)
            inspected = exchange(self._endpoint, inspect)
        finally:
            removed = exchange(self._endpoint, remove)
        steps = {"make": created, "inspect": inspected, "remove": removed}
        wrong = [f"{step}: {reply.message}" for step, reply in steps.items() if not _is_ok(reply)]
        observed = "denied" if wrong else "allowed"
        return Result(id_, group, title, not wrong, "allowed", observed, detail="; ".join(wrong))

    def _existing_image(self) -> str | None:
        if not self._judge(PROBES["image.list"]).allow:
            return None
        reply = exchange(self._endpoint, PROBES["image.list"])
        images = reply.json() if reply.status == http.HTTPStatus.OK else []
        for image in images:
            for name in [*(image.get("RepoTags") or []), image["Id"]]:
                body = {**self._base, "Image": name}
                if self._judge(Request.of_json("POST", "/containers/create", body)).allow:
                    return str(name)
        return None

    def _settings(self, executed: list[ExecutedAttempt]) -> Iterator[Result]:
        config = self.config
        yield _setting("mode", "the policy is in mode enforce", config["mode"] == "enforce",
                       "in mode warn everything is allowed")  # fmt: skip
        warned = sorted(rule for rule, mode in config["rules"].items() if mode == "warn")
        yield _setting("rules", "no rule only warns", not warned, ", ".join(warned))
        expired = sorted(_expired(self._sandbox.config.get("exceptions", []), executed))
        yield _setting("exceptions", "no exception has expired", not expired, ", ".join(expired))
        unprotected = [
            path for path in _SOCKETS if not expected_policy.overlaps_denied_path(config, path)
        ]
        yield _setting("docker-socket", "the Docker socket is among the protected paths",
                       not unprotected,
                       f"not in mounts.deny: {', '.join(unprotected)}")  # fmt: skip
        other = [t.attempt.id for t in executed if not _matches_prediction(t)]
        yield _setting("running-policy", "the running plugin decides as these settings say",
                       not other, f"otherwise: {_first_ids(other)}")  # fmt: skip
        denied = [
            t for t in executed if t.observation.verdict == "denied" and t.observation.message
        ]
        unexplained = [t.attempt.id for t in denied if not _explains_itself(t.observation)]
        yield _setting("messages", "every denial names its rule and decision",
                       bool(denied) and not unexplained,
                       _first_ids(unexplained) or "nothing was denied")  # fmt: skip


def _prerequisite(id_: str, title: str) -> Result:
    """Return a passed check: without it, no other check could have been carried out."""
    return Result(id_, "prerequisites", title, passed=True)


def _setting(id_: str, title: str, passed: bool, otherwise: str) -> Result:
    return Result(id_, "settings", title, passed, detail="" if passed else otherwise)


def _is_ok(reply: Reply) -> bool:
    return reply.status < http.HTTPStatus.BAD_REQUEST


def _matches_prediction(executed: ExecutedAttempt) -> bool:
    observation, judgement = executed.observation, executed.judgement
    if observation.verdict == "absent":
        return True
    if judgement.allow:
        return observation.verdict == "allowed"
    rules = {denial.rule for denial in judgement.record.denials}
    return observation.verdict == "denied" and (
        set(observation.rules) <= rules or _are_plugin_rules(observation.rules)
    )


def _are_plugin_rules(rules: Iterable[str]) -> bool:
    """Return whether the plugin refused the body itself, which depends on the engine's message."""
    return all(rule.startswith("request.body-") for rule in rules)


def _explains_itself(observation: Observation) -> bool:
    return bool(observation.rules) and _DECISION.search(observation.message) is not None


def _expired(
    exceptions: Iterable[Mapping[str, Any]], executed: list[ExecutedAttempt]
) -> Iterator[str]:
    today = executed[0].judgement.record.time.date().isoformat()
    for exception in exceptions:
        if exception["expires"] < today:
            yield f"{exception['rule']} ({exception['expires']})"


def _first_ids(ids: list[str]) -> str:
    rest = len(ids) - 5
    return ", ".join(ids[:5]) + (f" and {rest} more" if rest > 0 else "")
