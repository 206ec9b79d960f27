"""The other forms of a request that dockerd reads in the same way, or that have the same effect.

Each respelling is a function that takes a request and yields its forms, none if it does not apply.
The docstrings name the sources, in moby 20.10.24 and 28.5.2 unless they say otherwise.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Final

from tests.adversary.requests import Request

Respelling = Callable[[Request], Iterator[Request]]

ENGINE_ID: Final = "0123456789abcdef" * 4
"""The id of an object of the engine: 64 hexadecimal digits."""

SWARM_ID: Final = "k3x9q2m7p4w8z1c6v5b0n8j2h"
"""The id of an object of a swarm: 25 digits and lower-case letters."""

_PROPAGATIONS: Final = frozenset({"private", "rprivate", "rshared", "rslave", "shared", "slave"})
_MAPS: Final = frozenset(
    {"Annotations", "Config", "DriverOpts", "EndpointsConfig", "ExposedPorts", "Labels", "Options"}
    | {"PortBindings", "StorageOpt", "Sysctls", "Tmpfs", "Volumes"}
)
"""Fields that are maps, whose keys are case-sensitive."""

_CREATE: Final = "/containers/create"
_SERVICE: Final = "/services/create"


# --- the target --------------------------------------------------------------------------------


def in_another_api_version(request: Request) -> Iterator[Request]:
    """Without a version, in the oldest and the newest, and with zeros (``versions.compare``)."""
    for version in (None, "1.24", "1.40", "1.41", "1.52", "1.41.0.0", "01.044"):
        yield replace(request, version=version)


def with_an_encoded_path(request: Request) -> Iterator[Request]:
    """gorilla/mux matches the decoded path."""
    head, _, query = request.written_target().partition("?")
    *folders, last = head.split("/")
    if last:
        encoded = "/".join([*folders, f"%{ord(last[0]):02x}{last[1:]}"])
        yield replace(request, target=f"{encoded}?{query}" if query else encoded)


def with_an_absolute_target(request: Request) -> Iterator[Request]:
    """``http://host/path``: net/http takes the path of it."""
    yield replace(request, target=f"http://docker{request.written_target()}")


def with_another_boolean(request: Request) -> Iterator[Request]:
    """Whatever is not empty, 0, no, false or none is true (``httputils.BoolValue``)."""
    for name, value in request.query:
        if value in {"1", "true"}:
            for other in ("True", "yes", "on", "off", "2"):
                yield request.with_parameter(name, other)


# --- JSON --------------------------------------------------------------------------------------


def with_keys_in_another_case(request: Request) -> Iterator[Request]:
    """encoding/json folds the case of keys, and two letters outside ASCII."""
    if isinstance(request.body, dict):
        for fold in (str.upper, str.lower, _outside_ascii):
            text = json.dumps(_with_keys(request.body, fold), ensure_ascii=False)
            yield replace(request, text=text)


def followed_by_a_brace(request: Request) -> Iterator[Request]:
    """``Decoder.More`` is false before a closing brace, whatever follows it."""
    if isinstance(request.body, dict):
        yield replace(request, text=json.dumps(request.body) + '}{"a":1}')


def with_a_key_given_twice(request: Request) -> Iterator[Request]:
    """The second object is merged into the first, null changes nothing in most places."""
    if isinstance(request.body, dict):
        whole = json.dumps(request.body)
        for name, value in request.body.items():
            if isinstance(value, dict):
                yield replace(request, text=f'{whole[:-1]}, "{name}": {{}}}}')
            elif not isinstance(value, list):
                yield replace(request, text=f'{whole[:-1]}, "{name}": null}}')


# --- values of containers ----------------------------------------------------------------------


def with_another_spelling_of_capabilities(request: Request) -> Iterator[Request]:
    """Any case, with and without ``CAP_`` (``oci/caps/utils.go``); one text for a list
    (``strslice``, engines before 29)."""
    for place, names in _found(request, "CapAdd", "CapabilityAdd"):
        if not isinstance(names, list):
            continue
        bare = [name.upper().removeprefix("CAP_") for name in names]
        for spelt in (map(str.lower, bare), bare, (f"CAP_{name}" for name in bare)):
            yield _changed(request, place, list(spelt))
        if place[-1] == "CapAdd" and len(names) == 1:
            yield _changed(request, place, names[0])


def with_another_separator_of_security_options(request: Request) -> Iterator[Request]:
    """``=`` or ``:``, and every Boolean that ``strconv.ParseBool`` takes."""
    for place, options in _found(request, "SecurityOpt"):
        yield _changed(request, place, [option.replace("=", ":", 1) for option in options])
        for false in ("0", "f", "F", "FALSE", "False"):
            yield _changed(request, place, [option.replace("false", false) for option in options])


def with_another_spelling_of_host_paths(request: Request) -> Iterator[Request]:
    """dockerd cleans paths, the kernel does it with devices."""
    spellings: tuple[Callable[[str], str], ...] = (
        lambda path: f"{path}/",
        lambda path: f"/{path}",
        lambda path: f"/.{path}",
        lambda path: f"/workspace/..{path}",
        lambda path: f"{path}/.",
    )
    for place, value in _found(request, "Binds", "Source", "device", "PathOnHost"):
        for spell in spellings:
            if isinstance(value, list):
                binds = [bind if bind[0] != "/" else spell_bind(bind, spell) for bind in value]
                yield _changed(request, place, binds)
            elif value.startswith("/"):
                yield _changed(request, place, spell(value))


def spell_bind(bind: str, spell: Callable[[str], str]) -> str:
    """Return a bind with another spelling of its source."""
    source, colon, rest = bind.partition(":")
    return f"{spell(source)}{colon}{rest}"


def with_another_spelling_of_ports(request: Request) -> Iterator[Request]:
    """``80``, ``080/tcp`` and ``80/TCP`` are one port (go-connections ``nat``)."""
    for place, ports in _found(request, "PortBindings", "ExposedPorts"):
        items = ports.items()
        yield _changed(request, place, {key.partition("/")[0]: value for key, value in items})
        yield _changed(request, place, {key.upper(): value for key, value in items})
        yield _changed(request, place, {f"0{key}": value for key, value in items})


def with_a_reference_that_is_an_id(request: Request) -> Iterator[Request]:
    """The engine finds containers and networks by name, id and the beginning of an id; services,
    secrets and configs are found by a swarm's ids."""
    for id_ in (ENGINE_ID, ENGINE_ID[:12], ENGINE_ID[:1]):
        for place, value in _found(request, "NetworkMode", "Container", "PidMode", "IpcMode"):
            mode, colon, _ = value.partition(":")
            if value not in {"", "host", "none"}:
                yield _changed(request, place, f"{mode}:{id_}" if colon else id_)
        for place, names in _found(request, "EndpointsConfig"):
            for config in names.values():
                yield _changed(request, place, {id_: config})
        for place, links in _found(request, "Links", "VolumesFrom"):
            named = [f"{id_}:{link.partition(':')[2] or link}" for link in links]
            yield _changed(request, place, named if place[-1] == "Links" else [id_ for _ in links])
    for id_ in (SWARM_ID, SWARM_ID[:10]):
        for place, _ in _found(request, "SecretID", "ConfigID", "Target"):
            if place[-1] != "Target" or "Networks" in place:
                yield _changed(request, place, id_)


def with_an_id_in_the_path(request: Request) -> Iterator[Request]:
    """``/containers/NAME/…`` by the beginning of an id."""
    kind, *rest = request.path.split("/")[1:]
    if kind in {"containers", "networks"} and len(rest) == 2 and rest[0] not in {"create", "prune"}:
        for id_ in (ENGINE_ID[:12], ENGINE_ID[:2]):
            yield replace(request, path=f"/{kind}/{id_}/{rest[1]}")


def with_another_reference_of_the_image(request: Request) -> Iterator[Request]:
    """``app`` is ``docker.io/library/app:latest``; a tag beside a digest is ignored; what looks
    like an id may be one."""
    digest = f"sha256:{ENGINE_ID}"
    for place, image in _found(request, "Image"):
        if "/" not in image:
            for registry in ("docker.io", "index.docker.io", "DOCKER.IO"):
                yield _changed(request, place, f"{registry}/library/{image}")
        if "@" not in image and ":" not in image:
            yield _changed(request, place, f"{image}:latest")
        for id_ in (digest, ENGINE_ID, ENGINE_ID[:12], ENGINE_ID[:1]):
            yield _changed(request, place, id_)


def with_the_tag_elsewhere(request: Request) -> Iterator[Request]:
    """``tag`` goes before the tag in ``fromImage`` (``image_routes.go``)."""
    image = request.parameter("fromImage")
    if image and ":" in image.rpartition("/")[2] and "@" not in image:
        name, _, tag = image.rpartition(":")
        yield request.with_parameter("fromImage", name).with_parameter("tag", tag)


def with_the_default_written_out(request: Request) -> Iterator[Request]:
    """What is absent, null, empty or zero and what is the default by its name are one."""
    for place, value in _found(request, "NetworkMode"):
        if value in {"", "default", "bridge"}:
            for name in ("", "default", "bridge"):
                yield _changed(request, place, name)
    for place, value in _found(request, "Memory", "NanoCpus", "PidsLimit", "MemorySwap", "ShmSize"):
        if value in {0, -1, None}:
            for none in (0, None, -1):
                yield _changed(request, place, none)


# --- another place -----------------------------------------------------------------------------


def as_a_mount_for_a_bind(request: Request) -> Iterator[Request]:
    """``Binds`` and ``Mounts`` of type bind are one (``daemon/volumes.go``)."""
    for binds in _of_host_config(request, "Binds"):
        mounts = [_bind_mount(bind) for bind in binds if _is_bind(bind)]
        if mounts:
            yield _with_mounts(request, "Binds", mounts)


def as_a_bind_for_a_mount(request: Request) -> Iterator[Request]:
    """The reverse of ``as_a_mount_for_a_bind``."""
    for mounts in _of_host_config(request, "Mounts"):
        binds = [
            f"{mount['Source']}:{mount.get('Target', '/x')}{':ro' if mount.get('ReadOnly') else ''}"
            for mount in mounts
            if mount.get("Type") == "bind" and mount.get("Source") and "BindOptions" not in mount
        ]
        if binds and len(binds) == len(mounts):
            body = copy.deepcopy(request.body)
            del body["HostConfig"]["Mounts"]
            body["HostConfig"]["Binds"] = binds
            yield replace(request, body=body)


def as_a_volume_for_a_bind(request: Request) -> Iterator[Request]:
    """The local driver binds what its options say (``volume/local/local_unix.go``), in the mount
    itself or in a volume that is made before."""
    for mount in _host_binds(request):
        flags = "ro" if mount.get("ReadOnly") else "rw"
        if propagation := (mount.get("BindOptions") or {}).get("Propagation"):
            flags = f"{flags},{propagation}"
        device = mount.get("Source", "")
        for options in (
            {"type": "none", "o": f"bind,{flags}", "device": device},
            {"type": "none", "o": f"{flags},rbind", "device": device},
            {"type": "ext4", "o": f"bind,{flags}", "device": device},
            {"o": f"bind,{flags}", "device": device},
        ):
            driver = {"Name": "local", "Options": options}
            volume = {
                "Type": "volume",
                "Source": "data",
                "Target": mount.get("Target", "/x"),
                "VolumeOptions": {"DriverConfig": driver},
            }
            yield _with_mounts(request, "Binds", [volume])
            yield _with_mounts(request, "Binds", [{**volume, "Source": ""}])
            body = {"Name": "data", "Driver": "local", "DriverOpts": options}
            yield Request("POST", "/volumes/create", body=body)


def as_a_volume_for_a_tmpfs(request: Request) -> Iterator[Request]:
    """A mount of type tmpfs, and a local volume of type tmpfs."""
    for tmpfs in _of_host_config(request, "Tmpfs"):
        for target, options in tmpfs.items():
            driver = {"type": "tmpfs", "device": "tmpfs", "o": options}
            volume = {
                "Type": "volume",
                "Target": target,
                "VolumeOptions": {"DriverConfig": {"Name": "local", "Options": driver}},
            }
            yield _with_mounts(request, "Tmpfs", [volume])
            body = {"Name": "data", "Driver": "local", "DriverOpts": driver}
            yield Request("POST", "/volumes/create", body=body)


def as_an_image_mount(request: Request) -> Iterator[Request]:
    """An image that is mounted is used as one that is run (28.0 and later)."""
    if request.path == _CREATE and isinstance(request.body, dict) and request.body.get("Image"):
        mount = {"Type": "image", "Source": request.body["Image"], "Target": "/image"}
        body = copy.deepcopy(request.body)
        body.setdefault("HostConfig", {}).setdefault("Mounts", []).append(mount)
        yield replace(request, body=body)


def as_a_service(request: Request) -> Iterator[Request]:
    """A service's tasks are containers (``daemon/cluster/convert/container.go``)."""
    if request.path != _CREATE or not isinstance(request.body, dict):
        return
    body = request.body
    host = body.get("HostConfig") or {}
    spec: dict[str, Any] = {"Image": body.get("Image", "")}
    spec |= {
        name: body[name] for name in ("User", "Labels", "Hostname", "Healthcheck") if name in body
    }
    spec |= {
        theirs: host[ours]
        for ours, theirs in (
            ("CapAdd", "CapabilityAdd"),
            ("CapDrop", "CapabilityDrop"),
            ("Sysctls", "Sysctls"),
            ("Ulimits", "Ulimits"),
            ("ReadonlyRootfs", "ReadOnly"),
            ("OomScoreAdj", "OomScoreAdj"),
            ("GroupAdd", "Groups"),
        )
        if ours in host
    }
    others = (mount for mount in host.get("Mounts") or [] if mount.get("Type") != "bind")
    mounts = [*_host_binds(request), *others]
    template: dict[str, Any] = {"ContainerSpec": {**spec, "Mounts": mounts}}
    network = host.get("NetworkMode", "")
    if network not in {"", "default", "none"} and ":" not in network:
        template["Networks"] = [{"Target": network}]
    if host.get("LogConfig"):
        driver = host["LogConfig"]
        template["LogDriver"] = {
            "Name": driver.get("Type", ""),
            "Options": driver.get("Config", {}),
        }
    service: dict[str, Any] = {
        "Name": "web",
        "Labels": body.get("Labels", {}),
        "TaskTemplate": template,
    }
    ports = [
        {"PublishedPort": int(binding["HostPort"]), "TargetPort": 80, "PublishMode": "host"}
        for bindings in (host.get("PortBindings") or {}).values()
        for binding in bindings or []
        if re.fullmatch(r"\d+", binding.get("HostPort", ""))
    ]
    if ports:
        service["EndpointSpec"] = {"Ports": ports}
    yield Request("POST", _SERVICE, body=service)
    yield Request("POST", "/services/web/update", (("version", "1"),), service)


def as_an_update(request: Request) -> Iterator[Request]:
    """Limits and the restart policy can be given later (``UpdateContainer``)."""
    if request.path == _CREATE and isinstance(request.body, dict):
        host = request.body.get("HostConfig") or {}
        names = (
            "Memory",
            "MemorySwap",
            "NanoCpus",
            "CpuQuota",
            "CpuPeriod",
            "PidsLimit",
            "RestartPolicy",
        )
        given = {name: host[name] for name in names if host.get(name)}
        if given:
            yield Request("POST", "/containers/web/update", body=given)


def as_an_exec(request: Request) -> Iterator[Request]:
    """A second process of the container, as another user or with all capabilities."""
    if request.path == _CREATE and isinstance(request.body, dict):
        if request.body.get("User"):
            body = {"Cmd": ["true"], "User": request.body["User"]}
            yield Request("POST", "/containers/web/exec", body=body)
        if (request.body.get("HostConfig") or {}).get("Privileged"):
            body = {"Cmd": ["true"], "Privileged": True}
            yield Request("POST", "/containers/web/exec", body=body)


def as_a_later_connect(request: Request) -> Iterator[Request]:
    """A network can be joined when the container is made or later, named in two places."""
    if request.path == _CREATE and isinstance(request.body, dict):
        endpoints = (request.body.get("NetworkingConfig") or {}).get("EndpointsConfig") or {}
        network = (request.body.get("HostConfig") or {}).get("NetworkMode", "")
        joined = {**endpoints}
        if network not in {"", "default", "host", "none"} and ":" not in network:
            joined.setdefault(network, {})
            body = copy.deepcopy(request.body)
            del body["HostConfig"]["NetworkMode"]
            body["NetworkingConfig"] = {"EndpointsConfig": {network: joined[network]}}
            yield replace(request, body=body)
        for name, config in joined.items():
            body = {"Container": "web", "EndpointConfig": config}
            yield Request("POST", f"/networks/{name}/connect", body=body)


def with_the_network_off(request: Request) -> Iterator[Request]:
    """``NetworkDisabled`` holds until a later connect."""
    if request.path == _CREATE and isinstance(request.body, dict):
        body = {**request.body, "NetworkDisabled": True}
        yield replace(request, body=body)


def at_the_old_top_level(request: Request) -> Iterator[Request]:
    """Engines before 27 read HostConfig's fields beside it (``ContainerConfigWrapper``)."""
    if (
        request.path == _CREATE
        and isinstance(request.body, dict)
        and request.body.get("HostConfig")
    ):
        body = {name: value for name, value in request.body.items() if name != "HostConfig"}
        yield replace(request, body={**body, **request.body["HostConfig"]})


def as_an_update_of_the_service(request: Request) -> Iterator[Request]:
    """A service is made and changed by the same body."""
    if request.path == _SERVICE:
        yield replace(request, path="/services/web/update", query=(("version", "1"),))
        yield replace(request, path=f"/services/{SWARM_ID}/update", query=(("version", "1"),))


def with_filters_written_otherwise(request: Request) -> Iterator[Request]:
    """Lists, or maps to Booleans (``filters.FromJSON``); a second value for the same key."""
    filters = request.parameter("filters")
    if filters is None:
        return
    try:
        given = json.loads(filters)
    except ValueError:
        return
    if not isinstance(given, dict) or not all(isinstance(v, list) for v in given.values()):
        return
    as_maps = {name: dict.fromkeys(values, True) for name, values in given.items()}
    yield request.with_parameter("filters", json.dumps(as_maps))
    for value in given.get("label", []):
        name, equals, _ = value.partition("=")
        if equals:
            both = {**given, "label": [*given["label"], f"{name}=another"]}
            yield request.with_parameter("filters", json.dumps(both))


RESPELLINGS: Final[dict[str, Respelling]] = {
    respelling.__name__.replace("_", " "): respelling
    for respelling in (
        in_another_api_version,
        with_an_encoded_path,
        with_an_absolute_target,
        with_another_boolean,
        with_keys_in_another_case,
        followed_by_a_brace,
        with_a_key_given_twice,
        with_another_spelling_of_capabilities,
        with_another_separator_of_security_options,
        with_another_spelling_of_host_paths,
        with_another_spelling_of_ports,
        with_a_reference_that_is_an_id,
        with_an_id_in_the_path,
        with_another_reference_of_the_image,
        with_the_tag_elsewhere,
        with_the_default_written_out,
        as_a_mount_for_a_bind,
        as_a_bind_for_a_mount,
        as_a_volume_for_a_bind,
        as_a_volume_for_a_tmpfs,
        as_an_image_mount,
        as_a_service,
        as_an_update,
        as_an_exec,
        as_a_later_connect,
        with_the_network_off,
        at_the_old_top_level,
        as_an_update_of_the_service,
        with_filters_written_otherwise,
    )
}
"""Every respelling by its name."""


def _outside_ascii(key: str) -> str:
    return key.replace("s", "\u017f").replace("k", "\u212a")


def _with_keys(value: Any, fold: Callable[[str], str]) -> Any:
    """Return a JSON value with ``fold`` applied to the names of its fields."""
    if isinstance(value, dict):
        return {
            fold(key): inner if key in _MAPS else _with_keys(inner, fold)
            for key, inner in value.items()
        }
    return [_with_keys(inner, fold) for inner in value] if isinstance(value, list) else value


Place = tuple[str | int, ...]


def _found(request: Request, *names: str) -> Iterator[tuple[Place, Any]]:
    """Yield the places of fields with one of the names in a body, with their values."""
    yield from _search(request.body, frozenset(names), ())


def _search(value: Any, names: frozenset[str], place: Place) -> Iterator[tuple[Place, Any]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if key in names:
                yield (*place, key), inner
            yield from _search(inner, names, (*place, key))
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            yield from _search(inner, names, (*place, i))


def _changed(request: Request, place: Place, value: Any) -> Request:
    body = copy.deepcopy(request.body)
    node = body
    for step in place[:-1]:
        node = node[step]
    node[place[-1]] = value
    return replace(request, body=body)


def _of_host_config(request: Request, name: str) -> Iterator[Any]:
    if request.path == _CREATE and isinstance(request.body, dict):
        value = (request.body.get("HostConfig") or {}).get(name)
        if value:
            yield value


def _host_binds(request: Request) -> list[dict[str, Any]]:
    """Return all binds of a container as mounts."""
    found = []
    for binds in _of_host_config(request, "Binds"):
        found += [_bind_mount(bind) for bind in binds if _is_bind(bind)]
    for mounts in _of_host_config(request, "Mounts"):
        found += [mount for mount in mounts if mount.get("Type") == "bind"]
    return found


def _is_bind(bind: str) -> bool:
    return re.match("/[^:]*:/", bind) is not None


def _bind_mount(bind: str) -> dict[str, Any]:
    source, target, *mode = bind.split(":")
    words = set(mode[0].split(",")) if mode else set()
    mount: dict[str, Any] = {"Type": "bind", "Source": source, "Target": target}
    if "ro" in words:
        mount["ReadOnly"] = True
    for word in words & _PROPAGATIONS:
        mount["BindOptions"] = {"Propagation": word}
    return mount


def _with_mounts(request: Request, instead_of: str, mounts: list[dict[str, Any]]) -> Request:
    body = copy.deepcopy(request.body)
    host = body["HostConfig"]
    host.pop(instead_of, None)
    others = [mount for mount in host.get("Mounts") or [] if mount.get("Type") != "bind"]
    host["Mounts"] = [*others, *mounts]
    return replace(request, body=body)
