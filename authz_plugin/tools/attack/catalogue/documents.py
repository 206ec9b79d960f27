"""Request bodies that Go's ``encoding/json`` decodes differently from other JSON parsers."""

from __future__ import annotations

from typing import Any, Final

from authz_plugin.tools.attack.catalogue.builders import (
    CREATE,
    IMPACT_ADMIN,
    IMPACT_FILES,
    IMPACT_NETWORK,
    IMPACT_PRIVILEGED,
    IMPACT_PROCESSES,
    IMPACT_READ,
    IS_PRIVILEGED,
    NO_CONTAINER,
    PRIVILEGED,
    container_entry,
    entry,
    host_config_entry,
    post,
)
from authz_plugin.tools.attack.model import CatalogueAttack, Family, Proof
from authz_plugin.tools.validation.probes import NOTHING

DOCUMENTS: Final = Family("json", "JSON that dockerd reads in its own way")

_REPEATED: Final = "request.body-duplicate"
_OLD_SHAPE: Final = "request.body-old-shape"
_TRAILING: Final = "request.body-json"
_START: Final = f"/v1.23/containers/{NOTHING}/start"
_OLD_START: Final[dict[str, Any]] = {
    "success_errors": NO_CONTAINER,
    "rule": _OLD_SHAPE,
    "engine_note": "from 25.0 dockerd refuses it",
    "impact": "a container that was made harmless is started with the host's files",
}
_BIND: Final = {"VolumeOptions": {"DriverConfig": {"Options": {"o": "bind", "device": "/"}}}}


def _host(members: str, more: str = "") -> str:
    return f'{{<top>,"HostConfig":{{<host>{members}}}{more}}}'


def _document(
    id_: str, title: str, body: str, shown: tuple[str, Any], **more: Any
) -> CatalogueAttack:
    return container_entry(
        DOCUMENTS, id_, title, post(CREATE, body), shown, **{"rule": _REPEATED, **more}
    )


def _privileged(id_: str, title: str, body: str, **more: Any) -> CatalogueAttack:
    return _document(id_, title, body, IS_PRIVILEGED, impact=IMPACT_PRIVILEGED, **more)


def _files(id_: str, title: str, body: str, shown: tuple[str, Any], **more: Any) -> CatalogueAttack:
    return _document(id_, title, body, shown, impact=IMPACT_FILES, **more)


ROWS: Final = (
    _privileged("case", "Keys in other case",
                '{<top>,"HOSTCONFIG":{<host>"pRiViLeGeD":true}}', rule="privileged.container"),
    _privileged("long-s", "A long s in HostConfig",
                '{<top>,"Ho\u017ftConfig":{<host>"Privileged":true}}',
                rule="privileged.container"),
    _files("long-s-escaped", "An escaped long s in HostConfig and Binds",
           '{<top>,"Ho\\u017ftConfig":{<host>"Bind\\u017f":["/:/h"]}}',
           ("HostConfig.Binds", ["/:/h"]), rule="mounts.source"),
    _document("kelvin", "A Kelvin sign in NetworkMode", _host('"Networ\u212aMode":"host"'),
              ("HostConfig.NetworkMode", "host"), rule="namespaces.host", impact=IMPACT_NETWORK),
    _files("long-s-options", "A long s in DriverConfig's Options",
           _host('"Mount\u017f":[{"Type":"volume","Target":"/h","VolumeOption\u017f":'
                 '{"NoCopy":true,"DriverConfig":{"Option\u017f":'
                 '{"type":"none","o":"bind","device":"/"}}}}]'),
           ("HostConfig.Mounts", [_BIND]), rule="mounts.source"),
    _privileged("twice", "Privileged twice, true the last, in other case",
                _host('"Privileged":false,"privileged":true')),
    _privileged("null", "Privileged twice, null the last",
                _host('"Privileged":true,"Privileged":null')),
    _document("null-text", "PidMode twice, null the last",
              _host('"PidMode":"host","PidMode":null'), ("HostConfig.PidMode", "host"),
              impact=IMPACT_PROCESSES),
    _privileged("merged", "HostConfig twice, merged",
                _host('"Privileged":true', ',"HostConfig":{"CapAdd":["KILL"]}')),
    _privileged("merged-empty", "HostConfig twice, empty the last, in other case",
                _host('"Privileged":true', ',"hostconfig":{}')),
    _privileged("merged-case", "HostConfig twice, the first in lower case",
                '{<top>,"hostconfig":{"Privileged":true},"HostConfig":{<host>"CapAdd":[]}}'),
    _document("merged-map", "Sysctls twice, merged",
              _host('"Sysctls":{"kernel.msgmax":"1"},"Sysctls":{"net.ipv4.ip_forward":"1"}'),
              ("HostConfig.Sysctls", {"kernel.msgmax": "1", "net.ipv4.ip_forward": "1"}),
              impact="two maps that dockerd merges, where a guard sees the last alone"),
    _files("null-element", "Binds twice, a null that keeps the old element",
           _host('"Binds":["/:/h"],"Binds":[null]'), ("HostConfig.Binds", ["/:/h"])),
    _files("stale-element", "Mounts twice, the source of the old element",
           _host('"Mounts":[{"Type":"bind","Source":"/","Target":"/h"}],'
                 '"Mounts":[{"Target":"/x"}]'),
           ("HostConfig.Mounts", [{"Type": "bind", "Source": "/", "Target": "/x"}])),
    _document("null-device", "Devices twice, a null that keeps the old element",
              _host('"Devices":[{"PathOnHost":"/dev/kmsg","PathInContainer":"/dev/kmsg"}],'
                    '"Devices":[null]'),
              ("HostConfig.Devices", [{"PathOnHost": "/dev/kmsg"}]),
              impact="a device of the host in a container"),
    _files("merged-options", "DriverConfig's Options twice, merged",
           _host('"Mounts":[{"Type":"volume","Target":"/h","VolumeOptions":{"NoCopy":true,'
                 '"DriverConfig":{"Options":{"type":"none","device":"/"},'
                 '"Options":{"o":"bind"}}}}]'),
           ("HostConfig.Mounts", [_BIND])),
    _privileged("brace-behind", "A brace and more behind the document",
                PRIVILEGED + '}{"HostConfig":{}}', rule=_TRAILING),
    _privileged("bracket-behind", "A bracket and more behind the document",
                PRIVILEGED + "] junk", rule=_TRAILING),
    _privileged("document-behind", "A second document behind the first",
                PRIVILEGED + "{<top>}", rule=_TRAILING,
                engine_note="from 23.0 dockerd refuses what follows"),
    _privileged("mark", "A byte-order mark", "\ufeff" + PRIVILEGED, rule=_TRAILING,
                refusal_errors="invalid character"),
    _privileged("old-shape", "HostConfig's fields at the top level",
                '{<top>,<host>"Privileged":true}', rule=_OLD_SHAPE,
                engine_note="from 27.0 dockerd ignores them"),
    _privileged("old-shape-null", "HostConfig's fields at the top level beside a null",
                '{<top>,<host>"Privileged":true,"HostConfig":null}', rule=_OLD_SHAPE,
                engine_note="from 27.0 dockerd ignores them"),
    host_config_entry(DOCUMENTS, "text-for-list", "A string for the list CapAdd",
        {"CapAdd": "SYS_ADMIN"},
        value=["SYS_ADMIN"], rule="capabilities.add", impact=IMPACT_ADMIN,
        engine_note="from 29.0 dockerd takes lists alone"),
    entry(DOCUMENTS, "start", "A start with a HostConfig, the old way: v1.23",
          post(_START, '{"Binds":["/etc:/h"]}'), **_OLD_START),
    entry(DOCUMENTS, "start-chunked", "A start with a chunked HostConfig: v1.23",
          post(_START, '{"Binds":["/etc:/h"]}', chunked=True), **_OLD_START),
    entry(DOCUMENTS, "copy", "A copy out of a container, the old way: v1.23",
          post("/v1.23/containers/<own>/copy", '{"Resource":"/.dockerenv"}'),
          proof=Proof(form="tar"), success_errors=NO_CONTAINER, rule="",
          engine_note="from 25.0 dockerd has no such operation", impact=IMPACT_READ),
)  # fmt: skip
