"""The checks: what is expected of each request, what the daemon did, and whether the two agree.

A request is expected to be allowed only if both the configuration promises it and the policy, asked
on this host, allows it. So a rule that does not do what the configuration says is found, and so is
a running plugin that does not decide as its settings say.
"""

from __future__ import annotations

import http
import re
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from authz_plugin.dockerd.routes import OPERATIONS
from authz_plugin.errors import EndpointError
from authz_plugin.tools.authz_message import Client, authz_message
from authz_plugin.tools.docker_client import Endpoint, Reply, Request, exchange
from authz_plugin.tools.sandbox import Judgement, Sandbox
from authz_plugin.tools.validation import expected_policy
from authz_plugin.tools.validation.boundaries import Attempt, Creator, boundaries, container
from authz_plugin.tools.validation.limits import limits
from authz_plugin.tools.validation.probes import PROBES

Group = Literal[
    "prerequisites", "allowed operations", "denied operations", "security boundaries", "settings"
]
Verdict = Literal["allowed", "denied", "failed", "absent"]

GROUPS: Final[tuple[Group, ...]] = (
    "prerequisites",
    "allowed operations",
    "denied operations",
    "security boundaries",
    "settings",
)

_PATIENCE: Final = 60.0
_DENIED: Final = re.compile(r"authorization denied by plugin ([^:\s]+): (.*)", re.DOTALL)
_FAILED: Final = re.compile(r"plugin ([^:\s]+) failed with error")
_RULE: Final = re.compile(r"\[([a-z][a-z-]*\.[a-z0-9_.-]+)(?: [^\]]*)?\]")
_DECISION: Final = re.compile(r"\(decision [0-9a-f]{16}\)")
_SOCKETS: Final = ("/var/run/docker.sock", "/run/docker.sock")


@dataclass(frozen=True, slots=True)
class Observation:
    """What dockerd did with a request: ``absent`` is an operation that this engine does not have,
    ``failed`` a plugin or daemon that gave no answer. ``rules`` are those that the denial names."""

    verdict: Verdict
    plugin: str
    rules: tuple[str, ...]
    message: str


@dataclass(frozen=True, slots=True)
class Result:
    """One check. ``passed`` is None where it could not be tried; ``expected`` and ``observed`` are
    empty for checks that try no request; ``rules`` are those that the denial named."""

    id: str
    group: Group
    title: str
    passed: bool | None
    expected: str = ""
    observed: str = ""
    rules: tuple[str, ...] = ()
    detail: str = ""

    @property
    def correctly_blocked(self) -> bool:
        return self.expected == "denied" and self.observed == "denied"

    @property
    def incorrectly_allowed(self) -> bool:
        return self.expected == "denied" and self.observed == "allowed"


@dataclass(frozen=True, slots=True)
class _Tried:
    """An attempt with what the policy says of it here and what the daemon did."""

    attempt: Attempt
    group: Group
    judgement: Judgement
    promised: bool
    observation: Observation


def observe(request: Request, reply: Reply) -> Observation:
    """Read dockerd's answer: whether its plugins let the request through.

    The answer to a HEAD has a status and no message.
    """
    message = reply.message
    if request.method == "HEAD" and reply.status == http.HTTPStatus.FORBIDDEN:
        return Observation("denied", "", (), "")
    denied = _DENIED.match(message)
    if reply.status == http.HTTPStatus.FORBIDDEN and denied is not None:
        rules = tuple(dict.fromkeys(_RULE.findall(denied[2])))
        return Observation("denied", denied[1], rules, denied[2])
    failed = _FAILED.match(message)
    if failed is not None:
        return Observation("failed", failed[1], (), message)
    if reply.status == http.HTTPStatus.NOT_FOUND and message == "page not found":
        return Observation("absent", "", (), "this engine has no such operation")
    return Observation("allowed", "", (), f"HTTP {reply.status} {message[:120]}".strip())


class Validation:
    """The checks of one daemon against one policy.

    ``client`` is who dockerd takes this program for; ``image`` a reference that the policy allows,
    where it cannot be guessed. ``progress`` is told how many checks are done, of how many.
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
        ping = self._judge(PROBES["system.ping"])
        self.config = sandbox.config if ping.document is None else sandbox.config_for(ping.document)
        self._base = self._allowed_container(image)
        self.engine = "unknown"

    def run(self) -> list[Result]:
        """Try everything; raises ``EndpointError`` if the daemon does not answer at all."""
        ping = exchange(self._endpoint, PROBES["system.ping"])
        self.engine = ping.headers.get("server", "unknown")
        tried = list(self._try(self._attempts()))
        results = [
            *self._prerequisites(tried),
            *map(_result, tried),
            self._life(),
            *self._settings(tried),
        ]
        return sorted(results, key=lambda result: GROUPS.index(result.group))

    def _observe(self, request: Request) -> Observation:
        try:
            return observe(request, exchange(self._endpoint, request, _PATIENCE))
        except EndpointError as error:
            return Observation("failed", "", (), str(error))

    def _judge(self, request: Request) -> Judgement:
        return self._sandbox.judge(authz_message(request, self._client))

    def _allowed_container(self, image: str | None) -> dict[str, Any]:
        """The plainest container that the policy allows, or else the most careful one."""
        careful = container(self.config, image)
        plain = {"Image": careful["Image"], "Cmd": careful["Cmd"], "HostConfig": {}}
        request = Request.of_json("POST", "/containers/create", plain)
        return plain if self._judge(request).allow else careful

    def _attempts(self) -> list[tuple[Group | None, Attempt]]:
        """Everything that is tried, with its group, which for operations the policy decides."""
        probes = {
            **PROBES,
            "container.create": Request.of_json("POST", "/containers/create", self._base),
        }
        operations: list[tuple[Group | None, Attempt]] = [
            (None, self._operation(id_, probe)) for id_, probe in probes.items()
        ]
        crossings = [
            *boundaries(self.config, self._base),
            *limits(self.config, Creator(self._base)),
        ]
        return operations + [("security boundaries", attempt) for attempt in crossings]

    def _operation(self, id_: str, probe: Request) -> Attempt:
        promised = expected_policy.opens(self.config, OPERATIONS[id_])
        title = f"{id_} ({probe.method} {probe.target.partition('?')[0]})"
        return Attempt(f"operation.{id_}", title, probe, promised, ("sections.operation",))

    def _try(self, attempts: list[tuple[Group | None, Attempt]]) -> Iterator[_Tried]:
        for done, (group, attempt) in enumerate(attempts, 1):
            judgement = self._judge(attempt.request)
            promised = attempt.promised or self._is_excused(attempt)
            expected = promised and judgement.allow
            by_outcome: Group = "allowed operations" if expected else "denied operations"
            observation = self._observe(attempt.request)
            yield _Tried(attempt, group or by_outcome, judgement, promised, observation)
            self._progress(done, len(attempts))

    def _is_excused(self, attempt: Attempt) -> bool:
        """Whether something in the configuration lifts the rules that stand for an attempt."""
        excepted = {exception["rule"] for exception in self._sandbox.config.get("exceptions", [])}
        lifted = {rule for rule in attempt.rules if not rule.endswith(".")}
        return all(expected_policy.only_warns(self.config, rule) for rule in lifted) or bool(
            excepted & lifted
        )

    def _prerequisites(self, tried: list[_Tried]) -> Iterator[Result]:
        sandbox = self._sandbox
        yield _fact("api", "prerequisites", f"the Docker API answers at {self._endpoint.url}")
        yield _fact(
            "settings", "prerequisites", f"the settings are sound: {sandbox.bundle.profile}"
        )
        yield _fact(
            "opa", "prerequisites", f"OPA {sandbox.opa.version} is there: {sandbox.opa.path}"
        )
        title = f"the policy gives decisions: revision {sandbox.bundle.revision}"
        yield _fact("policy", "prerequisites", title)
        denied = [t.observation for t in tried if t.observation.verdict == "denied"]
        plugins = sorted({observation.plugin for observation in denied if observation.plugin})
        yield Result(
            "enforcement",
            "prerequisites",
            "dockerd asks an authorization plugin and obeys it",
            bool(denied),
            detail=f"plugin: {', '.join(plugins)}" if denied else "nothing at all was denied",
        )

    def _life(self) -> Result:
        """Make, look at and remove one container for real, of an image that is there."""
        group: Group = "allowed operations"
        id_, title = "life", "a container of an image of this host is made, inspected and removed"
        image = self._image_here()
        if image is None:
            detail = "there is no image here that this caller may see and run"
            return Result(id_, group, title, None, detail=detail)
        name = f"opa-authz-validate-{secrets.token_hex(6)}"
        make = Request.of_json(
            "POST", f"/containers/create?name={name}", {**self._base, "Image": image}
        )
        look = Request("GET", f"/containers/{name}/json")
        remove = Request("DELETE", f"/containers/{name}?v=1")
        if not all(self._judge(request).allow for request in (make, look, remove)):
            detail = "this caller may not make, inspect and remove one"
            return Result(id_, group, title, None, detail=detail)
        try:
            made = exchange(self._endpoint, make)
            looked = exchange(self._endpoint, look)
        finally:
            removed = exchange(self._endpoint, remove)
        steps = {"make": made, "inspect": looked, "remove": removed}
        wrong = [f"{step}: {reply.message}" for step, reply in steps.items() if not _is_ok(reply)]
        observed = "denied" if wrong else "allowed"
        return Result(id_, group, title, not wrong, "allowed", observed, detail="; ".join(wrong))

    def _image_here(self) -> str | None:
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

    def _settings(self, tried: list[_Tried]) -> Iterator[Result]:
        config = self.config
        yield _setting("mode", "the policy is in mode enforce", config["mode"] == "enforce",
                       "in mode warn everything is allowed")  # fmt: skip
        warned = sorted(rule for rule, mode in config["rules"].items() if mode == "warn")
        yield _setting("rules", "no rule only warns", not warned, ", ".join(warned))
        expired = sorted(_expired(self._sandbox.config.get("exceptions", []), tried))
        yield _setting("exceptions", "no exception has expired", not expired, ", ".join(expired))
        free = [path for path in _SOCKETS if not expected_policy.reaches_denied(config, path)]
        yield _setting("docker-socket", "the Docker socket is among the protected paths", not free,
                       f"not in mounts.deny: {', '.join(free)}")  # fmt: skip
        other = [t.attempt.id for t in tried if not _as_predicted(t)]
        yield _setting("running-policy", "the running plugin decides as these settings say",
                       not other, f"otherwise: {_some(other)}")  # fmt: skip
        denied = [t for t in tried if t.observation.verdict == "denied" and t.observation.message]
        mute = [t.attempt.id for t in denied if not _explains_itself(t.observation)]
        yield _setting("messages", "every denial names its rule and decision",
                       bool(denied) and not mute, _some(mute) or "nothing was denied")  # fmt: skip


def _result(tried: _Tried) -> Result:
    """Whether a daemon did with an attempt what was expected, and for the reason expected."""
    attempt, seen = tried.attempt, tried.observation
    predicted = tuple(dict.fromkeys(d.rule for d in tried.judgement.record.denials))
    expected = "allowed" if tried.promised and tried.judgement.allow else "denied"
    passed: bool | None = seen.verdict == expected
    detail = "" if passed else seen.message
    if seen.verdict == "absent":
        passed, detail = None, seen.message
    elif expected == "denied" and tried.judgement.allow:
        passed = False
        detail = "the configuration does not allow this, the policy does"
    elif passed and expected == "denied" and seen.message and not _is_due(tried, predicted):
        passed = False
        named = ", ".join(seen.rules) or "no rule"
        detail = f"denied by {named}, not by {', '.join(_wanted(tried, predicted))}"
    return Result(
        attempt.id, tried.group, attempt.title, passed, expected, seen.verdict, seen.rules,
        detail,
    )  # fmt: skip


def _fact(id_: str, group: Group, title: str) -> Result:
    """A check that passed because everything else would have been impossible without it."""
    return Result(id_, group, title, passed=True)


def _setting(id_: str, title: str, passed: bool, otherwise: str) -> Result:
    return Result(id_, "settings", title, passed, detail="" if passed else otherwise)


def _is_ok(reply: Reply) -> bool:
    return reply.status < http.HTTPStatus.BAD_REQUEST


def _wanted(tried: _Tried, predicted: Iterable[str]) -> tuple[str, ...]:
    """Who should have denied: who stands for the promise, else whoever the policy says."""
    return tried.attempt.rules if not tried.promised else tuple(predicted)


def _is_due(tried: _Tried, predicted: Iterable[str]) -> bool:
    return any(
        rule == wanted or (wanted.endswith(".") and rule.startswith(wanted))
        for wanted in _wanted(tried, predicted)
        for rule in tried.observation.rules
    )


def _as_predicted(tried: _Tried) -> bool:
    seen, judgement = tried.observation, tried.judgement
    if seen.verdict == "absent":
        return True
    if judgement.allow:
        return seen.verdict == "allowed"
    rules = {denial.rule for denial in judgement.record.denials}
    return seen.verdict == "denied" and (set(seen.rules) <= rules or _refused(seen.rules))


def _refused(rules: Iterable[str]) -> bool:
    """Whether the plugin itself refused, which depends on what the engine shows it."""
    return all(rule.startswith("request.body-") for rule in rules)


def _explains_itself(observation: Observation) -> bool:
    return bool(observation.rules) and _DECISION.search(observation.message) is not None


def _expired(exceptions: Iterable[Mapping[str, Any]], tried: list[_Tried]) -> Iterator[str]:
    today = tried[0].judgement.record.time.date().isoformat()
    for exception in exceptions:
        if exception["expires"] < today:
            yield f"{exception['rule']} ({exception['expires']})"


def _some(ids: list[str]) -> str:
    rest = len(ids) - 5
    return ", ".join(ids[:5]) + (f" and {rest} more" if rest > 0 else "")
