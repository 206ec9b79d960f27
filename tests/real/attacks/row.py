"""Attacks on the Docker API, as a table: what is sent, what shows that it worked, what denies it.

Each row is sent to real daemons, byte for byte: to one that asks nobody, to prove that the attack
works there (or to say that this engine refuses it by itself), and to guarded ones, which must deny
it by the rule that the row names. ``docs/reference/attacks.md`` is made of this table.
"""

from __future__ import annotations

import io
import json
import re
import tarfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from tests.harness.dockerd import IMAGE

ENGINES: Final = ("20.10", "26.1", "28.5")

Policy = Literal["production", "devcontainer", "strict"]

POLICIES: Final[tuple[Policy, ...]] = ("production", "devcontainer", "strict")
"""The profiles of these names, and ``strict.yaml``: every section open, every rule strict."""

JSON: Final = "Content-Type: application/json"
FORM: Final = "Content-Type: application/x-www-form-urlencoded"
TEXT: Final = "Content-Type: text/plain"
TAR: Final = "Content-Type: application/x-tar"
UPGRADE: Final = ("Connection: Upgrade, close", "Upgrade: h2c")
WEBSOCKET: Final = (
    "Connection: Upgrade, close",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
    "Origin: http://docker",
)
MIB: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Request:
    """A request; ``<name>`` and the like in it are filled in when it is sent.

    ``protocol`` is the request line's last word, ``chunked`` sends the body in one chunk instead
    of with a Content-Length, ``before`` are raw bytes sent first on the same connection.
    """

    method: str
    target: str
    headers: tuple[str, ...] = ()
    body: str | bytes = b""
    chunked: bool = False
    protocol: str = "HTTP/1.1"
    before: bytes = b""

    def render(self, values: Mapping[str, str]) -> bytes:
        """The bytes to send."""
        body = self.body if isinstance(self.body, bytes) else fill(self.body, values).encode()
        lines = [f"{self.method} {fill(self.target, values)} {self.protocol}", "Host: docker"]
        lines += self.headers
        if not any(line.startswith("Connection:") for line in self.headers):
            lines.append("Connection: close")
        if self.chunked:
            lines.append("Transfer-Encoding: chunked")
            body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
        elif body or self.method in {"POST", "PUT"}:
            lines.append(f"Content-Length: {len(body)}")
        # raw bytes beyond ASCII go out as they are
        head = "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape")
        return self.before + head + body


def fill(text: str, values: Mapping[str, str]) -> str:
    """A text with its ``<name>`` replaced by values."""
    return re.sub(r"<([a-z_]+)>", lambda found: values[found.group(1)], text)


@dataclass(frozen=True, slots=True)
class Proof:
    """What shows that an attack worked: a place in an answer of dockerd's, and what stands there.

    ``path`` is asked for by GET after the attack, or empty for the attack's own answer, ``at``
    leads into the JSON (``HostConfig.Binds.0``); without it, success is an answer at all, or for
    ``gone`` that there is none any more.
    """

    path: str = ""
    at: str = ""
    value: Any = None
    gone: bool = False


@dataclass(frozen=True, slots=True)
class Alone:
    """That an engine refuses an attack by itself, with a status, and why.

    ``asks`` tells whether it asks the plugin before it does.
    """

    status: int
    why: str
    asks: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """A row.

    ``rules`` maps each policy to the rule that denies the attack, or to None where the policy
    allows it; ``engine_rules`` has the engines on which another rule does. ``alone`` has the
    engines that refuse it by themselves.
    """

    family: str
    what: str
    request: Request
    proof: Proof
    rules: Mapping[Policy, str | None]
    engine_rules: Mapping[str, str] = field(default_factory=dict)
    alone: Mapping[str, Alone] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """A name for what the attack makes."""
        words = re.sub(r"[^a-z0-9]+", "-", self.what.lower()).strip("-")
        return f"a-{words}-{zlib.crc32(self.what.encode()):08x}"

    def rule(self, engine: str, policy: Policy) -> str | None:
        """The rule that denies it, or None where the policy allows it."""
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


def on_all(alone: Alone) -> dict[str, Alone]:
    return dict.fromkeys(ENGINES, alone)


class Family:
    """Makes the rows of one family."""

    def __init__(self, title: str) -> None:
        self.title = title

    def row(
        self,
        what: str,
        request: Request,
        rule: str | None,
        proof: Proof,
        *,
        engine_rules: Mapping[str, str] | None = None,
        alone: Mapping[str, Alone] | None = None,
        **rules: str | None,
    ) -> Attack:
        return Attack(
            family=self.title,
            what=what,
            request=request,
            proof=proof,
            rules=_rules(rule, rules),
            engine_rules=engine_rules or {},
            alone=alone or {},
        )

    def create(
        self,
        what: str,
        body: Mapping[str, Any] | str | bytes,
        rule: str | None,
        at: str,
        value: Any,
        *,
        target: str = "/containers/create?name=<name>",
        headers: tuple[str, ...] = (JSON,),
        chunked: bool = False,
        method: str = "POST",
        before: bytes = b"",
        **more: Any,
    ) -> Attack:
        """A container that is made; ``body`` without Image if it is not text."""
        if isinstance(body, Mapping):
            body = json.dumps({"Image": IMAGE, **body}, ensure_ascii=False)
        request = Request(method, target, headers, body, chunked=chunked, before=before)
        return self.row(what, request, rule, Proof("/containers/<name>/json", at, value), **more)

    def host(self, what: str, host_config: Any, rule: str, **more: Any) -> Attack:
        """A container whose HostConfig holds something that is then found there again."""
        (key, value), *_ = host_config.items()
        body = {"HostConfig": host_config}
        return self.create(what, body, rule, f"HostConfig.{key}", value, **more)


PRIVILEGED: Final = f'{{"Image":"{IMAGE}","HostConfig":{{"Privileged":true}}}}'
IS_PRIVILEGED: Final = ("HostConfig.Privileged", True)
PADDED: Final = f'{{"Image":"{IMAGE}","HostConfig":{{"Privileged":true}},"Env":["X=<mib>"]}}'


def service(spec: str = "", task: str = "", more: str = "", name: str = "<name>") -> str:
    """A service whose tasks find no node: made, never run."""
    container = f'"ContainerSpec":{{"Image":"{IMAGE}"{spec and f",{spec}"}}}'
    nowhere = '"Placement":{"Constraints":["node.labels.none==here"]}'
    task = f'"TaskTemplate":{{{container},{nowhere}{task and f",{task}"}}}'
    return f'{{"Name":"{name}",{task}{more and f",{more}"}}}'


SERVICE_EXISTS: Final = Proof("/services/<name>", "Spec.Name", "<name>")


def post(target: str, body: str | bytes = b"", *headers: str, **more: Any) -> Request:
    """A POST, of JSON unless headers say otherwise."""
    return Request("POST", target, headers or ((JSON,) if body else ()), body, **more)


def get(target: str, *headers: str) -> Request:
    return Request("GET", target, headers)


def archive(files: Mapping[str, str]) -> bytes:
    """A tar archive of text files."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            tar.addfile(entry, io.BytesIO(text.encode()))
    return packed.getvalue()


def plugin(description: str) -> bytes:
    """A managed plugin with privileges of the host; no two of one description can be made."""
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
