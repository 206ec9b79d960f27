"""The attacks that the tests send: an ``Attack`` of the command, with what is expected of it.

Each one is sent byte for byte to real daemons: to an unguarded one, to prove that it works there or
that this engine rejects it by itself, and to guarded ones, which must deny it by the rule that the
table names. ``docs/attacks.md`` is generated from the tables.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from authz_plugin.tools.attack.catalogue.builders import archive
from authz_plugin.tools.attack.model import JSON, Attack, Family, Proof, RequestTemplate
from tests.harness.dockerd import IMAGE
from tests.harness.engines import ENGINES

Policy = Literal["production", "devcontainer", "strict"]

POLICIES: Final[tuple[Policy, ...]] = ("production", "devcontainer", "strict")
"""The profiles of these names, and ``strict.yaml``, which allows every operation and sets every
rule to its strictest."""

UPGRADE: Final = ("Upgrade", "h2c")
WEBSOCKET: Final = (
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA=="),
    ("Origin", "http://docker"),
)

ANSWERED: Final = Proof(form="plain")
"""The proof of an attack that dockerd's answer proves, whatever it is."""


def returns(at: str, value: Any = None) -> Proof:
    """Return a proof: the answer to the attack has exactly this value at a path."""
    return Proof("", at, value, exact=True)


def shows(path: str, at: str = "", value: Any = None) -> Proof:
    """Return a proof: a GET request afterwards has exactly this value at a path."""
    return Proof(path, at, value, exact=True)


def removes(path: str) -> Proof:
    """Return a proof: a GET request afterwards finds no such object."""
    return Proof(path, form="absent")


@dataclass(frozen=True, slots=True)
class EngineRefusal:
    """That an engine rejects an attack by itself, or ignores what makes it one.

    ``status`` is that of its answer, ``reason`` completes the sentence "dockerd …", and
    ``asks_plugin`` says whether it asks the plugin before.
    """

    status: int
    reason: str
    asks_plugin: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class AttackCase(Attack):
    """An attack and what is expected of it.

    ``rules`` maps each policy to the rule that denies the attack, or to None if the policy allows
    it; ``engine_rules`` has the engines on which another rule does. ``engine_refusals`` has the
    engines that reject the attack by themselves.
    """

    rules: Mapping[Policy, str | None]
    engine_rules: Mapping[str, str] = field(default_factory=dict)
    engine_refusals: Mapping[str, EngineRefusal] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The value of ``<name>``."""
        words = re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-")
        return f"a-{words}-{zlib.crc32(self.title.encode()):08x}"

    def rule(self, engine: str, policy: Policy) -> str | None:
        """The rule that denies it, or None if the policy allows it."""
        rule = self.rules[policy]
        return self.engine_rules.get(engine, rule) if rule else None


def _rules(rule: str | None, overrides: Mapping[str, str | None]) -> dict[Policy, str | None]:
    return {policy: overrides.get(policy, rule) for policy in POLICIES}


SECTION: Final = "sections.operation"
WITHHELD: Final = "request.body-withheld"
FORM_BODY: Final = "request.body-form"
REPEATED: Final = "request.body-duplicate"
NOT_IN_PRODUCTION: Final[dict[str, Any]] = {"production": SECTION}
SECTIONS_CLOSED: Final[dict[str, Any]] = {"production": SECTION, "devcontainer": SECTION}


def on_all(refusal: EngineRefusal) -> dict[str, EngineRefusal]:
    """Return the same refusal for every engine."""
    return dict.fromkeys(ENGINES, refusal)


def after_20(refusal: EngineRefusal) -> dict[str, EngineRefusal]:
    """Return the same refusal for every engine but 20.10."""
    return {engine: refusal for engine in ENGINES if engine != "20.10"}


def from_28(refusal: EngineRefusal) -> dict[str, EngineRefusal]:
    """Return the same refusal for the engines from 28 on."""
    return dict.fromkeys(ENGINES[ENGINES.index("28.5") :], refusal)


class Table:
    """Builds the attacks of one family."""

    def __init__(self, id_: str, title: str) -> None:
        self.family = Family(id_, title)

    def row(
        self,
        title: str,
        request: RequestTemplate,
        rule: str | None,
        proof: Proof,
        *,
        engine_rules: Mapping[str, str] | None = None,
        refusals: Mapping[str, EngineRefusal] | None = None,
        success_errors: str = "",
        **rules: str | None,
    ) -> AttackCase:
        """Build an attack that ``rule`` denies; ``rules`` has the policies with another rule."""
        return AttackCase(
            family=self.family,
            title=title,
            request=request,
            proof=proof,
            success_errors=success_errors,
            rules=_rules(rule, rules),
            engine_rules=engine_rules or {},
            engine_refusals=refusals or {},
        )

    def create(
        self,
        title: str,
        body: Mapping[str, Any] | str | bytes,
        rule: str | None,
        at: str,
        value: Any,
        *,
        target: str = "/containers/create?name=<name>",
        headers: tuple[tuple[str, str], ...] = (JSON,),
        chunked: bool = False,
        method: str = "POST",
        preceding: bytes = b"",
        **more: Any,
    ) -> AttackCase:
        """Build an attack that creates a container, proved by its inspect answer.

        Image is added to a ``body`` that is a mapping.
        """
        if isinstance(body, Mapping):
            body = json.dumps({"Image": IMAGE, **body}, ensure_ascii=False)
        request = RequestTemplate(
            method, target, body, headers, chunked=chunked, preceding=preceding
        )
        proof = shows("/containers/<name>/json", at, value)
        return self.row(title, request, rule, proof, **more)

    def host(self, title: str, host_config: Any, rule: str, **more: Any) -> AttackCase:
        """Build an attack that creates a container, proved by the first member of HostConfig."""
        (key, value), *_ = host_config.items()
        body = {"HostConfig": host_config}
        return self.create(title, body, rule, f"HostConfig.{key}", value, **more)


PRIVILEGED: Final = f'{{"Image":"{IMAGE}","HostConfig":{{"Privileged":true}}}}'
IS_PRIVILEGED: Final = ("HostConfig.Privileged", True)
PADDED: Final = f'{{"Image":"{IMAGE}","HostConfig":{{"Privileged":true}},"Env":["X=<mib>"]}}'


def service(spec: str = "", task: str = "", more: str = "", name: str = "<name>") -> str:
    """Return the body of a service whose tasks fit no node, so that none of them runs.

    ``spec``, ``task`` and ``more`` are JSON members to add to ContainerSpec, to TaskTemplate and to
    the service.
    """
    container = f'"ContainerSpec":{{"Image":"{IMAGE}"{spec and f",{spec}"}}}'
    nowhere = '"Placement":{"Constraints":["node.labels.none==here"]}'
    task = f'"TaskTemplate":{{{container},{nowhere}{task and f",{task}"}}}'
    return f'{{"Name":"{name}",{task}{more and f",{more}"}}}'


SERVICE_EXISTS: Final = shows("/services/<name>", "Spec.Name", "<name>")


def plugin(description: str) -> bytes:
    """Return a managed plugin with privileges on the host.

    dockerd does not create two with the same description, because their content is equal.
    """
    config = {
        "description": description,
        "documentation": "",
        "entrypoint": ["/bin/true"],
        "interface": {"types": ["docker.authz/1.0"], "socket": "plugin.sock"},
        "linux": {"capabilities": ["CAP_SYS_ADMIN"], "allowAllDevices": True},
        "network": {"type": "host"},
        "env": [{"name": "WHO", "value": "", "settable": ["value"]}],
    }
    return archive({"config.json": json.dumps(config), "rootfs/made-of": description})
