"""What an attack is: a request, and the evidence that shows that it succeeded.

Attacks are data. Their texts may contain placeholders in angle brackets, for instance ``<name>``,
which ``rendering`` replaces; whoever provides an ``AttackContext`` defines the values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

JSON: Final = ("Content-Type", "application/json")
FORM: Final = ("Content-Type", "application/x-www-form-urlencoded")
TEXT: Final = ("Content-Type", "text/plain")
TAR: Final = ("Content-Type", "application/x-tar")

ObjectKind = Literal["container", "image", "volume", "network", "service"]


@dataclass(frozen=True, slots=True)
class DockerObject:
    """An object of a daemon. In an attack, ``name`` may contain placeholders."""

    kind: ObjectKind
    name: str = "<name>"


@dataclass(frozen=True, slots=True)
class Family:
    """A group of attacks that use the same technique. Ids of attacks begin with ``id``."""

    id: str
    title: str


@dataclass(frozen=True, slots=True)
class ContainerBody:
    """The body of a container create request: the context's harmless container with changes.

    ``host_config`` replaces members of HostConfig, or extends those that are lists. ``members``
    replaces members of the body itself.
    """

    host_config: Mapping[str, Any] = field(default_factory=dict)
    members: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RequestTemplate:
    """A request whose target and body may contain placeholders; a body of bytes is sent as it is.

    ``chunked`` sends the body in one chunk instead of with a Content-Length. ``protocol`` is the
    last word of the request line. ``preceding`` are the bytes of a complete request which is sent
    first on the same connection. For a gRPC call, ``target`` is the gRPC method.
    """

    method: str
    target: str
    body: ContainerBody | str | bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    chunked: bool = False
    protocol: str = "HTTP/1.1"
    preceding: bytes = b""


@dataclass(frozen=True, slots=True)
class Proof:
    """The answer that proves an attack which dockerd has accepted.

    ``path`` is requested with GET after the attack; if it is empty, the answer to the attack itself
    is examined. ``form`` is what that answer must be:

    - ``json``: a JSON document with ``value`` at ``at`` (keys and list indices joined by dots, for
      instance ``HostConfig.Binds.0``; empty for the whole document). The value None stands for any
      value but null. Objects and lists need to contain the parts that ``value`` names, or to be
      equal to it if ``exact``.
    - ``tar``: a tar archive.
    - ``grpc``: a gRPC message.
    - ``stream``: a connection that dockerd has switched to another protocol.
    - ``plain``: any answer of dockerd's.
    - ``absent``: the error of dockerd's that there is no such object.
    """

    path: str = ""
    at: str = ""
    value: Any = None
    form: Literal["json", "tar", "grpc", "stream", "plain", "absent"] = "json"
    exact: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """An attack, whoever sends it.

    ``success_errors`` is a regular expression for errors of dockerd's which only a request gets
    that no guard has blocked: dockerd would have executed it, had the object existed that it names.
    ``refusal_errors`` is one for errors by which an engine rejects the attack itself, in addition
    to HTTP 400, 403 and 501. ``grpc`` sends the request as a gRPC call over HTTP/2. An
    ``informational`` row is an ordinary operation that discloses more than its callers may expect;
    its success is reported, and not counted.
    """

    family: Family
    title: str
    request: RequestTemplate
    proof: Proof | None
    success_errors: str = ""
    refusal_errors: str = ""
    grpc: bool = False
    informational: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogueAttack(Attack):
    """An attack of ``opa-authz attack``: it names what it creates, and what prevents it.

    ``impact`` is what an attacker gains. ``command`` is the Docker command that sends the request,
    if there is one.

    ``rule`` is the rule of opa-authz that denies the attack under a policy that allows every
    operation, or empty if no rule does. ``allowed_by`` names the shipped profiles that allow it
    deliberately. ``engine_note`` says which engines reject it or show it to their plugins.

    ``creates`` lists the objects to remove afterwards. ``fresh_container`` says that the attack
    needs a container of its own, ``<fresh>``; ``needs_folder`` that it needs ``<folder>``, a folder
    of the daemon's host that may be mounted.
    """

    id: str
    impact: str
    rule: str
    allowed_by: tuple[str, ...] = ()
    engine_note: str = ""
    command: str = ""
    creates: tuple[DockerObject, ...] = ()
    fresh_container: bool = False
    needs_folder: bool = False
