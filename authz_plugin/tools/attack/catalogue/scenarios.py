"""The ten escape scenarios of the socket proxy's validation guide, with its order and titles."""

from __future__ import annotations

from typing import Any, Final

from authz_plugin.tools.attack.catalogue.builders import (
    BUILD,
    DEVCONTAINER,
    IMPACT_ADMIN,
    IMPACT_EXEC,
    IMPACT_FILES,
    IMPACT_NETWORK,
    IMPACT_PRIVILEGED,
    IMPACT_PROCESSES,
    IMPACT_SOCKET,
    NO_CONTAINER,
    entry,
    host_config_entry,
    post,
)
from authz_plugin.tools.attack.model import TAR, CatalogueAttack, DockerObject, Family, Proof

SCENARIOS: Final = Family("scenario", "Escape scenarios")

_SOCKET: Final = "/var/run/docker.sock:/var/run/docker.sock"


def _run(id_: str, title: str, options: str, host: dict[str, Any], **more: str) -> CatalogueAttack:
    return host_config_entry(
        SCENARIOS, id_, title, host, command=f"docker run {options} alpine", **more
    )


ROWS: Final = (
    _run("privileged", "Privileged Container Creation", "--privileged", {"Privileged": True},
         rule="privileged.container", impact=IMPACT_PRIVILEGED),
    _run("host-network", "Host Network Namespace Escape", "--network host",
         {"NetworkMode": "host"}, rule="namespaces.host", impact=IMPACT_NETWORK),
    _run("host-filesystem", "Host Filesystem Mount", "-v /:/hostfs", {"Binds": ["/:/hostfs"]},
         rule="mounts.source", impact=IMPACT_FILES),
    _run("docker-socket", "Docker Socket Mount (DinD)", f"-v {_SOCKET}", {"Binds": [_SOCKET]},
         rule="mounts.protected", impact=IMPACT_SOCKET),
    _run("capabilities", "Capability Escalation", "--cap-add SYS_ADMIN",
         {"CapAdd": ["SYS_ADMIN"]}, rule="capabilities.add", impact=IMPACT_ADMIN),
    _run("pid-namespace", "PID Namespace Escape", "--pid host", {"PidMode": "host"},
         rule="namespaces.host", impact=IMPACT_PROCESSES),
    entry(
        SCENARIOS,
        "volume",
        "Volume-Based Data Exfiltration",
        post("/volumes/create", '{"Name":"<name>"}'),
        command="docker volume create malicious-volume",
        proof=Proof("/volumes/<name>", "Name", "<name>"),
        creates=(DockerObject("volume"),),
        success_errors="",
        rule="",
        allowed_by=DEVCONTAINER,
        impact="storage that outlives containers, shared between them past their networks",
    ),
    entry(
        SCENARIOS,
        "network",
        "Network Creation for Lateral Movement",
        post("/networks/create", '{"Name":"<name>","Driver":"bridge"}'),
        command="docker network create attack-network",
        proof=Proof("/networks/<name>", "Name", "<name>"),
        creates=(DockerObject("network"),),
        success_errors="",
        rule="",
        allowed_by=DEVCONTAINER,
        impact="a network that nobody watches, and a way between containers kept apart",
    ),
    entry(
        SCENARIOS,
        "exec",
        "Container Exec Command Injection",
        post("/containers/<own>/exec", '{"Cmd":["/bin/sh"]}'),
        command="docker exec <container> /bin/sh",
        success_errors=NO_CONTAINER,
        rule="",
        allowed_by=DEVCONTAINER,
        impact=IMPACT_EXEC,
    ),
    entry(
        SCENARIOS,
        "build",
        "Malicious Image Build",
        post("/build?t=<name>", BUILD, TAR),
        command="docker build -t malicious .",
        proof=Proof("/images/<name>/json", "RepoTags", ["<name>:latest"]),
        creates=(DockerObject("image"),),
        success_errors="",
        rule="images.name",
        allowed_by=DEVCONTAINER,
        impact="an image with anything in it, under any name; its build runs code on this host",
    ),
)  # fmt: skip
