"""A row of the catalogue: what is sent, how success shows, and what stops it.

Rows are data. What stands in ``<angle brackets>`` in them is filled in when a row is tried; the
words are those of ``staging``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

JSON: Final = ("Content-Type", "application/json")
FORM: Final = ("Content-Type", "application/x-www-form-urlencoded")
TEXT: Final = ("Content-Type", "text/plain")
TAR: Final = ("Content-Type", "application/x-tar")

Kind = Literal["container", "image", "volume", "network", "service"]


@dataclass(frozen=True, slots=True)
class Thing:
    """Something that an attack makes if nobody stops it; ``name`` may be a template."""

    kind: Kind
    name: str = "<name>"


@dataclass(frozen=True, slots=True)
class Family:
    """Rows of one kind; ``id`` begins their ids."""

    id: str
    title: str


@dataclass(frozen=True, slots=True)
class Container:
    """The body of a container: the harmless one that this host takes, with changes.

    ``host`` changes HostConfig (lists are added to), ``top`` what stands beside it.
    """

    host: Mapping[str, Any] = field(default_factory=dict)
    top: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Message:
    """A request as a template; see ``docker_client.Request``."""

    method: str
    target: str
    body: Container | str | bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    chunked: bool = False


@dataclass(frozen=True, slots=True)
class Proof:
    """What proves success once dockerd has said yes.

    ``path`` is asked for afterwards, or empty for the attack's own answer. ``at`` leads into its
    JSON (``HostConfig.Binds``), where ``value`` stands or, for None, anything at all. ``form`` is
    what the answer is: JSON, a ``tar`` archive, a ``grpc`` message, a ``stream`` that dockerd has
    handed over, or ``plain``, where that it is dockerd's answer says everything.
    """

    path: str = ""
    at: str = ""
    value: Any = None
    form: Literal["json", "tar", "grpc", "stream", "plain"] = "json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """A row.

    ``means`` is what whoever succeeds has; ``command`` the Docker command that asks for it, where
    there is one. ``granted`` is a pattern for dockerd's errors that only a sender hears whom nobody
    stopped: it would have done it, had there been anything to do it on. ``refused`` is one for
    those by which an engine does not fall for it, beside HTTP 400 and 501.

    ``rule`` is the rule of opa-authz that denies it under a policy that opens every operation, or
    empty; ``open_in`` names shipped profiles that allow it on purpose, ``engine`` says which
    engines stop it or show it to a guard. A ``notice`` is an ordinary operation that tells more
    than many people think: it is shown where it is open, and not counted.

    ``makes`` is what must be removed, ``fresh`` whether it wants a container of its own
    (``<fresh>``), ``folder`` whether it starts in a folder that may be mounted, ``native`` whether
    it goes over HTTP/2 (``Message.target`` is then a gRPC method).
    """

    id: str
    family: Family
    what: str
    message: Message
    proof: Proof | None
    means: str
    granted: str
    refused: str = ""
    rule: str
    open_in: tuple[str, ...] = ()
    engine: str = ""
    command: str = ""
    makes: tuple[Thing, ...] = ()
    fresh: bool = False
    folder: bool = False
    native: bool = False
    notice: bool = False
