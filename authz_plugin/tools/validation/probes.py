"""One request for each operation of the Docker API that has no effect, even if it is allowed.

A probe names objects that do not exist, or has a value that dockerd rejects after it has asked its
plugins. The reply shows whether the plugins allowed the request, so probes can be sent to a host
in use.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from authz_plugin.tools.docker_client import Request

NOTHING: Final = "opa-authz-probe-of-nothing"
"""The name of a container, volume, network, image and plugin that does not exist."""

ALWAYS_DENIED: Final = Request("GET", f"/containers/{NOTHING}/logs?stdout=1&stdout=0")
"""A request that the plugin refuses under every policy (``request.query``)."""

_UNREACHABLE_REGISTRY: Final = f"127.0.0.1:1/{NOTHING}"  # nothing listens on port 1
_INVALID_FILTER: Final = (
    "filters=%7B%22opa-authz%22%3A%5B%22none%22%5D%7D"  # not a filter of dockerd
)
_SERVICE: Final = {"Name": NOTHING, "TaskTemplate": {}}

WITHOUT_PROBE: Final = frozenset({"swarm.leave", "system.options"})
"""Operations without a probe: no request for ``swarm.leave`` is without effect, and not every
engine has ``system.options``."""

_BODIES: Final[Mapping[str, tuple[str, str, Any]]] = {
    "container.create": ("POST", "/containers/create", {"Image": f"{NOTHING}:none"}),
    "container.copy": ("POST", f"/v1.23/containers/{NOTHING}/copy", {"Resource": "/"}),
    "container.update": ("POST", f"/containers/{NOTHING}/update", {}),
    "container.commit": ("POST", f"/commit?container={NOTHING}&repo={NOTHING}", {}),
    "container.checkpoint.create": (
        "POST",
        f"/containers/{NOTHING}/checkpoints",
        {"CheckpointID": "none"},
    ),
    "exec.create": ("POST", f"/containers/{NOTHING}/exec", {"Cmd": ["true"]}),
    "exec.start": ("POST", f"/exec/{NOTHING}/start", {"Detach": True}),
    "volume.create": ("POST", "/volumes/create", {"Name": "!"}),
    "volume.update": ("PUT", f"/volumes/{NOTHING}?version=1", {}),
    "swarm.init": ("POST", "/swarm/init", {"ListenAddr": NOTHING, "AdvertiseAddr": NOTHING}),
    "swarm.join": ("POST", "/swarm/join", {"ListenAddr": NOTHING, "JoinToken": "none"}),
    "swarm.update": ("POST", "/swarm/update?version=none", {"Name": NOTHING}),
    "swarm.unlock": ("POST", "/swarm/unlock", {"UnlockKey": "none"}),
    "service.create": ("POST", "/services/create", _SERVICE),
    "service.update": ("POST", f"/services/{NOTHING}/update?version=1", _SERVICE),
    "node.update": ("POST", f"/nodes/{NOTHING}/update?version=1", {"Role": "worker"}),
    "secret.create": ("POST", "/secrets/create", {"Name": ""}),
    "secret.update": ("POST", f"/secrets/{NOTHING}/update?version=1", {"Name": NOTHING}),
    "config.create": ("POST", "/configs/create", {"Name": ""}),
    "config.update": ("POST", f"/configs/{NOTHING}/update?version=1", {"Name": NOTHING}),
    "plugin.pull": ("POST", f"/plugins/pull?remote={_UNREACHABLE_REGISTRY}:none", []),
    "plugin.upgrade": (
        "POST",
        f"/plugins/{NOTHING}/upgrade?remote={_UNREACHABLE_REGISTRY}:none",
        [],
    ),
    "plugin.set": ("POST", f"/plugins/{NOTHING}/set", []),
    "network.create": ("POST", "/networks/create", {"Name": ""}),
    "network.connect": ("POST", f"/networks/{NOTHING}/connect", {"Container": NOTHING}),
    "network.disconnect": ("POST", f"/networks/{NOTHING}/disconnect", {"Container": NOTHING}),
}

_EMPTY: Final[Mapping[str, tuple[str, str]]] = {
    "container.archive.get": ("GET", f"/containers/{NOTHING}/archive?path=/"),
    "container.archive.put": ("PUT", f"/containers/{NOTHING}/archive?path=/"),
    "container.archive.stat": ("HEAD", f"/containers/{NOTHING}/archive?path=/"),
    "container.attach": ("POST", f"/containers/{NOTHING}/attach"),
    "container.attach.ws": ("GET", f"/containers/{NOTHING}/attach/ws"),
    "container.changes": ("GET", f"/containers/{NOTHING}/changes"),
    "container.checkpoint.list": ("GET", f"/containers/{NOTHING}/checkpoints"),
    "container.checkpoint.remove": ("DELETE", f"/containers/{NOTHING}/checkpoints/none"),
    "container.checkpoint.restore": ("POST", f"/containers/{NOTHING}/start?checkpoint=none"),
    "container.export": ("GET", f"/containers/{NOTHING}/export"),
    "container.inspect": ("GET", f"/containers/{NOTHING}/json"),
    "container.kill": ("POST", f"/containers/{NOTHING}/kill"),
    "container.list": ("GET", "/containers/json?limit=1"),
    "container.logs": ("GET", f"/containers/{NOTHING}/logs?stdout=1"),
    "container.pause": ("POST", f"/containers/{NOTHING}/pause"),
    "container.prune": ("POST", f"/containers/prune?{_INVALID_FILTER}"),
    "container.remove": ("DELETE", f"/containers/{NOTHING}"),
    "container.rename": ("POST", f"/containers/{NOTHING}/rename?name={NOTHING}"),
    "container.resize": ("POST", f"/containers/{NOTHING}/resize?h=24&w=80"),
    "container.restart": ("POST", f"/containers/{NOTHING}/restart"),
    "container.start": ("POST", f"/containers/{NOTHING}/start"),
    "container.stats": ("GET", f"/containers/{NOTHING}/stats?stream=0"),
    "container.stop": ("POST", f"/containers/{NOTHING}/stop"),
    "container.top": ("GET", f"/containers/{NOTHING}/top"),
    "container.unpause": ("POST", f"/containers/{NOTHING}/unpause"),
    "container.wait": ("POST", f"/containers/{NOTHING}/wait"),
    "exec.inspect": ("GET", f"/exec/{NOTHING}/json"),
    "exec.resize": ("POST", f"/exec/{NOTHING}/resize?h=24&w=80"),
    "image.attestations": ("GET", f"/images/{NOTHING}/attestations"),
    "image.export": ("GET", f"/images/get?names={NOTHING}"),
    "image.history": ("GET", f"/images/{NOTHING}/history"),
    "image.import": ("POST", "/images/create?fromSrc=http://127.0.0.1:1/"),
    "image.inspect": ("GET", f"/images/{NOTHING}/json"),
    "image.list": ("GET", "/images/json"),
    "image.load": ("POST", "/images/load"),
    "image.prune": ("POST", f"/images/prune?{_INVALID_FILTER}"),
    "image.pull": ("POST", f"/images/create?fromImage={_UNREACHABLE_REGISTRY}&tag=none"),
    "image.push": ("POST", f"/images/{_UNREACHABLE_REGISTRY}/push?tag=none"),
    "image.remove": ("DELETE", f"/images/{NOTHING}"),
    "image.search": ("GET", f"/images/search?term={NOTHING}&limit=1000"),
    "image.tag": ("POST", f"/images/{NOTHING}/tag?repo={NOTHING}&tag=none"),
    "system.ping": ("GET", "/_ping"),
    "system.events": ("GET", "/events?since=1&until=2"),
    "system.info": ("GET", "/info"),
    "system.version": ("GET", "/version"),
    "system.df": ("GET", "/system/df?type=none"),
    "registry.login": ("POST", "/auth"),
    "volume.list": ("GET", "/volumes"),
    "volume.inspect": ("GET", f"/volumes/{NOTHING}"),
    "volume.prune": ("POST", f"/volumes/prune?{_INVALID_FILTER}"),
    "volume.remove": ("DELETE", f"/volumes/{NOTHING}"),
    "image.build": ("POST", "/build?dockerfile=none"),
    "build.prune": ("POST", f"/build/prune?{_INVALID_FILTER}"),
    "build.cancel": ("POST", f"/build/cancel?id={NOTHING}"),
    "build.session": ("POST", "/session"),
    "build.grpc": ("POST", "/grpc"),
    "swarm.inspect": ("GET", "/swarm"),
    "swarm.unlock-key": ("GET", "/swarm/unlockkey"),
    "service.list": ("GET", "/services"),
    "service.inspect": ("GET", f"/services/{NOTHING}"),
    "service.remove": ("DELETE", f"/services/{NOTHING}"),
    "service.logs": ("GET", f"/services/{NOTHING}/logs?stdout=1"),
    "node.list": ("GET", "/nodes"),
    "node.inspect": ("GET", f"/nodes/{NOTHING}"),
    "node.remove": ("DELETE", f"/nodes/{NOTHING}"),
    "task.list": ("GET", "/tasks"),
    "task.inspect": ("GET", f"/tasks/{NOTHING}"),
    "task.logs": ("GET", f"/tasks/{NOTHING}/logs?stdout=1"),
    "secret.list": ("GET", "/secrets"),
    "secret.inspect": ("GET", f"/secrets/{NOTHING}"),
    "secret.remove": ("DELETE", f"/secrets/{NOTHING}"),
    "config.list": ("GET", "/configs"),
    "config.inspect": ("GET", f"/configs/{NOTHING}"),
    "config.remove": ("DELETE", f"/configs/{NOTHING}"),
    "plugin.list": ("GET", "/plugins"),
    "plugin.inspect": ("GET", f"/plugins/{NOTHING}/json"),
    "plugin.privileges": ("GET", f"/plugins/privileges?remote={_UNREACHABLE_REGISTRY}:none"),
    "plugin.remove": ("DELETE", f"/plugins/{NOTHING}"),
    "plugin.enable": ("POST", f"/plugins/{NOTHING}/enable"),
    "plugin.disable": ("POST", f"/plugins/{NOTHING}/disable"),
    "plugin.push": ("POST", f"/plugins/{NOTHING}/push"),
    "plugin.create": ("POST", f"/plugins/create?name={NOTHING}"),
    "distribution.inspect": ("GET", f"/distribution/{_UNREACHABLE_REGISTRY}:none/json"),
    "network.list": ("GET", "/networks"),
    "network.inspect": ("GET", f"/networks/{NOTHING}"),
    "network.prune": ("POST", f"/networks/prune?{_INVALID_FILTER}"),
    "network.remove": ("DELETE", f"/networks/{NOTHING}"),
    "debug.vars": ("GET", "/debug/vars"),
    "debug.pprof": ("GET", "/debug/pprof/cmdline"),
}

PROBES: Final[Mapping[str, Request]] = {
    **{id_: Request(method, target) for id_, (method, target) in _EMPTY.items()},
    **{id_: Request.of_json(*parts) for id_, parts in _BODIES.items()},
}
"""A probe for every operation except those in ``WITHOUT_PROBE``, by the operation's id."""
