"""Every mount, volume and host directory that a request uses, as one list.

dockerd mounts host paths for Binds, for Mounts of type bind, and for local volumes whose driver
options are those of a bind or another mount, in containers and in services; checkpoints name host
directories. Sources: moby 28.5.2 ``volume/mounts/linux_parser.go`` (ParseMountRaw),
``volume/local/local_unix.go`` (with ``o=bind`` the kernel makes a bind and ignores ``type``),
``daemon/checkpoint.go``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal, NamedTuple

from authz_plugin.dockerd.gojson import entry
from authz_plugin.dockerd.parts import NO_OPTIONS, Parts, first

_PROPAGATIONS: Final = frozenset({"private", "rprivate", "slave", "rslave", "shared", "rshared"})
_LOCAL: Final = frozenset({"", "local"})


class Mount(NamedTuple):
    """One mount, volume or host directory that a request uses.

    ``type`` is dockerd's (bind, volume, tmpfs, image, npipe, cluster), but ``bind`` for a local
    volume that binds a host path, and ``unknown`` if mounts cannot be read; ``field`` is its
    place in the request; ``source`` is as given; ``path`` is the host path that it names, cleaned
    lexically, or None if it names none or not a certain one; ``propagation`` is empty for dockerd's
    default; ``driver`` and ``options`` are the volume driver's.

    ``volume`` is the name of the volume that is created or used, also if ``type`` is ``bind``, and
    empty if there is none or dockerd chooses the name. ``origin`` is ``request`` for a mount in the
    request, ``volume`` for the stored options of a named volume that it uses, and ``container`` for
    the stored mounts of a container that it starts or opens. ``recursive`` is whether a bind
    includes the mounts below its path, ``force_read_only`` whether dockerd must make those
    read-only too.
    """

    type: str
    field: str
    source: str = ""
    path: str | None = None
    target: str = ""
    read_only: bool = False
    propagation: str = ""
    driver: str = ""
    options: Mapping[str, str] = NO_OPTIONS
    volume: str = ""
    origin: Literal["request", "volume", "container"] = "request"
    recursive: bool = True
    force_read_only: bool = False


class ContainerUse(NamedTuple):
    """A container whose mounts dockerd uses for a request, and the field that names it.

    ``is_taken_over`` says that the mounts become mounts of a new container (VolumesFrom).
    """

    reference: str
    field: str
    read_only: bool = False
    is_taken_over: bool = False


def of_container(parts: Parts) -> Iterator[Mount]:
    """The mounts of a new container."""
    host_config = parts.body["HostConfig"]
    driver = host_config["VolumeDriver"]
    for i, bind in enumerate(host_config["Binds"]):
        yield _bind(bind, driver, f"HostConfig.Binds[{i}]")
    for i, mount in enumerate(host_config["Mounts"]):
        yield _mount(mount, f"HostConfig.Mounts[{i}]")
    for target, options in host_config["Tmpfs"].items():
        yield Mount(
            type="tmpfs",
            field=entry("HostConfig.Tmpfs", target),
            target=target,
            read_only=_is_read_only(options.split(",")),
            options={"o": options},
        )
    for target in parts.body["Volumes"]:
        yield Mount(type="volume", field=entry("Volumes", target), target=target, driver=driver)


def of_service(parts: Parts) -> Iterator[Mount]:
    """The mounts of a service's tasks."""
    spec = parts.body["TaskTemplate"]["ContainerSpec"]
    if spec is not None:
        for i, mount in enumerate(spec["Mounts"]):
            yield _mount(task_mount(mount), f"TaskTemplate.ContainerSpec.Mounts[{i}]")


def of_volume(parts: Parts) -> Iterator[Mount]:
    """A new volume."""
    body = parts.body
    options = body["DriverOpts"]
    yield _volume(
        Mount(
            type="cluster" if _is_cluster(body) else "volume",
            field="DriverOpts" if options else "Name",
            source=body["Name"],
            driver=body["Driver"],
            options=options,
            volume=body["Name"],
        )
    )


def of_checkpoint(parts: Parts) -> Iterator[Mount]:
    """The host directory that a checkpoint is written to."""
    yield from _directory(parts.body["CheckpointDir"], "CheckpointDir")


def of_dir(parts: Parts) -> Iterator[Mount]:
    """The host directory in the query parameter ``dir``, which holds checkpoints."""
    yield from _directory(first(parts.query, "dir"), "query.dir")


def of_checkpoint_dir(parts: Parts) -> Iterator[Mount]:
    """The host directory in the query parameter ``checkpoint-dir``, which holds checkpoints."""
    yield from _directory(first(parts.query, "checkpoint-dir"), "query.checkpoint-dir")


def used_container(parts: Parts) -> Iterator[ContainerUse]:
    """The container in the path, whose mounts dockerd sets up again.

    dockerd resolves the source of a bind, symbolic links included, each time that a container
    starts and each time that files are copied to or from it, whether it runs or not. A pause, an
    exec, a commit and an export do not. Sources: moby 28.5.2 ``daemon/start.go`` (containerStart),
    ``daemon/containerfs_linux.go`` (openContainerFS); 20.10.24 ``daemon/archive.go``
    (mountVolumes).
    """
    yield ContainerUse(parts.ref, "path")


def restarted_container(parts: Parts) -> Iterator[ContainerUse]:
    """The container in the path, if the request gives it a policy to restart automatically."""
    if parts.body["RestartPolicy"]["Name"] not in {"", "no"}:
        yield from used_container(parts)


def volumes_from(parts: Parts) -> Iterator[ContainerUse]:
    """The containers whose mounts a new container takes over."""
    for i, source in enumerate(parts.body["HostConfig"]["VolumesFrom"]):
        name, _, mode = source.partition(":")
        read_only = _is_read_only(mode.split(","))
        yield ContainerUse(name, f"HostConfig.VolumesFrom[{i}]", read_only, is_taken_over=True)


def stored_mount(point: Any, use: ContainerUse) -> Mount:
    """A mount of a container as dockerd stores it (28.5.2 ``volume/mounts/mounts.go`` MountPoint);
    raises ``TypeError`` or ``ValueError`` for a value that dockerd does not write."""
    if not isinstance(point, dict):
        raise TypeError("a mount point is no object")
    texts = {name: point.get(name, "") for name in ("Type", "Name", "Source", "Destination")}
    texts |= {name: point.get(name, "") for name in ("Driver", "Propagation")}
    writable = point.get("RW", False)
    if not all(isinstance(text, str) for text in texts.values()) or not isinstance(writable, bool):
        raise TypeError("a mount point has values of other types")
    type_ = texts["Type"] or ("volume" if texts["Name"] else "bind")
    path = clean(texts["Source"]) if type_ == "bind" else None
    if type_ == "bind" and path is None:
        raise ValueError("a bind has no absolute source")
    return Mount(
        type=type_,
        field=use.field,
        source=texts["Name"] if type_ == "volume" else texts["Source"],
        path=path,
        target=texts["Destination"],
        read_only=use.read_only or not writable,
        propagation=texts["Propagation"],
        driver=texts["Driver"] if type_ == "volume" else "",
        volume=texts["Name"] if type_ == "volume" else "",
        origin="request" if use.is_taken_over else "container",
    )


def stored_volume(volume: Mount, options: Any) -> Mount:
    """A named volume with its stored options (28.5.2 ``volume/local/local.go`` optsConfig); raises
    ``TypeError`` for a value that dockerd does not write."""
    names = {"type": "MountType", "o": "MountOpts", "device": "MountDevice"}
    if not isinstance(options, dict):
        raise TypeError("a volume's options are no object")
    given = {ours: options.get(theirs, "") for ours, theirs in names.items()}
    if not all(isinstance(value, str) for value in given.values()):
        raise TypeError("a volume's options have values of other types")
    named = Mount(
        type="volume",
        field=volume.field,
        source=volume.volume,
        target=volume.target,
        read_only=volume.read_only,
        driver="local",
        options={ours: value for ours, value in given.items() if value},
        volume=volume.volume,
    )
    return _volume(named)


def is_named_volume(mount: Mount) -> bool:
    """Whether a mount is of a named volume of the local driver. Such a volume may exist already,
    and then dockerd ignores the options in the request (28.5.2 ``volume/service/store.go``
    create)."""
    return mount.volume != "" and mount.driver in _LOCAL


def unknown_mount(field: str, source: str, *, taken_over: bool) -> Mount:
    """A mount of type ``unknown``, in place of stored mounts that cannot be read."""
    origin: Literal["request", "container"] = "request" if taken_over else "container"
    return Mount(type="unknown", field=field, source=source, origin=origin)


def clean(path: str) -> str | None:
    """The path as Go's ``path.Clean`` returns it, or None if it is not absolute."""
    if not path.startswith("/"):
        return None
    kept: list[str] = []
    for part in path.split("/"):
        if part == "..":
            del kept[-1:]
        elif part not in {"", "."}:
            kept.append(part)
    return "/" + "/".join(kept)


def task_mount(mount: Any) -> Any:
    """A service's mount as its tasks get it: type and propagation in lower case, type bind by
    default (moby 28.5.2 ``daemon/cluster/convert/container.go``)."""
    options = mount["BindOptions"]
    if options is not None:
        options = {**options, "Propagation": options["Propagation"].lower()}
    return {**mount, "Type": mount["Type"].lower() or "bind", "BindOptions": options}


def _is_cluster(body: Any) -> bool:
    """Engines before 23.0 and API versions below 1.42 ignore ClusterVolumeSpec."""
    return body["ClusterVolumeSpec"] is not None and body["Driver"] not in _LOCAL


def _bind(bind: str, volume_driver: str, field: str) -> Mount:
    """``source:target[:mode]``, or ``target`` alone for an anonymous volume."""
    source, _, rest = bind.partition(":")
    target, _, mode = rest.partition(":")
    if not rest:
        source, target = "", source
    is_path = source.startswith("/")
    flags = mode.split(",")
    return Mount(
        type="bind" if is_path else "volume",
        field=field,
        source=source,
        path=clean(source),
        target=target,
        read_only=_is_read_only(flags),
        propagation=_propagation(flags),
        driver="" if is_path else volume_driver,
        volume="" if is_path else source,
    )


def _mount(mount: Any, field: str) -> Mount:
    kind, source = mount["Type"], mount["Source"]
    if kind != "volume":
        options = mount["BindOptions"] or {}
        return Mount(
            type=kind,
            field=field,
            source=source,
            path=clean(source) if kind == "bind" else None,
            target=mount["Target"],
            read_only=mount["ReadOnly"],
            propagation=options.get("Propagation", ""),
            recursive=not options.get("NonRecursive", False),
            force_read_only=options.get("ReadOnlyForceRecursive", False),
        )
    driver = (mount["VolumeOptions"] or {}).get("DriverConfig") or {"Name": "", "Options": {}}
    return _volume(
        Mount(
            type=kind,
            field=f"{field}.VolumeOptions.DriverConfig" if driver["Options"] else field,
            source=source,
            target=mount["Target"],
            read_only=mount["ReadOnly"],
            driver=driver["Name"],
            options=driver["Options"],
            volume=source,
        )
    )


def _volume(volume: Mount) -> Mount:
    """A volume with the path, flags and type ``bind`` that its local driver options give it."""
    if volume.driver not in _LOCAL or not volume.options:
        return volume
    flags = volume.options.get("o", "").split(",")
    device = volume.options.get("device", "")
    is_bind = not {"bind", "rbind"}.isdisjoint(flags)
    return volume._replace(
        type="bind" if is_bind else volume.type,
        source=device if is_bind else volume.source,
        path=None if is_bind and _climbs(device) else clean(device),
        read_only=volume.read_only or _is_read_only(flags),
        propagation=_propagation(flags),
    )


def _climbs(path: str) -> bool:
    """Whether ``..`` makes a path depend on symbolic links: dockerd passes a device to the kernel
    as given, but cleans every other path lexically before it resolves links."""
    return ".." in path.split("/")


def _directory(path: str, field: str) -> Iterator[Mount]:
    if path:
        yield Mount(type="bind", field=field, source=path, path=clean(path))


def _is_read_only(flags: list[str]) -> bool:
    """Whether the last of the flags ``ro`` and ``rw`` is ``ro``, as for mount(8)."""
    return next((flag == "ro" for flag in reversed(flags) if flag in {"ro", "rw"}), False)


def _propagation(flags: list[str]) -> str:
    return next((flag for flag in flags if flag in _PROPAGATIONS), "")
