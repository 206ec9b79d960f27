"""JSON as Go reads it, and nobody else."""

from __future__ import annotations

from typing import Final

from authz_plugin.tools.attack.catalogue.builders import post
from authz_plugin.tools.attack.model import JSON
from tests.harness.dockerd import IMAGE
from tests.harness.engines import NEWEST
from tests.real.attacks.model import (
    ANSWERED,
    IS_PRIVILEGED,
    PRIVILEGED,
    REPEATED,
    SECTION,
    EngineRefusal,
    Table,
    after_20,
    from_28,
    on_all,
    shows,
)

_json = Table("json", "JSON that dockerd reads in its own way")


def raw(host_config: str, more: str = "") -> str:
    return f'{{"Image":"{IMAGE}","HostConfig":{host_config}{more}}}'


_BIND_DUPLICATE: Final = '"Binds":["/:/h"]'
TYPED: Final = (
    _json.create(
        "Keys in other case",
        f'{{"IMAGE":"{IMAGE}","HOSTCONFIG":{{"pRiViLeGeD":true,"BINDS":["/:/h"]}}}}',
        "privileged.container",
        *IS_PRIVILEGED,
    ),
    _json.create(
        "A long s in HostConfig",
        f'{{"Image":"{IMAGE}","Ho\u017ftConfig":{{"Privileged":true}}}}',
        "privileged.container",
        *IS_PRIVILEGED,
    ),
    _json.create(
        "An escaped long s in HostConfig and Binds",
        f'{{"Image":"{IMAGE}","Ho\\u017ftConfig":{{"Bind\\u017f":["/:/h"]}}}}',
        "mounts.source",
        "HostConfig.Binds.0",
        "/:/h",
    ),
    _json.create(
        "A Kelvin sign in NetworkMode",
        raw('{"Networ\u212aMode":"host"}'),
        "namespaces.host",
        "HostConfig.NetworkMode",
        "host",
    ),
    _json.create(
        "A long s in DriverConfig's Options",
        raw(
            '{"Mount\u017f":[{"Type":"volume","Target":"/h","VolumeOption\u017f":{"DriverConfig":'
            '{"Option\u017f":{"type":"none","o":"bind","device":"/"}}}}]}'
        ),
        "mounts.source",
        "HostConfig.Mounts.0.VolumeOptions.DriverConfig.Options.device",
        "/",
    ),
    _json.create(
        "Privileged twice, true the last",
        raw('{"Privileged":false,"privileged":true}'),
        REPEATED,
        *IS_PRIVILEGED,
    ),
    _json.create(
        "Privileged twice, null the last",
        raw('{"Privileged":true,"Privileged":null}'),
        REPEATED,
        *IS_PRIVILEGED,
    ),
    _json.create(
        "NetworkMode twice, null the last",
        raw('{"NetworkMode":"host","NetworkMode":null}'),
        REPEATED,
        "HostConfig.NetworkMode",
        "host",
    ),
    _json.create(
        "HostConfig twice, merged",
        raw('{"Privileged":true,"Binds":["/:/h"]}', ',"HostConfig":{"CapAdd":["KILL"]}'),
        REPEATED,
        *IS_PRIVILEGED,
    ),
    _json.create(
        "HostConfig twice, empty the last",
        raw('{"Privileged":true}', ',"hostconfig":{}'),
        REPEATED,
        *IS_PRIVILEGED,
    ),
    _json.create(
        "HostConfig twice, the first in lower case",
        f'{{"Image":"{IMAGE}","hostconfig":{{"Privileged":true}},"HostConfig":{{}}}}',
        REPEATED,
        *IS_PRIVILEGED,
    ),
    _json.create(
        "Sysctls twice, merged",
        raw('{"Sysctls":{"kernel.msgmax":"1"},"Sysctls":{"net.ipv4.ip_forward":"1"}}'),
        REPEATED,
        "HostConfig.Sysctls",
        {"kernel.msgmax": "1", "net.ipv4.ip_forward": "1"},
    ),
    _json.create(
        "Binds twice, a null that keeps the old element",
        raw(f'{{{_BIND_DUPLICATE},"Binds":[null]}}'),
        REPEATED,
        "HostConfig.Binds.0",
        "/:/h",
    ),
    _json.create(
        "Mounts twice, the source of the old element",
        raw('{"Mounts":[{"Type":"bind","Source":"/","Target":"/h"}],"Mounts":[{"Target":"/x"}]}'),
        REPEATED,
        "HostConfig.Mounts.0.Source",
        "/",
    ),
    _json.create(
        "Devices twice, a null that keeps the old element",
        raw('{"Devices":[{"PathOnHost":"/dev/null"}],"Devices":[null]}'),
        REPEATED,
        "HostConfig.Devices.0.PathOnHost",
        "/dev/null",
    ),
    _json.create(
        "DriverConfig's Options twice, merged",
        raw(
            '{"Mounts":[{"Type":"volume","Target":"/h","VolumeOptions":{"DriverConfig":'
            '{"Options":{"type":"none","device":"/"},"Options":{"o":"bind"}}}}]}'
        ),
        REPEATED,
        "HostConfig.Mounts.0.VolumeOptions.DriverConfig.Options",
        {"type": "none", "device": "/", "o": "bind"},
    ),
    _json.create(
        "A brace and more behind the document",
        PRIVILEGED + '}{"HostConfig":{}}',
        "request.body-json",
        *IS_PRIVILEGED,
    ),
    _json.create(
        "A bracket and more behind the document",
        PRIVILEGED + "] junk",
        "request.body-json",
        *IS_PRIVILEGED,
    ),
    _json.create(
        "A second document behind the first",
        PRIVILEGED + f'{{"Image":"{IMAGE}"}}',
        "request.body-json",
        *IS_PRIVILEGED,
        refusals=after_20(EngineRefusal(400, "refuses what follows")),
    ),
    _json.create(
        "A byte-order mark",
        "\ufeff" + PRIVILEGED,
        "request.body-json",
        *IS_PRIVILEGED,
        refusals={
            **on_all(EngineRefusal(400, "is no JSON to it")),
            "20.10": EngineRefusal(500, "is no JSON to it"),
        },
    ),
    _json.create(
        "Nesting of 20,000 levels",
        raw('{"Privileged":true}', ',"X":' + "[" * 20_000 + "]" * 20_000),
        "request.body-json",
        *IS_PRIVILEGED,
        refusals={
            **on_all(EngineRefusal(400, "nests too deep for it")),
            "20.10": EngineRefusal(500, "nests too deep for it"),
        },
    ),
    _json.create(
        "HostConfig's fields at the top level",
        {"Privileged": True, "Binds": ["/:/h"]},
        "request.body-old-shape",
        *IS_PRIVILEGED,
        refusals=from_28(EngineRefusal(201, "ignores them")),
    ),
    _json.create(
        "HostConfig's fields at the top level beside a null",
        {"Privileged": True, "HostConfig": None},
        "request.body-old-shape",
        *IS_PRIVILEGED,
        refusals=from_28(EngineRefusal(201, "ignores them")),
    ),
    _json.create(
        "A string for the list CapAdd",
        {"HostConfig": {"CapAdd": "SYS_ADMIN"}},
        "capabilities.add",
        "HostConfig.CapAdd.0",
        "SYS_ADMIN",
        refusals={NEWEST: EngineRefusal(400, "wants a list")},
    ),
    _json.row(
        "A start with a HostConfig: v1.23",
        post("/v1.23/containers/start_a/start", '{"Binds":["/etc:/h"]}'),
        "request.body-old-shape",
        shows("/containers/start_a/json", "HostConfig.Binds.0", "/etc:/h"),
        refusals=after_20(EngineRefusal(400, "speaks no API this old")),
    ),
    _json.row(
        "A start with a chunked HostConfig: v1.23",
        post("/v1.23/containers/start_b/start", '{"Binds":["/etc:/h"]}', JSON, chunked=True),
        "request.body-old-shape",
        shows("/containers/start_b/json", "HostConfig.Binds.0", "/etc:/h"),
        refusals=after_20(EngineRefusal(400, "speaks no API this old")),
    ),
    _json.row(
        "A copy out of a container: v1.23",
        post("/v1.23/containers/running/copy", '{"Resource":"/bin/busybox"}'),
        SECTION,
        ANSWERED,
        refusals=after_20(EngineRefusal(404, "has no such route", asks_plugin=False)),
        strict=None,
    ),
    _json.row(
        "A volume by a body of null",
        post("/volumes/create", "null"),
        SECTION,
        ANSWERED,
        devcontainer=None,
        strict=None,
    ),
)
