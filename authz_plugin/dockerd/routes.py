"""The routes of the Docker Engine API of engines 20.10 to 29, and how dockerd matches them.

The table has one row per route, in the order in which moby registers them; the first row that
matches the method and the decoded path (without its version prefix) applies. ``{x}`` matches
``[^/]+``; ``{x:.*}`` and ``{x:.+}`` are greedy and match slashes. Sources: moby 20.10.24 and 28.5.2
``api/server/router/*``, v29 ``daemon/server/router/*``; gorilla/mux 1.8.1 ``regexp.go``.
"""

from __future__ import annotations

import re
from functools import cached_property
from typing import Final, Literal, NamedTuple

from authz_plugin.dockerd import facts, shapes
from authz_plugin.dockerd.facts import Readers
from authz_plugin.dockerd.gojson import Struct
from authz_plugin.errors import Refused

Access = Literal["read", "write"]

STREAM: Literal["stream"] = "stream"
"""The body is a tar archive, a login or a hijacked connection: dockerd never sends it to plugins."""


class Operation(NamedTuple):
    """An operation of the Docker Engine API.

    ``id`` is stable, policies refer to it (``"container.create"``); ``section`` is its key in the
    setting ``sections``; ``access`` is the effect, independent of the method (an attach by GET
    writes); ``kind`` is the kind of object that the path names, or None. ``body`` is
    the shape of the JSON body, ``STREAM``, or None if dockerd reads none. ``readers`` are the
    functions that read the facts. ``lists`` names the query parameters of which dockerd reads all
    values; of any other it reads the first.
    """

    id: str
    section: str
    access: Access
    kind: str | None
    body: shapes.Shape | Literal["stream"] | None
    readers: Readers = facts.PATH
    lists: frozenset[str] = frozenset()

    @property
    def body_fields(self) -> frozenset[str]:
        """The fields of the body. dockerode writes them into the query, too, where dockerd reads
        none of them: their repetition has no effect."""
        return frozenset(self.body.fields) if isinstance(self.body, Struct) else frozenset()


# fmt: off
_TABLE: Final[tuple[tuple[str, str, str, str, Access, str | None, shapes.Shape | Literal["stream"] | None, Readers], ...]] = (
    # method, path, operation, section, access, kind of the {name} or {id}, body, readers of its facts
    ("HEAD",   "/containers/{name:.*}/archive",        "container.archive.stat",  "containers", "read",  "container", None,            facts.USED),
    ("GET",    "/containers/json",                     "container.list",          "containers", "read",  None,        None,            facts.CONTAINER_LIST),
    ("GET",    "/containers/{name:.*}/export",         "container.export",        "containers", "read",  "container", None,            facts.PATH),
    ("GET",    "/containers/{name:.*}/changes",        "container.changes",       "containers", "read",  "container", None,            facts.PATH),
    ("GET",    "/containers/{name:.*}/json",           "container.inspect",       "containers", "read",  "container", None,            facts.PATH),
    ("GET",    "/containers/{name:.*}/top",            "container.top",           "containers", "read",  "container", None,            facts.PATH),
    ("GET",    "/containers/{name:.*}/logs",           "container.logs",          "containers", "read",  "container", None,            facts.PATH),
    ("GET",    "/containers/{name:.*}/stats",          "container.stats",         "containers", "read",  "container", None,            facts.PATH),
    ("GET",    "/containers/{name:.*}/attach/ws",      "container.attach.ws",     "containers", "write", "container", None,            facts.PATH),
    ("GET",    "/exec/{id:.*}/json",                   "exec.inspect",            "exec",       "read",  "exec",      None,            facts.PATH),
    ("GET",    "/containers/{name:.*}/archive",        "container.archive.get",   "containers", "read",  "container", None,            facts.USED),
    ("POST",   "/containers/create",                   "container.create",        "containers", "write", None,        shapes.CONTAINER_CREATE, facts.CONTAINER),
    ("POST",   "/containers/{name:.*}/kill",           "container.kill",          "containers", "write", "container", None,            facts.PATH),
    ("POST",   "/containers/{name:.*}/pause",          "container.pause",         "containers", "write", "container", None,            facts.PATH),
    ("POST",   "/containers/{name:.*}/unpause",        "container.unpause",       "containers", "write", "container", None,            facts.PATH),
    ("POST",   "/containers/{name:.*}/restart",        "container.restart",       "containers", "write", "container", None,            facts.USED),
    ("POST",   "/containers/{name:.*}/start",          "container.start",         "containers", "write", "container", None,            facts.USED),
    ("POST",   "/containers/{name:.*}/stop",           "container.stop",          "containers", "write", "container", None,            facts.PATH),
    ("POST",   "/containers/{name:.*}/wait",           "container.wait",          "containers", "read",  "container", None,            facts.PATH),
    ("POST",   "/containers/{name:.*}/resize",         "container.resize",        "containers", "write", "container", None,            facts.PATH),
    ("POST",   "/containers/{name:.*}/attach",         "container.attach",        "containers", "write", "container", None,            facts.PATH),
    ("POST",   "/containers/{name:.*}/copy",           "container.copy",          "containers", "read",  "container", shapes.CONTAINER_COPY, facts.USED),
    ("POST",   "/containers/{name:.*}/exec",           "exec.create",             "exec",       "write", "container", shapes.EXEC_CREATE, facts.EXEC),
    ("POST",   "/exec/{name:.*}/start",                "exec.start",              "exec",       "write", "exec",      shapes.EXEC_START, facts.PATH),
    ("POST",   "/exec/{name:.*}/resize",               "exec.resize",             "exec",       "write", "exec",      None,            facts.PATH),
    ("POST",   "/containers/{name:.*}/rename",         "container.rename",        "containers", "write", "container", None,            facts.CONTAINER_RENAME),
    ("POST",   "/containers/{name:.*}/update",         "container.update",        "containers", "write", "container", shapes.CONTAINER_UPDATE, facts.CONTAINER_UPDATE),
    ("POST",   "/containers/prune",                    "container.prune",         "containers", "write", None,        None,            facts.PATH),
    ("POST",   "/commit",                              "container.commit",        "commit",     "write", None,        shapes.COMMIT,   facts.COMMIT),
    ("PUT",    "/containers/{name:.*}/archive",        "container.archive.put",   "containers", "write", "container", STREAM,          facts.USED),
    ("POST",   "/containers/{name:.*}/start",          "container.checkpoint.restore", "containers", "write", "container", None,       facts.CHECKPOINT_RESTORE),  # with checkpoint
    ("GET",    "/containers/{name:.*}/checkpoints",    "container.checkpoint.list",   "containers", "read",  "container", None,        facts.CHECKPOINTS),
    ("POST",   "/containers/{name:.*}/checkpoints",    "container.checkpoint.create", "containers", "write", "container", shapes.CHECKPOINT_CREATE, facts.CHECKPOINT),
    ("DELETE", "/containers/{name}/checkpoints/{checkpoint}", "container.checkpoint.remove", "containers", "write", "container", None, facts.CHECKPOINTS),
    ("DELETE", "/containers/{name:.*}",                "container.remove",        "containers", "write", "container", None,            facts.PATH),

    ("GET",    "/images/json",                         "image.list",              "images",     "read",  None,        None,            facts.PATH),
    ("GET",    "/images/search",                       "image.search",            "images",     "read",  None,        None,            facts.IMAGE_SEARCH),
    ("GET",    "/images/get",                          "image.export",            "images",     "read",  None,        None,            facts.PATH),
    ("GET",    "/images/{name:.*}/get",                "image.export",            "images",     "read",  "image",     None,            facts.PATH),
    ("GET",    "/images/{name:.*}/history",            "image.history",           "images",     "read",  "image",     None,            facts.PATH),
    ("GET",    "/images/{name:.*}/json",               "image.inspect",           "images",     "read",  "image",     None,            facts.PATH),
    ("GET",    "/images/{name:.*}/attestations",       "image.attestations",      "images",     "read",  "image",     None,            facts.PATH),
    ("POST",   "/images/load",                         "image.load",              "images",     "write", None,        STREAM,          facts.PATH),
    ("POST",   "/images/create",                       "image.pull",              "images",     "write", None,        None,            facts.IMAGE_PULL),
    ("POST",   "/images/create",                       "image.import",            "images",     "write", None,        STREAM,          facts.IMAGE_IMPORT),  # without fromImage
    ("POST",   "/images/{name:.*}/push",               "image.push",              "images",     "write", "image",     None,            facts.IMAGE_PUSH),
    ("POST",   "/images/{name:.*}/tag",                "image.tag",               "images",     "write", "image",     None,            facts.IMAGE_TAG),
    ("POST",   "/images/prune",                        "image.prune",             "images",     "write", None,        None,            facts.PATH),
    ("DELETE", "/images/{name:.*}",                    "image.remove",            "images",     "write", "image",     None,            facts.PATH),

    ("OPTIONS", "/{anyroute:.*}",                      "system.options",          "ping",       "read",  None,        None,            facts.PATH),
    ("GET",    "/_ping",                               "system.ping",             "ping",       "read",  None,        None,            facts.PATH),
    ("HEAD",   "/_ping",                               "system.ping",             "ping",       "read",  None,        None,            facts.PATH),
    ("GET",    "/events",                              "system.events",           "events",     "read",  None,        None,            facts.PATH),
    ("GET",    "/info",                                "system.info",             "info",       "read",  None,        None,            facts.PATH),
    ("GET",    "/version",                             "system.version",          "version",    "read",  None,        None,            facts.PATH),
    ("GET",    "/system/df",                           "system.df",               "system",     "read",  None,        None,            facts.PATH),
    ("POST",   "/auth",                                "registry.login",          "auth",       "write", None,        STREAM,          facts.PATH),

    ("GET",    "/volumes",                             "volume.list",             "volumes",    "read",  None,        None,            facts.PATH),
    ("GET",    "/volumes/{name:.*}",                   "volume.inspect",          "volumes",    "read",  "volume",    None,            facts.PATH),
    ("POST",   "/volumes/create",                      "volume.create",           "volumes",    "write", None,        shapes.VOLUME_CREATE, facts.VOLUME_CREATE),
    ("POST",   "/volumes/prune",                       "volume.prune",            "volumes",    "write", None,        None,            facts.PATH),
    ("PUT",    "/volumes/{name:.*}",                   "volume.update",           "volumes",    "write", "volume",    shapes.VOLUME_UPDATE, facts.VOLUME_UPDATE),
    ("DELETE", "/volumes/{name:.*}",                   "volume.remove",           "volumes",    "write", "volume",    None,            facts.PATH),

    ("POST",   "/build",                               "image.build",             "build",      "write", None,        STREAM,          facts.BUILD),
    ("POST",   "/build/prune",                         "build.prune",             "build",      "write", None,        None,            facts.PATH),
    ("POST",   "/build/cancel",                        "build.cancel",            "build",      "write", None,        None,            facts.PATH),
    ("POST",   "/session",                             "build.session",           "session",    "write", None,        STREAM,          facts.PATH),
    ("POST",   "/grpc",                                "build.grpc",              "grpc",       "write", None,        STREAM,          facts.PATH),

    ("POST",   "/swarm/init",                          "swarm.init",              "swarm",      "write", None,        shapes.SWARM_INIT, facts.SWARM_INIT),
    ("POST",   "/swarm/join",                          "swarm.join",              "swarm",      "write", None,        shapes.SWARM_JOIN, facts.PATH),
    ("POST",   "/swarm/leave",                         "swarm.leave",             "swarm",      "write", None,        None,            facts.PATH),
    ("GET",    "/swarm",                               "swarm.inspect",           "swarm",      "read",  None,        None,            facts.PATH),
    ("GET",    "/swarm/unlockkey",                     "swarm.unlock-key",        "swarm",      "read",  None,        None,            facts.PATH),
    ("POST",   "/swarm/update",                        "swarm.update",            "swarm",      "write", None,        shapes.SWARM_SPEC, facts.SWARM_UPDATE),
    ("POST",   "/swarm/unlock",                        "swarm.unlock",            "swarm",      "write", None,        shapes.SWARM_UNLOCK, facts.PATH),
    ("GET",    "/services",                            "service.list",            "services",   "read",  None,        None,            facts.PATH),
    ("GET",    "/services/{id}",                       "service.inspect",         "services",   "read",  "service",   None,            facts.PATH),
    ("POST",   "/services/create",                     "service.create",          "services",   "write", None,        shapes.SERVICE,  facts.SERVICE_CREATE),
    ("POST",   "/services/{id}/update",                "service.update",          "services",   "write", "service",   shapes.SERVICE,  facts.SERVICE_UPDATE),
    ("DELETE", "/services/{id}",                       "service.remove",          "services",   "write", "service",   None,            facts.PATH),
    ("GET",    "/services/{id}/logs",                  "service.logs",            "services",   "read",  "service",   None,            facts.PATH),
    ("GET",    "/nodes",                               "node.list",               "nodes",      "read",  None,        None,            facts.PATH),
    ("GET",    "/nodes/{id}",                          "node.inspect",            "nodes",      "read",  "node",      None,            facts.PATH),
    ("DELETE", "/nodes/{id}",                          "node.remove",             "nodes",      "write", "node",      None,            facts.PATH),
    ("POST",   "/nodes/{id}/update",                   "node.update",             "nodes",      "write", "node",      shapes.NODE,     facts.LABELS),
    ("GET",    "/tasks",                               "task.list",               "tasks",      "read",  None,        None,            facts.PATH),
    ("GET",    "/tasks/{id}",                          "task.inspect",            "tasks",      "read",  "task",      None,            facts.PATH),
    ("GET",    "/tasks/{id}/logs",                     "task.logs",               "tasks",      "read",  "task",      None,            facts.PATH),
    ("GET",    "/secrets",                             "secret.list",             "secrets",    "read",  None,        None,            facts.PATH),
    ("POST",   "/secrets/create",                      "secret.create",           "secrets",    "write", None,        shapes.SECRET,   facts.SECRET),
    ("DELETE", "/secrets/{id}",                        "secret.remove",           "secrets",    "write", "secret",    None,            facts.PATH),
    ("GET",    "/secrets/{id}",                        "secret.inspect",          "secrets",    "read",  "secret",    None,            facts.PATH),
    ("POST",   "/secrets/{id}/update",                 "secret.update",           "secrets",    "write", "secret",    shapes.SECRET,   facts.LABELS),
    ("GET",    "/configs",                             "config.list",             "configs",    "read",  None,        None,            facts.PATH),
    ("POST",   "/configs/create",                      "config.create",           "configs",    "write", None,        shapes.CONFIG,   facts.CONFIG),
    ("DELETE", "/configs/{id}",                        "config.remove",           "configs",    "write", "config",    None,            facts.PATH),
    ("GET",    "/configs/{id}",                        "config.inspect",          "configs",    "read",  "config",    None,            facts.PATH),
    ("POST",   "/configs/{id}/update",                 "config.update",           "configs",    "write", "config",    shapes.CONFIG,   facts.LABELS),

    ("GET",    "/plugins",                             "plugin.list",             "plugins",    "read",  None,        None,            facts.PATH),
    ("GET",    "/plugins/{name:.*}/json",              "plugin.inspect",          "plugins",    "read",  "plugin",    None,            facts.PATH),
    ("GET",    "/plugins/privileges",                  "plugin.privileges",       "plugins",    "read",  None,        None,            facts.PLUGIN_REMOTE),
    ("DELETE", "/plugins/{name:.*}",                   "plugin.remove",           "plugins",    "write", "plugin",    None,            facts.PATH),
    ("POST",   "/plugins/{name:.*}/enable",            "plugin.enable",           "plugins",    "write", "plugin",    None,            facts.PATH),
    ("POST",   "/plugins/{name:.*}/disable",           "plugin.disable",          "plugins",    "write", "plugin",    None,            facts.PATH),
    ("POST",   "/plugins/pull",                        "plugin.pull",             "plugins",    "write", None,        shapes.PLUGIN_PRIVILEGES, facts.PLUGIN_REMOTE),
    ("POST",   "/plugins/{name:.*}/push",              "plugin.push",             "plugins",    "write", "plugin",    None,            facts.PLUGIN_PUSH),
    ("POST",   "/plugins/{name:.*}/upgrade",           "plugin.upgrade",          "plugins",    "write", "plugin",    shapes.PLUGIN_PRIVILEGES, facts.PLUGIN_REMOTE),
    ("POST",   "/plugins/{name:.*}/set",               "plugin.set",              "plugins",    "write", "plugin",    shapes.PLUGIN_SETTINGS, facts.PATH),
    ("POST",   "/plugins/create",                      "plugin.create",           "plugins",    "write", None,        STREAM,          facts.PATH),

    ("GET",    "/distribution/{name:.*}/json",         "distribution.inspect",    "distribution", "read", "image",    None,            facts.DISTRIBUTION),

    ("GET",    "/networks",                            "network.list",            "networks",   "read",  None,        None,            facts.PATH),
    ("GET",    "/networks/",                           "network.list",            "networks",   "read",  None,        None,            facts.PATH),
    ("GET",    "/networks/{id:.+}",                    "network.inspect",         "networks",   "read",  "network",   None,            facts.PATH),
    ("POST",   "/networks/create",                     "network.create",          "networks",   "write", None,        shapes.NETWORK_CREATE, facts.NETWORK_CREATE),
    ("POST",   "/networks/{id:.*}/connect",            "network.connect",         "networks",   "write", "network",   shapes.NETWORK_CONNECT, facts.NETWORK_CONNECT),
    ("POST",   "/networks/{id:.*}/disconnect",         "network.disconnect",      "networks",   "write", "network",   shapes.NETWORK_DISCONNECT, facts.NETWORK_DISCONNECT),
    ("POST",   "/networks/prune",                      "network.prune",           "networks",   "write", None,        None,            facts.PATH),
    ("DELETE", "/networks/{id:.*}",                    "network.remove",          "networks",   "write", "network",   None,            facts.PATH),

    ("ANY",    "/debug/vars",                          "debug.vars",              "debug",      "read",  None,        None,            facts.PATH),
    ("ANY",    "/debug/pprof/",                        "debug.pprof",             "debug",      "read",  None,        None,            facts.PATH),
    ("ANY",    "/debug/pprof/{name}",                  "debug.pprof",             "debug",      "read",  None,        None,            facts.PATH),
)
# fmt: on

_LISTS: Final = {
    "container.commit": frozenset({"changes"}),
    "image.attestations": frozenset({"platform", "type"}),
    "image.build": frozenset({"extrahosts", "securityopt", "t"}),
    "image.export": frozenset({"names", "platform"}),
    "image.import": frozenset({"changes"}),
    "image.load": frozenset({"platform"}),
    "image.remove": frozenset({"platforms"}),
    "system.df": frozenset({"type"}),
}
"""Query parameters read as lists: ``r.Form["x"]`` in moby's routers, not ``r.Form.Get("x")``."""

OPERATIONS: Final = {
    id_: Operation(id_, section, access, kind, body, readers, _LISTS.get(id_, frozenset()))
    for _, _, id_, section, access, kind, body, readers in _TABLE
}
"""Every operation by its id."""

ROUTES: Final = tuple((method, path, OPERATIONS[id_]) for method, path, id_, *_ in _TABLE)
"""The table's rows as (method, path template, operation)."""


class Match(NamedTuple):
    """The operation of a request, and the ``{name}`` or ``{id}`` in its path, or None."""

    operation: Operation
    ref: str | None


def match(method: str, path: str, query: dict[str, tuple[str, ...]]) -> Match:
    """Find the operation of a request as dockerd's router does.

    ``path`` is decoded and without version prefix. Raises ``Refused``
    (``request.unknown-operation``) where no engine known here has a route.
    """
    found = _ROUTERS.get(method, _ANY_METHOD).match(path)
    if found is None:
        raise Refused(
            "request.unknown-operation",
            "path",
            f"{method} {path} is no operation of the Docker API that is known here",
            "docs/reference/operations.md lists them",
        )
    if found.operation.id == "image.pull" and not query.get("fromImage", ("",))[0]:
        return Match(OPERATIONS["image.import"], None)
    if found.operation.id == "container.start" and _names_checkpoint(query):
        return Match(OPERATIONS["container.checkpoint.restore"], found.ref)
    return found


def _names_checkpoint(query: dict[str, tuple[str, ...]]) -> bool:
    return any(query.get(name, ("",))[0] for name in ("checkpoint", "checkpoint-dir"))


class _Router:
    """The rows of one method as one regular expression, with one alternative per row, in order.

    It is compiled for the first request with that method.
    """

    def __init__(self, rows: list[tuple[str, Operation]]) -> None:
        self._operations: dict[int, Operation] = {}
        alternatives = []
        group = 1
        for template, operation in rows:
            pattern, names = _pattern(template)
            alternatives.append(f"({pattern})")
            self._operations[group] = operation
            group += 1 + names
        self._alternatives = "|".join(alternatives)

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        return re.compile(self._alternatives)

    def match(self, path: str) -> Match | None:
        found = self._pattern.fullmatch(path)
        if found is None or found.lastindex is None:
            return None
        operation = self._operations[found.lastindex]
        return Match(operation, found.group(found.lastindex + 1) if operation.kind else None)


def _pattern(template: str) -> tuple[str, int]:
    literals = re.split(r"\{.+?\}", template)
    wildcards = [name.partition(":")[2] or "[^/]+" for name in re.findall(r"\{(.+?)\}", template)]
    pattern = re.escape(literals[0])
    for wildcard, literal in zip(wildcards, literals[1:], strict=True):
        pattern += f"({wildcard}){re.escape(literal)}"
    return pattern, len(wildcards)


def _router(*methods: str) -> _Router:
    return _Router([(path, operation) for method, path, operation in ROUTES if method in methods])


_ROUTERS: Final = {
    method: _router(method, "ANY") for method in {row[0] for row in ROUTES} if method != "ANY"
}
_ANY_METHOD: Final = _router("ANY")
