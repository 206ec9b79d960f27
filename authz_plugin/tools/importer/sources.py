"""Finds a proxy's settings in environment files and compose files."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from authz_plugin.errors import SettingsError
from authz_plugin.tools.importer import mount_validation
from authz_plugin.tools.importer.compose import Service, is_compose, read_compose
from authz_plugin.tools.importer.dotenv import Setting, read_dotenv
from authz_plugin.tools.importer.permissions import METHODS, Dialect
from authz_plugin.tools.importer.switches import ACTIONS, SECTIONS, detect_dialect

IMAGES: Final[Mapping[Dialect, tuple[str, ...]]] = {
    "tecnativa": ("tecnativa/docker-socket-proxy",),
    "linuxserver": ("linuxserver/socket-proxy", "linuxserver/docker-socket-proxy"),
    "wollomatic": ("wollomatic/socket-proxy",),
}
"""The images of each proxy without registry and tag, so that those of mirrors are found too."""

_ALL_IMAGES: Final = ", ".join(image for names in IMAGES.values() for image in names)
_LABEL: Final = "socket-proxy.allow."


@dataclass(frozen=True, slots=True)
class File:
    """A file to import; ``name`` is its name in messages, ``folder`` what contains it."""

    name: str
    text: str
    folder: Path


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy with its settings.

    ``service`` is the name of its compose service, empty without a compose file. ``settings`` are
    its variables, each name once, and ``command`` its flags. ``labelled`` are the clients of
    wollomatic's proxy that have rules in their labels, as proxies with these rules as flags.
    """

    dialect: Dialect
    service: str
    settings: tuple[Setting, ...]
    command: tuple[str, ...]
    labelled: tuple[Proxy, ...]


@dataclass(frozen=True, slots=True)
class Found:
    """The proxies in some files, the services beside them, and the names of proxies among these,
    which were not chosen."""

    proxies: tuple[Proxy, ...]
    beside: tuple[Service, ...]
    left_out: tuple[str, ...] = ()


def find_proxies(
    files: Sequence[File],
    environment: Mapping[str, str],
    names: Sequence[str] = (),
    dialect: Dialect | None = None,
) -> Found:
    """Find the proxies in environment and compose files.

    ``environment`` has the variables that can be substituted. ``names`` are the services to take,
    all proxies if there are none, and ``dialect`` is what they are if it is not None. Variables of
    environment files override those of a service. Raises ``SettingsError`` if the files describe
    no proxy.
    """
    services: list[Service] = []
    settings: list[Setting] = []
    for file in files:
        if Path(file.name).suffix in {".yaml", ".yml"} or is_compose(file.text):
            services += read_compose(file.name, file.text, file.folder, environment)
        else:
            settings += read_dotenv(file.name, file.text, environment)
    if not services:
        if names:
            raise SettingsError("--service", "", "no file given is a compose file")
        known = dialect or detect_dialect(settings)
        return Found((Proxy(known, "", _last_values(settings), (), ()),), ())
    chosen = _choose_services(services, names, dialect)
    taken = {one.name for one, _ in chosen}
    left_out = tuple(
        one.name for one in services if one.name not in taken and _dialect(one) is not None
    )
    labelled = tuple(proxy for one in services if (proxy := _labelled(one)) is not None)
    proxies = tuple(
        Proxy(
            known,
            one.name,
            _last_values(
                [*_mount_checks(services, one, (*taken, *left_out)), *one.settings, *settings]
            ),
            one.command,
            labelled if known == "wollomatic" else (),
        )
        for one, known in chosen
    )
    return Found(proxies, tuple(one for one in services if one.name not in taken), left_out)


def used_proxies(service: Service, proxies: Collection[str]) -> list[str]:
    """Return the proxies, by name, that a service's variables or command name with a port."""
    given = " ".join([*(setting.value for setting in service.settings), *service.command])
    return [name for name in proxies if re.search(rf"(?<![\w.-]){re.escape(name)}:\d", given)]


def _mount_checks(
    services: Sequence[Service], proxy: Service, proxies: Collection[str]
) -> Iterator[Setting]:
    """Yield the settings of a client's check of mounts that count for a proxy: those of services
    that use it, or that do not say which proxy they use."""
    for one in services:
        used = used_proxies(one, proxies)
        if one.name not in proxies and (not used or proxy.name in used):
            yield from (
                setting for setting in one.settings if setting.name in mount_validation.VARIABLES
            )


def _labelled(service: Service) -> Proxy | None:
    """Return the rules in a service's labels as the flags of a proxy, or None without any."""
    flags = []
    for label, value in service.labels.items():
        if label.startswith(_LABEL) and value:
            word = label.removeprefix(_LABEL)
            method = word.partition(".")[0].upper()
            is_mount = word.upper() == "BINDMOUNTFROM"
            if is_mount or method in METHODS:
                flags.append(f"-allow{'bindmountfrom' if is_mount else method}={value}")
    return Proxy("wollomatic", service.name, (), tuple(flags), ()) if flags else None


def _choose_services(
    services: Sequence[Service], names: Sequence[str], dialect: Dialect | None
) -> list[tuple[Service, Dialect]]:
    """Return the services of the proxies, each with its dialect."""
    for name in names:
        if name not in {one.name for one in services}:
            known = ", ".join(one.name for one in services)
            raise SettingsError("--service", "", f"there is no service {name}; there are: {known}")
    named = [one for one in services if not names or one.name in names]
    found = [(one, by_image) for one in named if (by_image := _dialect(one)) is not None]
    if names:
        return [(one, dialect or _dialect(one) or _detected(one)) for one in named]
    if not found and len(named) == 1 and (dialect is not None or not named[0].image):
        found = [(named[0], dialect or _detected(named[0]))]
    if not found and dialect is not None:
        found = [(one, dialect) for one in named if _reads(dialect, one)]
        if len(found) > 1:
            several = ", ".join(one.name for one, _ in found)
            message = f"several services could be the proxy, name it: {several}"
            raise SettingsError("--service", "", message)
    if not found:
        described = ", ".join(f"{one.name} ({one.image or 'no image'})" for one in named)
        message = (
            f"no service runs {_ALL_IMAGES}: if one is a fork, name its kind, --dialect "
            f"{' or '.join(IMAGES)}, and --service if several could be it; the services are: "
            f"{described}"
        )
        raise SettingsError(named[0].place.rpartition(":")[0], "services", message)
    if len(found) == 1 and dialect is not None:
        return [(found[0][0], dialect)]
    of_dialect = [(one, known) for one, known in found if dialect in {None, known}]
    if not of_dialect:
        kinds = ", ".join(f"{one.name} is {known}" for one, known in found)
        raise SettingsError("--dialect", "", f"no proxy is {dialect}: {kinds}; name a --service")
    return of_dialect


def _detected(service: Service) -> Dialect:
    """Return the dialect of a service without an image; raises ``SettingsError`` for others."""
    if not service.image:
        return detect_dialect(service.settings)
    message = f"image {service.image} is none of {_ALL_IMAGES}: say whose it is with --dialect"
    raise SettingsError(service.place, service.name, message)


def _reads(dialect: Dialect, service: Service) -> bool:
    """Return whether a service has settings that only a proxy of a dialect would read."""
    names = {setting.name for setting in service.settings}
    if dialect == "wollomatic":
        flags = any(re.match(r"--?allow[A-Z]", word) for word in service.command)
        return flags or any(name.startswith("SP_ALLOW") for name in names)
    return not names.isdisjoint({*SECTIONS, *ACTIONS, "POST"} - {"AUTH", "INFO", "VERSION"})


def _dialect(service: Service) -> Dialect | None:
    for dialect, names in IMAGES.items():
        if any(has_image(service, name) for name in names):
            return dialect
    return None


def has_image(service: Service, name: str) -> bool:
    """Return whether a service runs an image, whatever its registry and tag."""
    image = re.sub(r"(:[^/:@]+)?(@.*)?$", "", service.image)
    return image == name or image.endswith(f"/{name}")


def _last_values(settings: Sequence[Setting]) -> tuple[Setting, ...]:
    """Return each variable once, with its last value."""
    return tuple({setting.name: setting for setting in settings}.values())
