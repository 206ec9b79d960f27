"""Finds a proxy's settings in environment files and compose files."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from authz_plugin.errors import SettingsError
from authz_plugin.tools.importer import mount_validation
from authz_plugin.tools.importer.compose import Service, is_compose, read_compose
from authz_plugin.tools.importer.dotenv import Setting, read_dotenv
from authz_plugin.tools.importer.permissions import Dialect
from authz_plugin.tools.importer.switches import detect_dialect

IMAGES: Final[Mapping[Dialect, tuple[str, ...]]] = {
    "tecnativa": ("tecnativa/docker-socket-proxy",),
    "linuxserver": ("linuxserver/socket-proxy", "linuxserver/docker-socket-proxy"),
    "wollomatic": ("wollomatic/socket-proxy",),
}
"""The images of each proxy without registry and tag, so that those of mirrors are found too."""

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
    its variables, each name once, and ``command`` its flags. ``labelled`` are the names of services
    that have rules for wollomatic's proxy in their labels.
    """

    dialect: Dialect
    service: str
    settings: tuple[Setting, ...]
    command: tuple[str, ...]
    labelled: tuple[str, ...]


def find_proxy(
    files: Sequence[File],
    environment: Mapping[str, str],
    service: str | None = None,
    dialect: Dialect | None = None,
) -> Proxy:
    """Find the proxy in environment and compose files.

    ``environment`` has the variables that can be substituted. ``service`` and ``dialect`` name the
    proxy if they are not None. Variables of environment files override those of the service.
    Raises ``SettingsError`` if the files describe no proxy, or several.
    """
    services: list[Service] = []
    settings: list[Setting] = []
    for file in files:
        if Path(file.name).suffix in {".yaml", ".yml"} or is_compose(file.text):
            services += read_compose(file.name, file.text, file.folder, environment)
        else:
            settings += read_dotenv(file.name, file.text, environment)
    if not services:
        if service is not None:
            raise SettingsError("--service", "", "no file given is a compose file")
        return Proxy(dialect or detect_dialect(settings), "", _last_values(settings), (), ())
    chosen, known = _choose_service(services, service, dialect)
    beside = [
        setting
        for other in services
        for setting in other.settings
        if other is not chosen and setting.name in mount_validation.VARIABLES
    ]
    return Proxy(
        known,
        chosen.name,
        _last_values([*beside, *chosen.settings, *settings]),
        chosen.command,
        tuple(
            one.name for one in services if any(label.startswith(_LABEL) for label in one.labels)
        ),
    )


def _choose_service(
    services: Sequence[Service], name: str | None, dialect: Dialect | None
) -> tuple[Service, Dialect]:
    """Return the service of the proxy and its dialect."""
    if name is not None and name not in {one.name for one in services}:
        known = ", ".join(one.name for one in services)
        raise SettingsError("--service", "", f"there is no service {name}; there are: {known}")
    named = [one for one in services if name is None or one.name == name]
    found = [(one, by_image) for one in named if (by_image := _dialect(one)) is not None]
    if not found and len(named) == 1 and (dialect is not None or not named[0].image):
        found = [(named[0], dialect or detect_dialect(named[0].settings))]
    images = ", ".join(image for names in IMAGES.values() for image in names)
    if not found and name is not None:
        message = f"image {named[0].image} is none of {images}: say whose it is with --dialect"
        raise SettingsError(named[0].place, name, message)
    if not found:
        message = f"no service runs {images}: name the service with --service and --dialect"
        raise SettingsError(named[0].place.rpartition(":")[0], "services", message)
    if len(found) > 1:
        names = ", ".join(f"{one.name} ({one.place})" for one, _ in found)
        raise SettingsError("--service", "", f"name one of the proxies that there are: {names}")
    ((service, by_image),) = found
    return service, dialect or by_image


def _dialect(service: Service) -> Dialect | None:
    image = re.sub(r"(:[^/:@]+)?(@.*)?$", "", service.image)
    for dialect, names in IMAGES.items():
        if any(image == name or image.endswith(f"/{name}") for name in names):
            return dialect
    return None


def _last_values(settings: Sequence[Setting]) -> tuple[Setting, ...]:
    """Return each variable once, with its last value."""
    return tuple({setting.name: setting for setting in settings}.values())
