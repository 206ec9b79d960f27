"""Groups that go with users, volumes in memory, ps and checkpoints.

Ceilings are in ``tests/real/test_workloads.py``: one more of them denies every container here.
"""

from __future__ import annotations

import json
from typing import Any, Final

from authz_plugin.tools.attack.catalogue.builders import get, post
from tests.real.attacks.model import (
    ANSWERED,
    NOT_IN_PRODUCTION,
    SECTION,
    SECTIONS_CLOSED,
    SERVICE_EXISTS,
    AttackCase,
    EngineRefusal,
    Table,
    on_all,
    returns,
    service,
    shows,
)

_LIMITED: Final[dict[str, Any]] = {"production": None, "devcontainer": None}
"""Both profiles leave this to the operator; the strict policy does not."""

_IN_MEMORY: Final = {"type": "tmpfs", "device": "tmpfs", "o": "size=1m,exec,suid,dev"}

_workloads = Table("workloads", "Groups of users, and file systems in memory that volumes are")


def _user(user: str) -> AttackCase:
    return _workloads.create(
        f"User {user}", {"User": user}, "users.group", "Config.User", user, **_LIMITED
    )


WORKLOADS: Final = (
    _user("1000:0"),
    _user("1000:root"),
    _user("1000:0:5"),
    _workloads.row(
        "An exec in root's group",
        post("/containers/running/exec", '{"Cmd":["id"],"User":"1000:0"}'),
        "users.group",
        returns("Id"),
        production=SECTION,
        devcontainer=None,
    ),
    _workloads.row(
        "A service in root's group",
        post("/services/create", service(spec='"User":"1000:0"')),
        "users.group",
        SERVICE_EXISTS,
        **SECTIONS_CLOSED,
    ),
    _workloads.row(
        "A volume in memory with programs, set-user-id and devices",
        post("/volumes/create", json.dumps({"Name": "<name>", "DriverOpts": _IN_MEMORY})),
        "tmpfs.option",
        shows("/volumes/<name>", "Options", _IN_MEMORY),
        **NOT_IN_PRODUCTION,
    ),
    _workloads.create(
        "A Mount of a volume in memory with programs, set-user-id and devices",
        {
            "HostConfig": {
                "Mounts": [
                    {
                        "Type": "volume",
                        "Target": "/t",
                        "VolumeOptions": {"DriverConfig": {"Options": _IN_MEMORY}},
                    }
                ]
            }
        },
        "tmpfs.option",
        "HostConfig.Mounts.0.VolumeOptions.DriverConfig.Options",
        _IN_MEMORY,
    ),
    _workloads.row(
        "Options for the host's ps that no list holds",
        get("/containers/running/top?ps_args=-efH"),
        "containers.ps-arguments",
        ANSWERED,
    ),
    _workloads.row(
        "A start from a checkpoint",
        post("/containers/created/start?checkpoint=cp"),
        SECTION,
        ANSWERED,
        strict=None,
        refusals=on_all(EngineRefusal(500, "has no such checkpoint")),
    ),
)
