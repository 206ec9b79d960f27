"""How a container will run, in one form for containers and services: user, limits, hardening, logs.

Limits are computed as dockerd does it, including its defaults. Sources: moby 28.5.2
``daemon/daemon_unix.go`` (a limit of zero is none; CPUs are NanoCpus or CpuQuota over CpuPeriod;
adaptContainerSettings: swap of the memory's size, 64 MiB of /dev/shm),
``container/container_unix.go`` (UpdateContainer leaves zeros as they are), moby/sys user v0.4
``user.go`` (``00`` and ``+0`` are root), ``opts/ulimit.go``,
``daemon/cluster/convert/container.go``, ``daemon/health.go``; moby 29
``daemon/cluster/executor/container/container.go`` (SwapBytes).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final, Literal, NamedTuple

from authz_plugin.dockerd.confinement import SecurityOption
from authz_plugin.dockerd.connections import Endpoint, endpoint_sysctls
from authz_plugin.dockerd.gojson import entry
from authz_plugin.dockerd.mounts import Mount, task_mount
from authz_plugin.dockerd.parts import Parts
from authz_plugin.errors import Refused

_NUMBER: Final = re.compile(r"[+-]?\d{1,18}", re.ASCII)
_SIZE: Final = re.compile(r"(\d{1,15})([kmg]?)", re.ASCII | re.IGNORECASE)
_UNITS: Final = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
_PERIOD: Final = 100_000
_SHORTEST_PERIOD: Final = 1_000
"""The shortest CPU period, in microseconds (28.5.2 ``verifyPlatformContainerResources``)."""
_SHM: Final = 64 << 20
"""The default size of /dev/shm, in bytes (28.5.2 ``daemon/config/config_linux.go``)."""
_UNLIMITED: Final = -1
_IN_MEMORY: Final = frozenset({"ramfs", "tmpfs"})
"""File systems in memory. A ramfs ignores the option size (Linux ``fs/ramfs/inode.c``)."""

_CONDITIONS: Final = {"": "always", "any": "always", "none": "no"}
_DRIVER_NAMES: Final = ("Name", "Options")
_SERVICE: Final = "TaskTemplate.ContainerSpec"


SecurityOptions = tuple[SecurityOption, ...]

Sort = Literal["default", "root", "numeric", "named"]


class User(NamedTuple):
    """The user that a process runs as.

    ``sort`` is ``default`` (the image's user, or the container's for an exec), ``root``,
    ``numeric`` (a uid other than 0) or ``named`` (a name whose uid, possibly 0, is in the image's
    passwd file). ``group`` has the same values for the group; a ``default`` group is the user's in
    the image's passwd file, or root if the file has no entry for the uid. ``process`` is
    ``container`` or ``exec``.
    """

    process: Literal["container", "exec"]
    name: str
    sort: Sort
    group: Sort
    field: str


class Limit(NamedTuple):
    """An upper limit: ``value`` is in bytes, CPUs, processes or (``stop``) seconds; -1 means none.

    ``advice`` names the setting to give with it if the limit depends on an existing container's.
    """

    resource: str
    value: float
    field: str
    advice: str = ""


class Ulimit(NamedTuple):
    """A process limit (setrlimit(2)); -1 is unlimited."""

    name: str
    soft: int
    hard: int
    field: str


class Sysctl(NamedTuple):
    """A kernel parameter of the container's namespaces."""

    name: str
    value: str
    field: str


class Tmpfs(NamedTuple):
    """A file system in memory and the names of its mount options."""

    target: str
    options: tuple[str, ...]
    field: str


class LogDriver(NamedTuple):
    """Where a container's output goes; an empty name is dockerd's default."""

    name: str
    options: dict[str, str]
    field: str


class Hardening(NamedTuple):
    """Restrictions that a new container has; ``dropped`` are capabilities without ``CAP_``."""

    read_only_root: bool
    no_new_privileges: bool
    dropped: tuple[str, ...]
    healthcheck: bool


class Restart(NamedTuple):
    """When dockerd or the swarm restarts a container automatically.

    ``policy`` is the name of Docker's restart policy (empty: none, or unchanged in an update);
    ``retries`` is the maximum number of restarts, 0 if there is no maximum.
    """

    policy: str
    retries: int
    field: str


class Workload(NamedTuple):
    """How containers of a request will run; empty for requests that do not determine it.

    ``environment`` are the names of the environment variables, which can configure some runtimes.
    """

    users: tuple[User, ...] = ()
    limits: tuple[Limit, ...] = ()
    ulimits: tuple[Ulimit, ...] = ()
    sysctls: tuple[Sysctl, ...] = ()
    tmpfs: tuple[Tmpfs, ...] = ()
    log_drivers: tuple[LogDriver, ...] = ()
    hardening: Hardening | None = None
    restart: Restart | None = None
    environment: tuple[str, ...] = ()


def of_container(parts: Parts, options: SecurityOptions) -> Workload:
    """The workload of a new container; raises ``Refused`` (``request.healthcheck``)."""
    body, host = parts.body, parts.body["HostConfig"]
    tmpfs = tuple(_container_tmpfs(host))
    return Workload(
        users=(_user("container", body["User"], "User"),),
        limits=(
            *_container_limits(host),
            *_stop(body["StopTimeout"], 1, "StopTimeout"),
            *(limit for _, limit in tmpfs),
        ),
        ulimits=tuple(_ulimits(host["Ulimits"], "HostConfig.Ulimits")),
        sysctls=tuple(_sysctls(host["Sysctls"], "HostConfig.Sysctls")),
        tmpfs=tuple(mount for mount, _ in tmpfs),
        log_drivers=tuple(
            _log_driver(host["LogConfig"], ("Type", "Config"), "HostConfig.LogConfig")
        ),
        hardening=Hardening(
            host["ReadonlyRootfs"],
            _no_new_privileges(options),
            tuple(_capability(name) for name in host["CapDrop"]),
            _has_healthcheck(body["Healthcheck"], "Healthcheck"),
        ),
        restart=_restart(host["RestartPolicy"], "HostConfig.RestartPolicy"),
        environment=_names(body["Env"]),
    )


def of_commit(parts: Parts, _: SecurityOptions) -> Workload:
    """An empty workload; raises ``Refused`` (``request.healthcheck``) as a new container does."""
    _has_healthcheck(parts.body["Healthcheck"], "Healthcheck")
    return Workload()


def of_update(parts: Parts, _: SecurityOptions) -> Workload:
    """The limits and the restart policy that an update gives a container."""
    return Workload(
        limits=tuple(_update_limits(parts.body)),
        restart=_restart(parts.body["RestartPolicy"], "RestartPolicy"),
    )


def of_exec(parts: Parts, _: SecurityOptions) -> Workload:
    """The user of a process that is started in a container."""
    return Workload(users=(_user("exec", parts.body["User"], "User"),))


def of_service(parts: Parts, options: SecurityOptions) -> Workload:
    """The workload of a service's tasks; raises ``Refused`` (``request.healthcheck``)."""
    template = parts.body["TaskTemplate"]
    spec = template["ContainerSpec"]
    drivers = tuple(_log_driver(template["LogDriver"], _DRIVER_NAMES, "TaskTemplate.LogDriver"))
    restart = _task_restart(template["RestartPolicy"])
    if spec is None:
        return Workload(log_drivers=drivers, restart=restart)
    tmpfs = tuple(_mounted_tmpfs(map(task_mount, spec["Mounts"]), f"{_SERVICE}.Mounts"))
    return Workload(
        users=(_user("container", spec["User"], f"{_SERVICE}.User"),),
        limits=(
            *_service_limits(template["Resources"]),
            *_stop(spec["StopGracePeriod"], 10**9, f"{_SERVICE}.StopGracePeriod"),
            *(limit for _, limit in tmpfs),
        ),
        ulimits=tuple(_ulimits(spec["Ulimits"], f"{_SERVICE}.Ulimits")),
        sysctls=tuple(_sysctls(spec["Sysctls"], f"{_SERVICE}.Sysctls")),
        tmpfs=tuple(mount for mount, _ in tmpfs),
        log_drivers=drivers,
        hardening=Hardening(
            spec["ReadOnly"],
            _no_new_privileges(options),
            tuple(_capability(name) for name in spec["CapabilityDrop"]),
            _has_healthcheck(spec["Healthcheck"], f"{_SERVICE}.Healthcheck"),
        ),
        restart=restart,
        environment=_names(spec["Env"]),
    )


def of_swarm_init(parts: Parts, _: SecurityOptions) -> Workload:
    """The default log driver of the tasks of a new swarm."""
    return _task_defaults(parts.body["Spec"], "Spec.")


def of_swarm_update(parts: Parts, _: SecurityOptions) -> Workload:
    """The default log driver of the tasks of a changed swarm."""
    return _task_defaults(parts.body, "")


def with_networks_and_volumes(
    workload: Workload, endpoints: tuple[Endpoint, ...], mounts: tuple[Mount, ...]
) -> Workload:
    """A workload with, in addition, the sysctls that network driver options set, and the volumes
    that are file systems in memory."""
    drivers = tuple(
        Sysctl(name, value, field)
        for endpoint in endpoints
        for field in (f"{endpoint.field}.DriverOpts",)
        for name, value in endpoint_sysctls(endpoint)
    )
    volumes = tuple(_volume_tmpfs(mounts))
    if not drivers and not volumes:
        return workload
    return workload._replace(
        sysctls=workload.sysctls + drivers,
        tmpfs=workload.tmpfs + tuple(tmpfs for tmpfs, _ in volumes),
        limits=workload.limits + tuple(limit for _, limit in volumes),
    )


def _task_defaults(spec: Any, prefix: str) -> Workload:
    driver = spec["TaskDefaults"]["LogDriver"]
    field = f"{prefix}TaskDefaults.LogDriver"
    return Workload(log_drivers=tuple(_log_driver(driver, _DRIVER_NAMES, field)))


def _restart(policy: Any, field: str) -> Restart:
    return Restart(policy["Name"], policy["MaximumRetryCount"], field)


def _task_restart(policy: Any) -> Restart:
    """A task's restart condition as a container's restart policy. The default is ``always``
    (28.5.2 ``daemon/cluster/convert/service.go``)."""
    given = policy or {"Condition": "", "MaxAttempts": None}
    word = _CONDITIONS.get(given["Condition"].lower(), given["Condition"])
    return Restart(word, given["MaxAttempts"] or 0, "TaskTemplate.RestartPolicy")


def _names(environment: list[str]) -> tuple[str, ...]:
    """The names of the variables that are set; an entry without ``=`` removes a variable."""
    return tuple(entry.partition("=")[0] for entry in environment if "=" in entry)


def _user(process: Literal["container", "exec"], text: str, field: str) -> User:
    name, colon, rest = text.partition(":")
    group = rest.partition(":")[0]  # GetExecUser ignores the rest
    sort = "named" if colon and not name else _sort(name)
    return User(process, text, sort, _sort(group), field)


def _sort(name: str) -> Sort:
    if _NUMBER.fullmatch(name):
        return "root" if int(name) == 0 else "numeric"
    return "default" if not name else "root" if name == "root" else "named"


def _container_limits(host: Any) -> Iterator[Limit]:
    field = "HostConfig."
    yield Limit("memory", _positive(host["Memory"]), f"{field}Memory")
    yield _cpus(host, field) or Limit("cpus", _UNLIMITED, f"{field}NanoCpus")
    yield Limit("pids", _positive(host["PidsLimit"] or 0), f"{field}PidsLimit")
    yield Limit("swap", _swap(host), f"{field}MemorySwap")
    yield Limit("shm", _positive(host["ShmSize"] or _SHM), f"{field}ShmSize")


def _stop(timeout: int | None, per_second: int, field: str) -> Iterator[Limit]:
    """The seconds that dockerd waits for a container to stop, also when dockerd itself stops; below
    0 without limit (28.5.2 ``daemon/daemon.go`` ShutdownTimeout)."""
    if timeout is not None:
        yield Limit("stop", timeout / per_second if timeout >= 0 else _UNLIMITED, field)


def _update_limits(body: Any) -> Iterator[Limit]:
    """The limits that an update changes; zero leaves a limit unchanged. A limit that also depends
    on the container's unknown settings has the largest value that can result."""
    if body["Memory"]:
        yield Limit("memory", _positive(body["Memory"]), "Memory")
    cpus = _cpus(body, "")
    if cpus is not None and cpus.field == "CpuQuota" and not body["CpuPeriod"]:
        most = body["CpuQuota"] / _SHORTEST_PERIOD if body["CpuQuota"] > 0 else _UNLIMITED
        cpus = Limit("cpus", most, "CpuQuota", "give CpuPeriod with it")
    elif cpus is not None and cpus.field == "CpuPeriod":
        cpus = cpus._replace(advice="give CpuQuota with it")
    if cpus is not None:
        yield cpus
    if body["PidsLimit"] is not None:
        yield Limit("pids", _positive(body["PidsLimit"]), "PidsLimit")
    if body["MemorySwap"]:
        known = body["Memory"] or body["MemorySwap"] < 0
        advice = "" if known else "give Memory with it"
        yield Limit("swap", _swap(body), "MemorySwap", advice)
    elif body["Memory"]:
        yield Limit("swap", _UNLIMITED, "MemorySwap", "give MemorySwap with Memory")


def _service_limits(resources: Any) -> Iterator[Limit]:
    limits = (resources or {}).get("Limits") or {"MemoryBytes": 0, "NanoCPUs": 0, "Pids": 0}
    field = "TaskTemplate.Resources.Limits."
    cpus = limits["NanoCPUs"] / 1e9 if limits["NanoCPUs"] > 0 else _UNLIMITED
    yield Limit("memory", _positive(limits["MemoryBytes"]), f"{field}MemoryBytes")
    yield Limit("cpus", cpus, f"{field}NanoCPUs")
    yield Limit("pids", _positive(limits["Pids"]), f"{field}Pids")
    memory, swap = _positive(limits["MemoryBytes"]), (resources or {}).get("SwapBytes") or 0
    most = _UNLIMITED if memory < 0 or swap < 0 else max(memory, swap)
    yield Limit("swap", most, "TaskTemplate.Resources.SwapBytes")
    yield Limit("shm", _SHM, _SERVICE)  # a service cannot set it


def _cpus(resources: Any, field: str) -> Limit | None:
    """The limit of CPUs, or None if no field is given. A period without a quota is no limit."""
    nano, quota, period = resources["NanoCpus"], resources["CpuQuota"], resources["CpuPeriod"]
    if nano:
        return Limit("cpus", nano / 1e9 if nano > 0 else _UNLIMITED, f"{field}NanoCpus")
    if quota:
        cpus = quota / (period if period > 0 else _PERIOD) if quota > 0 else _UNLIMITED
        return Limit("cpus", cpus, f"{field}CpuQuota")
    return Limit("cpus", _UNLIMITED, f"{field}CpuPeriod") if period else None


def _swap(resources: Any) -> int:
    """The limit of swap without memory. MemorySwap is the sum of both; without it, swap is limited
    to the size of Memory; without either, it is unlimited."""
    total, memory = resources["MemorySwap"], max(resources["Memory"], 0)
    if total < 0 or not (total or memory):
        return _UNLIMITED
    swap: int = max(total - memory, 0) if total else memory
    return swap


def _positive(value: int) -> int:
    return value if value > 0 else _UNLIMITED


def _ulimits(ulimits: Any, field: str) -> Iterator[Ulimit]:
    for i, ulimit in enumerate(ulimits):
        if ulimit is not None:
            yield Ulimit(ulimit["Name"], ulimit["Soft"], ulimit["Hard"], f"{field}[{i}]")


def _sysctls(sysctls: dict[str, str], field: str) -> Iterator[Sysctl]:
    for name, value in sysctls.items():
        yield Sysctl(name, value, entry(field, name))


def _container_tmpfs(host: Any) -> Iterator[tuple[Tmpfs, Limit]]:
    for target, text in host["Tmpfs"].items():
        yield _written_tmpfs(target, text, entry("HostConfig.Tmpfs", target))
    yield from _mounted_tmpfs(host["Mounts"], "HostConfig.Mounts")


def _mounted_tmpfs(mounts: Any, field: str) -> Iterator[tuple[Tmpfs, Limit]]:
    for i, mount in enumerate(mounts):
        if mount["Type"] == "tmpfs":
            given = mount["TmpfsOptions"] or {"SizeBytes": 0, "Options": []}
            names = tuple(option[0] for option in given["Options"] if option)
            yield (
                Tmpfs(mount["Target"], names, f"{field}[{i}]"),
                Limit("tmpfs", _positive(given["SizeBytes"]), f"{field}[{i}]"),
            )


def _volume_tmpfs(mounts: tuple[Mount, ...]) -> Iterator[tuple[Tmpfs, Limit]]:
    """Volumes of the local driver that are file systems in memory; their options go to mount(2)
    as they are (28.5.2 ``volume/local/local_unix.go``)."""
    for mount in mounts:
        if mount.type == "volume" and mount.options.get("type") in _IN_MEMORY:
            tmpfs, limit = _written_tmpfs(
                mount.target or mount.source, mount.options.get("o", ""), mount.field
            )
            sized = mount.options["type"] == "tmpfs"
            yield tmpfs, limit if sized else limit._replace(value=_UNLIMITED)


def _written_tmpfs(target: str, text: str, field: str) -> tuple[Tmpfs, Limit]:
    """A tmpfs from its options as a string. The last ``size`` counts; a size given in blocks
    (``nr_blocks``) counts as unlimited."""
    options = [option.partition("=") for option in text.split(",") if option]
    names = tuple(name for name, _, _ in options)
    size = next((value for name, _, value in reversed(options) if name == "size"), "")
    limit = _UNLIMITED if "nr_blocks" in names else _size(size)
    return Tmpfs(target, names, field), Limit("tmpfs", limit, field)


def _size(text: str) -> int:
    """Bytes of a tmpfs size as mount(8) reads it; a percentage of memory counts as unlimited."""
    found = _SIZE.fullmatch(text)
    return _UNLIMITED if found is None else _positive(int(found[1]) * _UNITS[found[2].lower()])


def _log_driver(driver: Any, names: tuple[str, str], field: str) -> Iterator[LogDriver]:
    if driver is not None and (driver[names[0]] or driver[names[1]]):
        yield LogDriver(driver[names[0]], driver[names[1]], field)


def _no_new_privileges(options: tuple[SecurityOption, ...]) -> bool:
    """The last of several options counts (parseSecurityOpt)."""
    values = [option.value for option in options if option.name == "no-new-privileges"]
    return bool(values) and values[-1] == "true"


def _capability(name: str) -> str:
    return name.upper().removeprefix("CAP_")


def _has_healthcheck(healthcheck: Any, field: str) -> bool:
    """Whether the request defines a health check; the one of the image is not considered.

    Raises ``Refused`` (``request.healthcheck``) unless the test has a form that Docker documents:
    empty (the image's), NONE alone, CMD-SHELL with one command, CMD with a program.
    """
    match (healthcheck or {"Test": []})["Test"]:
        case [] | ["NONE"]:
            return False
        case ["CMD-SHELL", command] if command:
            return True
        case ["CMD", program, *_] if program:
            return True
    raise Refused(
        "request.healthcheck",
        f"{field}.Test",
        "the health check's test has no form that Docker documents",
        'give ["CMD-SHELL", COMMAND], ["CMD", PROGRAM, ARGUMENT…] or ["NONE"]',
    )
