"""The options of ``docker run`` as the request that creates the container.

They are read here and not by the Docker CLI: options that read files of this host or the
environment (``--env-file``, ``--security-opt seccomp=FILE``, ``--env NAME``), that write files
(``--cidfile``) or that name a daemon do not exist here. What the request has is what the CLI of
Docker 28 writes, without the default values.
"""

from __future__ import annotations

import csv
import json
import math
import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlencode

import click

from authz_plugin.errors import SetupError
from authz_plugin.tools.docker_client import Request

LONGEST: Final = 16 << 10
"""Characters of a command line."""

_MAX_WORDS: Final = 500
_MAX_PORTS: Final = 100
"""Ports of one range."""

_SIZE: Final = re.compile(r"(\d{1,18})\s*([bkmgt]?)(?:i?b)?", re.IGNORECASE)
_UNITS: Final = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_MODE: Final = re.compile("[0-7]{1,6}")
_RANGE: Final = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?")
_CDI: Final = re.compile(r"[\w.-]+/[\w.-]+=[\w.:-]+")
_TRUE: Final = frozenset({"1", "t", "true"})
_FALSE: Final = frozenset({"0", "f", "false"})
_NANO: Final = 10**9

_Fields = dict[str, Any]
"""Values of a body by their places, such as ``"HostConfig.Privileged"``."""


def create_request(line: str) -> Request:
    """Return the request that ``docker run`` with a command line sends to create the container.

    ``line`` are options, image and command, with or without ``docker run`` before them, quoted as
    in a shell; nothing in it is expanded. Raises ``SetupError`` for what cannot be read or is not
    among the options here.
    """
    words = _words(line)
    try:
        with _RUN.make_context("docker run", words) as context:
            given = dict(context.params)
    except click.UsageError as error:
        raise SetupError(
            f"{error.format_message()} `opa-authz explain -- docker run …` reads every option."
        ) from None
    image, *command = given.pop("words") or [""]
    if not image:
        raise SetupError("no image is named: write options, then the image, then the command")
    attached = not given["detach"]
    fields: _Fields = {"Image": image, "AttachStdout": attached, "AttachStderr": attached}
    if command:
        fields["Cmd"] = command
    given["network"] = given["network"] or ("default",)
    query = {}
    for name, value in given.items():
        if value in (None, False, ()):
            continue
        if name in _QUERY:
            query[name] = value
            continue
        for place, found in _WRITERS[name](value):
            _put(fields, place, found)
    target = "/containers/create" + (f"?{urlencode(query)}" if query else "")
    return Request(
        "POST",
        target,
        (("Content-Type", "application/json"),),
        json.dumps(_nested(fields)).encode(),
    )


def option_names() -> list[str]:
    """The options that are read here, as they are written (``--cap-add``), sorted."""
    return sorted(
        max(option.opts, key=len) for option in _RUN.params if isinstance(option, click.Option)
    )


def _words(line: str) -> list[str]:
    if len(line) > LONGEST:
        raise SetupError(f"the command line has more than {LONGEST} characters")
    try:
        words = shlex.split(line.replace("\\\r\n", " ").replace("\\\n", " "))
    except ValueError as error:
        raise SetupError(f"the command line cannot be read: {error}") from None
    if len(words) > _MAX_WORDS:
        raise SetupError(f"the command line has more than {_MAX_WORDS} words")
    for beginning in (["docker", "container", "run"], ["docker", "run"], ["run"]):
        if words[: len(beginning)] == beginning:
            words = words[len(beginning) :]
            break
    return list(_without_boolean_values(words))


def _without_boolean_values(words: Sequence[str]) -> Iterator[str]:
    """Write ``--privileged=true`` as ``--privileged``, and leave ``--privileged=false`` out."""
    for position, word in enumerate(words):
        name, equals, value = word.partition("=")
        if not word.startswith("-") and (position == 0 or not _takes_value(words[position - 1])):
            yield from words[position:]
            return
        if equals and name in _SWITCHES and value.lower() in _TRUE | _FALSE:
            if value.lower() in _TRUE:
                yield name
        else:
            yield word


def _takes_value(word: str) -> bool:
    """Whether a word is an option whose value is the next word."""
    if word.startswith("--"):
        return "=" not in word and word not in _SWITCHES
    last = f"-{word[-1:]}"
    letters = [f"-{letter}" for letter in word[1:]]
    return bool(letters) and all(x in _SWITCHES for x in letters[:-1]) and last not in _SWITCHES


def _put(fields: _Fields, place: str, value: Any) -> None:
    """Add a value; lists and maps of several options are joined."""
    present = fields.get(place)
    if isinstance(present, list):
        present += value
    elif isinstance(present, dict):
        for name, inner in value.items():
            if isinstance(inner, list) and name in present:
                present[name] += inner
            else:
                present[name] = inner
    else:
        fields[place] = value


def _nested(fields: _Fields) -> dict[str, Any]:
    body: dict[str, Any] = {}
    for place, value in fields.items():
        *outer, last = place.split("/")
        inner = body
        for name in outer:
            inner = inner.setdefault(name, {})
        inner[last] = value
    return body


_Writer = Callable[[Any], Iterable[tuple[str, Any]]]
"""A function that gives the places of a body (``"HostConfig/Binds"``) for an option's value."""


def _at(place: str, convert: Callable[[Any], Any] = lambda value: value) -> _Writer:
    return lambda value: [(place, convert(value))]


def _pairs(place: str) -> _Writer:
    def write(values: Sequence[str]) -> Iterator[tuple[str, Any]]:
        found = (value.partition("=") for value in values)
        yield place, {name: value for name, _, value in found}

    return write


def _volumes(values: Sequence[str]) -> Iterator[tuple[str, Any]]:
    for value in values:
        if value.startswith((".", "~")):
            raise SetupError(f"-v {value}: write the source's path in full, from / on")
        if ":" in value:
            yield "HostConfig/Binds", [value]
        else:
            yield "Volumes", {value: {}}


def _environment(values: Sequence[str]) -> Iterator[tuple[str, Any]]:
    for value in values:
        if "=" not in value:
            raise SetupError(f"-e {value}: write {value}=VALUE; the environment is not read here")
    yield "Env", list(values)


def _tmpfs(values: Sequence[str]) -> Iterator[tuple[str, Any]]:
    found = (value.partition(":") for value in values)
    yield "HostConfig/Tmpfs", {path: options for path, _, options in found}


def _security_options(values: Sequence[str]) -> Iterator[tuple[str, Any]]:
    for value in values:
        name, _, rest = value.replace(":", "=", 1).partition("=")
        if name == "seccomp" and rest not in {"unconfined", "builtin"}:
            raise SetupError(
                f"--security-opt {value}: the file is not read here; send its content as a request "
                "(HostConfig.SecurityOpt)"
            )
        if value in {"systempaths=unconfined", "systempaths:unconfined"}:
            yield "HostConfig/MaskedPaths", []
            yield "HostConfig/ReadonlyPaths", []
        else:
            yield "HostConfig/SecurityOpt", [value]


def _devices(values: Sequence[str]) -> Iterator[tuple[str, Any]]:
    for value in values:
        if _CDI.fullmatch(value):
            request = {"Driver": "cdi", "DeviceIDs": [value]}
            yield "HostConfig/DeviceRequests", [request]
            continue
        host, _, rest = value.partition(":")
        inside, _, permissions = rest.partition(":")
        if inside and not inside.startswith("/") and not permissions:
            inside, permissions = "", inside
        device = {
            "PathOnHost": host,
            "PathInContainer": inside or host,
            "CgroupPermissions": permissions or "rwm",
        }
        yield "HostConfig/Devices", [device]


def _gpus(value: str) -> Iterator[tuple[str, Any]]:
    if value != "all" and not value.isdecimal():
        raise SetupError(f"--gpus {value}: write all or a number")
    count = -1 if value == "all" else _whole("--gpus", value)
    request = {"Driver": "", "Count": count, "Capabilities": [["gpu"]]}
    yield "HostConfig/DeviceRequests", [request]


def _ports(values: Sequence[str]) -> Iterator[tuple[str, Any]]:
    for value in values:
        rest, _, protocol = value.partition("/")
        address, host, inside = _port_parts(rest)
        inner, outer = _range(value, inside), _range(value, host) if host else []
        if outer and len(outer) != len(inner):
            if len(inner) != 1:
                raise SetupError(f"-p {value}: both ranges must have as many ports")
            bound = [(inner[0], host)]
        else:
            bound = [(port, str(outer[i]) if outer else "") for i, port in enumerate(inner)]
        for port, published in bound:
            name = f"{port}/{protocol or 'tcp'}"
            yield "ExposedPorts", {name: {}}
            binding = {"HostIp": address, "HostPort": published}
            yield "HostConfig/PortBindings", {name: [binding]}


def _port_parts(text: str) -> tuple[str, str, str]:
    """Address, port of the host and port of the container; what is not given is empty."""
    rest, _, inside = text.rpartition(":")
    if not rest:
        return "", "", inside
    address, _, host = rest.rpartition(":")
    return address.removeprefix("[").removesuffix("]"), host, inside


def _range(value: str, text: str) -> list[int]:
    found = _RANGE.fullmatch(text)
    if found is None:
        raise SetupError(f"-p {value}: {text or 'nothing'} is no port and no range of ports")
    first, last = int(found[1]), int(found[2] or found[1])
    if not first <= last < first + _MAX_PORTS:
        raise SetupError(f"-p {value}: {text} is no range of at most {_MAX_PORTS} ports")
    return list(range(first, last + 1))


def _network(values: Sequence[str]) -> Iterator[tuple[str, Any]]:
    for value in values:
        if "," in value or value.startswith("name="):
            raise SetupError(f"--network {value}: write its name alone")
    yield "HostConfig/NetworkMode", values[0]
    if len(values) > 1 or _is_own_network(values[0]):
        endpoints: dict[str, Any] = {name: {} for name in values}
        yield "NetworkingConfig/EndpointsConfig", endpoints


def _is_own_network(name: str) -> bool:
    return name not in {"host", "none"} and not name.startswith("container:")


def _mounts(values: Sequence[str]) -> Iterator[tuple[str, Any]]:
    yield "HostConfig/Mounts", [_mount(value) for value in values]


def _mount(value: str) -> dict[str, Any]:
    fields: _Fields = {"Type": "volume"}
    try:
        parts = next(csv.reader([value], strict=True), [])
    except csv.Error as error:
        raise SetupError(f"--mount {value}: {error}") from None
    for part in parts:
        name, equals, text = part.partition("=")
        name = name.strip().lower()
        if name in _MOUNT_SWITCHES:
            if not equals or text.lower() in _TRUE:
                fields |= _MOUNT_SWITCHES[name]
        elif name in {"volume-opt", "volume-label"} and equals:
            key, _, inner = text.partition("=")
            _put(fields, _MOUNT_FIELDS[name], {key: inner})
        elif name in {"tmpfs-size", "tmpfs-mode"} and equals:
            fields[_MOUNT_FIELDS[name]] = _size(text) if name == "tmpfs-size" else _octal(text)
        elif name == "bind-recursive" and text in _RECURSIVE:
            fields |= _RECURSIVE[text]
        elif name in _MOUNT_FIELDS and equals:
            fields[_MOUNT_FIELDS[name]] = text
        else:
            raise SetupError(f"--mount {value}: {part} is not read here")
    if fields["Type"] == "bind" and not str(fields.get("Source", "")).startswith("/"):
        raise SetupError(f"--mount {value}: write the source's path in full, from / on")
    return _nested(fields)


_MOUNT_FIELDS: Final[Mapping[str, str]] = {
    "type": "Type",
    "source": "Source",
    "src": "Source",
    "target": "Target",
    "dst": "Target",
    "destination": "Target",
    "consistency": "Consistency",
    "bind-propagation": "BindOptions/Propagation",
    "volume-driver": "VolumeOptions/DriverConfig/Name",
    "volume-opt": "VolumeOptions/DriverConfig/Options",
    "volume-label": "VolumeOptions/Labels",
    "volume-subpath": "VolumeOptions/Subpath",
    "image-subpath": "ImageOptions/Subpath",
    "tmpfs-size": "TmpfsOptions/SizeBytes",
    "tmpfs-mode": "TmpfsOptions/Mode",
}
_MOUNT_SWITCHES: Final[Mapping[str, _Fields]] = {
    "readonly": {"ReadOnly": True},
    "ro": {"ReadOnly": True},
    "bind-nonrecursive": {"BindOptions/NonRecursive": True},
    "volume-nocopy": {"VolumeOptions/NoCopy": True},
}
_RECURSIVE: Final[Mapping[str, _Fields]] = {
    "enabled": {},
    "disabled": {"BindOptions/NonRecursive": True},
    "writable": {"BindOptions/ReadOnlyNonRecursive": True},
    "readonly": {"BindOptions/ReadOnlyForceRecursive": True},
}


def _restart(value: str) -> dict[str, Any]:
    name, _, count = value.partition(":")
    return {"Name": name, "MaximumRetryCount": _whole("--restart", count) if count else 0}


def _ulimits(values: Sequence[str]) -> list[dict[str, Any]]:
    found = []
    for value in values:
        name, _, limits = value.partition("=")
        soft, _, hard = limits.partition(":")
        found.append(
            {
                "Name": name,
                "Soft": _whole(f"--ulimit {value}", soft),
                "Hard": _whole(f"--ulimit {value}", hard or soft),
            }
        )
    return found


def _capabilities(values: Sequence[str]) -> list[str]:
    found = (value.upper().removeprefix("CAP_") for value in values)
    return [name if name == "ALL" else f"CAP_{name}" for name in found]


def _extra_hosts(values: Sequence[str]) -> list[str]:
    return [
        f"{name}:{address.removeprefix('[').removesuffix(']')}"
        for name, address in (
            re.split("[=:]", value, maxsplit=1) for value in map(_checked, values)
        )
    ]


def _checked(value: str) -> str:
    if not re.search("[=:]", value):
        raise SetupError(f"--add-host {value}: write NAME:ADDRESS")
    return value


def _size(value: str) -> int:
    """Bytes in a size such as ``64m``; ``-1`` for none."""
    found = _SIZE.fullmatch(value)
    if value == "-1":
        return -1
    if found is None:
        raise SetupError(f"{value} is no size like 64m or 1g")
    return int(found[1]) * _UNITS[found[2].lower()]


def _octal(value: str) -> int:
    if not _MODE.fullmatch(value):
        raise SetupError(f"tmpfs-mode={value} is no mode like 1777")
    return int(value, 8)


def _whole(option: str, value: str) -> int:
    try:
        return int(value)
    except ValueError:
        raise SetupError(f"{option}: {value or 'nothing'} is no whole number") from None


def _cpus(value: float) -> int:
    if not math.isfinite(value * _NANO):
        raise SetupError(f"--cpus: {value} is no number of processors")
    return round(value * _NANO)


def _interactive(_: bool) -> Iterator[tuple[str, Any]]:
    for name in ("OpenStdin", "StdinOnce", "AttachStdin"):
        yield name, True


_QUERY: Final = frozenset({"name", "platform"})

_SWITCH_WRITERS: Final[Mapping[str, _Writer]] = {
    "--detach -d": lambda _: (),
    "--init": _at("HostConfig/Init"),
    "--interactive -i": _interactive,
    "--no-healthcheck": _at("Healthcheck/Test", lambda _: ["NONE"]),
    "--oom-kill-disable": _at("HostConfig/OomKillDisable"),
    "--privileged": _at("HostConfig/Privileged"),
    "--publish-all -P": _at("HostConfig/PublishAllPorts"),
    "--quiet -q": lambda _: (),
    "--read-only": _at("HostConfig/ReadonlyRootfs"),
    "--rm": _at("HostConfig/AutoRemove"),
    "--tty -t": _at("Tty"),
}
_VALUE_WRITERS: Final[Mapping[str, _Writer]] = {
    "--cgroup-parent": _at("HostConfig/CgroupParent"),
    "--cgroupns": _at("HostConfig/CgroupnsMode"),
    "--cpuset-cpus": _at("HostConfig/CpusetCpus"),
    "--domainname": _at("Domainname"),
    "--entrypoint": _at("Entrypoint", lambda value: [value]),
    "--gpus": _gpus,
    "--health-cmd": _at("Healthcheck/Test", lambda value: ["CMD-SHELL", value]),
    "--hostname -h": _at("Hostname"),
    "--ipc": _at("HostConfig/IpcMode"),
    "--isolation": _at("HostConfig/Isolation"),
    "--log-driver": _at("HostConfig/LogConfig/Type"),
    "--memory -m": _at("HostConfig/Memory", _size),
    "--memory-reservation": _at("HostConfig/MemoryReservation", _size),
    "--memory-swap": _at("HostConfig/MemorySwap", _size),
    "--name": lambda _: (),
    "--pid": _at("HostConfig/PidMode"),
    "--platform": lambda _: (),
    "--pull": lambda _: (),
    "--restart": _at("HostConfig/RestartPolicy", _restart),
    "--runtime": _at("HostConfig/Runtime"),
    "--shm-size": _at("HostConfig/ShmSize", _size),
    "--stop-signal": _at("StopSignal"),
    "--user -u": _at("User"),
    "--userns": _at("HostConfig/UsernsMode"),
    "--uts": _at("HostConfig/UTSMode"),
    "--volume-driver": _at("HostConfig/VolumeDriver"),
    "--workdir -w": _at("WorkingDir"),
}
_NUMBER_WRITERS: Final[Mapping[str, tuple[type, _Writer]]] = {
    "--cpu-shares -c": (int, _at("HostConfig/CpuShares")),
    "--cpus": (float, _at("HostConfig/NanoCpus", _cpus)),
    "--oom-score-adj": (int, _at("HostConfig/OomScoreAdj")),
    "--pids-limit": (int, _at("HostConfig/PidsLimit")),
    "--stop-timeout": (int, _at("StopTimeout")),
}
_LIST_WRITERS: Final[Mapping[str, _Writer]] = {
    "--add-host": _at("HostConfig/ExtraHosts", _extra_hosts),
    "--annotation": _pairs("HostConfig/Annotations"),
    "--cap-add": _at("HostConfig/CapAdd", _capabilities),
    "--cap-drop": _at("HostConfig/CapDrop", _capabilities),
    "--device": _devices,
    "--device-cgroup-rule": _at("HostConfig/DeviceCgroupRules", list),
    "--dns": _at("HostConfig/Dns", list),
    "--dns-option": _at("HostConfig/DnsOptions", list),
    "--dns-search": _at("HostConfig/DnsSearch", list),
    "--env -e": _environment,
    "--group-add": _at("HostConfig/GroupAdd", list),
    "--label -l": _pairs("Labels"),
    "--link": _at("HostConfig/Links", list),
    "--log-opt": _pairs("HostConfig/LogConfig/Config"),
    "--mount": _mounts,
    "--network --net": _network,
    "--publish -p": _ports,
    "--security-opt": _security_options,
    "--storage-opt": _pairs("HostConfig/StorageOpt"),
    "--sysctl": _pairs("HostConfig/Sysctls"),
    "--tmpfs": _tmpfs,
    "--ulimit": _at("HostConfig/Ulimits", _ulimits),
    "--volume -v": _volumes,
    "--volumes-from": _at("HostConfig/VolumesFrom", list),
}


def _parameter(name: str) -> str:
    """The name by which click gives the value of an option (``"--cap-add"``: ``"cap_add"``)."""
    return name.split(maxsplit=1)[0].removeprefix("--").replace("-", "_")


def _options() -> Iterator[click.Parameter]:
    for name in _SWITCH_WRITERS:
        yield click.Option([*name.split(), _parameter(name)], is_flag=True)
    for name in _VALUE_WRITERS:
        yield click.Option([*name.split(), _parameter(name)])
    for name, (kind, _) in _NUMBER_WRITERS.items():
        yield click.Option([*name.split(), _parameter(name)], type=kind)
    for name in _LIST_WRITERS:
        yield click.Option([*name.split(), _parameter(name)], multiple=True)
    yield click.Argument(["words"], nargs=-1, type=click.UNPROCESSED)


_WRITERS: Final[Mapping[str, _Writer]] = {
    _parameter(name): writer
    for name, writer in {
        **_SWITCH_WRITERS,
        **_VALUE_WRITERS,
        **{name: writer for name, (_, writer) in _NUMBER_WRITERS.items()},
        **_LIST_WRITERS,
    }.items()
}
_SWITCHES: Final = frozenset(option for name in _SWITCH_WRITERS for option in name.split())

_RUN: Final = click.Command(
    "docker run",
    params=list(_options()),
    add_help_option=False,
    context_settings={"allow_interspersed_args": False},
)
