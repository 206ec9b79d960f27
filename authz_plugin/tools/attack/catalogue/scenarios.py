"""The ten escape scenarios of the socket proxy's validation guide, in its order and its words."""

from __future__ import annotations

from typing import Any, Final

from authz_plugin.tools.attack.catalogue.shorthand import (
    BUILD,
    DEVCONTAINER,
    MEANS_ADMIN,
    MEANS_EXEC,
    MEANS_FILES,
    MEANS_NETWORK,
    MEANS_PRIVILEGED,
    MEANS_PROCESSES,
    MEANS_SOCKET,
    NO_CONTAINER,
    hosting,
    post,
    sending,
)
from authz_plugin.tools.attack.row import TAR, Attack, Family, Proof, Thing

SCENARIOS: Final = Family("scenario", "Escape scenarios")

_SOCKET: Final = "/var/run/docker.sock:/var/run/docker.sock"


def _run(id_: str, what: str, options: str, host: dict[str, Any], **more: str) -> Attack:
    return hosting(SCENARIOS, id_, what, host, command=f"docker run {options} alpine", **more)


ROWS: Final = (
    _run("privileged", "Privileged Container Creation", "--privileged", {"Privileged": True},
         rule="privileged.container", means=MEANS_PRIVILEGED),
    _run("host-network", "Host Network Namespace Escape", "--network host",
         {"NetworkMode": "host"}, rule="namespaces.host", means=MEANS_NETWORK),
    _run("host-filesystem", "Host Filesystem Mount", "-v /:/hostfs", {"Binds": ["/:/hostfs"]},
         rule="mounts.source", means=MEANS_FILES),
    _run("docker-socket", "Docker Socket Mount (DinD)", f"-v {_SOCKET}", {"Binds": [_SOCKET]},
         rule="mounts.protected", means=MEANS_SOCKET),
    _run("capabilities", "Capability Escalation", "--cap-add SYS_ADMIN",
         {"CapAdd": ["SYS_ADMIN"]}, rule="capabilities.add", means=MEANS_ADMIN),
    _run("pid-namespace", "PID Namespace Escape", "--pid host", {"PidMode": "host"},
         rule="namespaces.host", means=MEANS_PROCESSES),
    sending(
        SCENARIOS,
        "volume",
        "Volume-Based Data Exfiltration",
        post("/volumes/create", '{"Name":"<name>"}'),
        command="docker volume create malicious-volume",
        proof=Proof("/volumes/<name>", "Name", "<name>"),
        makes=(Thing("volume"),),
        granted="",
        rule="",
        open_in=DEVCONTAINER,
        means="storage that outlives containers, shared between them past their networks",
    ),
    sending(
        SCENARIOS,
        "network",
        "Network Creation for Lateral Movement",
        post("/networks/create", '{"Name":"<name>","Driver":"bridge"}'),
        command="docker network create attack-network",
        proof=Proof("/networks/<name>", "Name", "<name>"),
        makes=(Thing("network"),),
        granted="",
        rule="",
        open_in=DEVCONTAINER,
        means="a network that nobody watches, and a way between containers kept apart",
    ),
    sending(
        SCENARIOS,
        "exec",
        "Container Exec Command Injection",
        post("/containers/<own>/exec", '{"Cmd":["/bin/sh"]}'),
        command="docker exec <container> /bin/sh",
        granted=NO_CONTAINER,
        rule="",
        open_in=DEVCONTAINER,
        means=MEANS_EXEC,
    ),
    sending(
        SCENARIOS,
        "build",
        "Malicious Image Build",
        post("/build?t=<name>", BUILD, TAR),
        command="docker build -t malicious .",
        proof=Proof("/images/<name>/json", "RepoTags", ["<name>:latest"]),
        makes=(Thing("image"),),
        granted="",
        rule="images.name",
        open_in=DEVCONTAINER,
        means="an image with anything in it, under any name; its build runs code on this host",
    ),
)  # fmt: skip
