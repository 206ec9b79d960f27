"""Services, whose containers run on any node of a swarm, and changes of the swarm itself.

Services are created with zero replicas and a placement constraint that no node meets, so that none
of their tasks runs.
"""

from __future__ import annotations

import json
from typing import Any, Final

from authz_plugin.tools.attack.catalogue.builders import (
    IMPACT_FILES,
    IMPACT_SOCKET,
    IMPACT_TASKS,
    NO_MANAGER,
    NOWHERE,
    entry,
    post,
)
from authz_plugin.tools.attack.model import CatalogueAttack, DockerObject, Family, Proof
from authz_plugin.tools.validation.probes import NOTHING

SWARM: Final = Family("swarm", "Swarm")

_SPEC: Final = "Spec.TaskTemplate.ContainerSpec"
_PRIVILEGE: Final = {"name": "network", "value": ["host"]}
_IMPACT_SWARM: Final = "who steers the swarm runs anything on every node"
_NO_SWARM: Final = "already part of a swarm|listen address must be"


def service(spec: str = "", task: str = "", more: str = "") -> str:
    """Return the body of a service without tasks.

    ``spec``, ``task`` and ``more`` are JSON members to add to ContainerSpec, to TaskTemplate and to
    the service.
    """
    container = f'"ContainerSpec":{{"Image":"<image>"{spec and f",{spec}"}}}'
    nowhere = '"Placement":{"Constraints":["node.labels.opa-authz-attack==none"]}'
    template = f'"TaskTemplate":{{{container},{nowhere}{task and f",{task}"}}}'
    mode = '"Mode":{"Replicated":{"Replicas":0}}'
    return f'{{"Name":"<name>",{mode},{template}{more and f",{more}"}}}'


def _service(
    id_: str,
    title: str,
    body: str,
    shown: tuple[str, Any],
    *,
    impact: str = IMPACT_TASKS,
    **more: Any,
) -> CatalogueAttack:
    return entry(
        SWARM, id_, title, post("/services/create", body), success_errors=NO_MANAGER,
        proof=Proof("/services/<name>", *shown), creates=(DockerObject("service"),), impact=impact,
        **more,
    )  # fmt: skip


def _mount(
    id_: str, title: str, members: str, shown: dict[str, Any], **more: Any
) -> CatalogueAttack:
    body = service(f'"Mounts":[{{{members},"Target":"/h"}}]')
    more = {"rule": "mounts.source", "impact": IMPACT_FILES, **more}
    return _service(id_, title, body, (f"{_SPEC}.Mounts", [shown]), **more)


def _update(
    id_: str, title: str, task: dict[str, Any], query: str = "", **more: Any
) -> CatalogueAttack:
    """Return an attack that changes a service, which does not exist."""
    body = json.dumps({"Name": NOTHING, "TaskTemplate": task})
    request = post(f"/services/{NOTHING}/update?version=1{query}", body)
    granted = f"{NO_MANAGER}|service .* not found"
    return entry(SWARM, id_, title, request, success_errors=granted, **more)


def _swarm(id_: str, title: str, target: str, body: Any, **more: Any) -> CatalogueAttack:
    return entry(SWARM, id_, title, post(target, json.dumps(body)), impact=_IMPACT_SWARM, **more)


ROWS: Final = (
    _mount("bind", "A service with a bind mount of /", '"Type":"bind","Source":"/"',
           {"Source": "/"}),
    _mount("bind-untyped", "A service with a mount of no type", '"Source":"/"', {"Source": "/"}),
    _mount("bind-volume", "A service with a volume that is a bind",
           '"Type":"volume","Source":"x","VolumeOptions":{"DriverConfig":'
           '{"Options":{"type":"none","o":"bind","device":"/"}}}',
           {"VolumeOptions": {"DriverConfig": {"Options": {"o": "bind"}}}}),
    _mount("socket", "A service with the Docker socket",
           '"Type":"bind","Source":"/var/run/docker.sock"', {"Source": "/var/run/docker.sock"},
           rule="mounts.protected", impact=IMPACT_SOCKET),
    _service("capabilities", "A service with capabilities",
             service('"CapabilityAdd":["SYS_ADMIN"]'), (f"{_SPEC}.CapabilityAdd", ["SYS_ADMIN"]),
             rule="capabilities.add"),
    _service("seccomp", "A service without seccomp",
             service('"Privileges":{"Seccomp":{"Mode":"unconfined"}}'),
             (f"{_SPEC}.Privileges.Seccomp.Mode", "unconfined"), rule="security-options.value"),
    _service("sysctl", "A service with a parameter of the kernel",
             service('"Sysctls":{"kernel.msgmax":"1"}'),
             (f"{_SPEC}.Sysctls", {"kernel.msgmax": "1"}), rule="sysctls.name"),
    _service("network", "A service in the host's network",
             service(task='"Networks":[{"Target":"host"}]'), ("Spec.TaskTemplate.Networks", None),
             rule="namespaces.host"),
    _service("network-old", "A service in the host's network, the old way",
             service(more='"Networks":[{"Target":"host"}]'), ("Spec.Networks", None),
             rule="namespaces.host"),
    _update("update", "A service changed to a bind mount of /",
            {"ContainerSpec": {"Mounts": [{"Type": "bind", "Source": "/", "Target": "/h"}]}},
            rule="mounts.source", impact=IMPACT_FILES),
    _update("rollback", "A service set back to what it was", {"ContainerSpec": {"Image": NOTHING}},
            "&rollback=previous", rule="swarm.rollback", impact=IMPACT_TASKS),
    _update("plugin", "A service changed to a plugin",
            {"Runtime": "plugin", "PluginSpec": {
                "name": NOTHING, "remote": f"{NOWHERE}/{NOTHING}", "privileges": [_PRIVILEGE]}},
            rule="swarm.runtime", impact=IMPACT_TASKS),
    _swarm("init", "A swarm of the caller's", "/swarm/init",
           {"ListenAddr": NOTHING, "AdvertiseAddr": NOTHING,
            "Spec": {"CAConfig": {"SigningCAKey": "x"}}},
           success_errors=_NO_SWARM, rule="swarm.ca"),
    _swarm("join", "A foreign swarm joined", "/swarm/join",
           {"ListenAddr": NOTHING, "RemoteAddrs": [NOWHERE], "JoinToken": "none"},
           success_errors=_NO_SWARM, rule="swarm.join"),
    _swarm("ca", "A foreign certificate authority for the swarm", "/swarm/update?version=none",
           {"Name": NOTHING, "CAConfig": {"ExternalCAs": [
               {"Protocol": "cfssl", "URL": f"https://{NOWHERE}"}]}},
           success_errors="invalid swarm version", rule="swarm.ca"),
    _swarm("node", "A node made a manager", f"/nodes/{NOTHING}/update?version=1",
           {"Role": "manager", "Availability": "active"},
           success_errors=f"{NO_MANAGER}|node .* not found", rule="swarm.manager"),
    _swarm("secret", "A secret that a driver makes", "/secrets/create",
           {"Name": "", "Driver": {"Name": NOTHING}},
           success_errors=f"{NO_MANAGER}|name must be provided", rule="swarm.driver"),
)  # fmt: skip
