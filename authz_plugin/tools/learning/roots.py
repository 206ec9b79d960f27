"""Generalize paths, images and ports: replace many similar names by what they have in common.

Names are sequences of parts, such as the components of a path. Where at least ``_BRANCHES`` names
have the same first parts and differ in the next one, the common first parts (a *root*) replace
them, because a part that differs from run to run will differ in the next run, too. Fewer names are
kept as they are. A root is never a dangerous path or a whole registry.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from authz_plugin.tools.config_changes import paths
from authz_plugin.tools.config_changes.steps import Bind, Ports

_BRANCHES: Final = 3
_DEEPEST: Final = 64
"""The greatest number of parts of a root."""

Parts = tuple[str, ...]


def roots(names: Iterable[Parts], may_be_root: Callable[[Parts], bool]) -> dict[Parts, Parts]:
    """The longest root of each name, or the name itself if it has none.

    ``may_be_root`` tells whether a name may be replaced by these first parts of it.
    """
    names = list(names)
    branches: dict[Parts, set[str]] = defaultdict(set)
    for name in names:
        for depth in range(min(len(name), _DEEPEST)):
            branches[name[:depth]].add(name[depth])
    wide = [place for place, below in branches.items() if len(below) >= _BRANCHES]
    taken: set[Parts] = set()
    above: set[Parts] = set()
    for place in sorted(wide, key=len, reverse=True):
        if place not in above and may_be_root(place):
            taken.add(place)
            above.update(place[:depth] for depth in range(len(place)))
    return {name: _root(name, taken) for name in names}


def bind_roots(binds: Iterable[Bind], protected: Iterable[str]) -> dict[Bind, Bind]:
    """Each mount with the entry of ``mounts.allow`` that allows it.

    Writable and read-only mounts are generalized apart, and an entry for read-only mounts is
    read-only. A dangerous path, and a path whose symbolic links lead elsewhere, is not generalized.
    ``protected`` are paths of which the configuration allows no part to be mounted.
    """
    protected = list(protected)
    found = {bind: bind for bind in binds}
    plain = [
        bind
        for bind in found
        if bind.path == bind.resolved and not paths.danger(bind.path, protected)
    ]
    for read_only in (False, True):
        some = [bind for bind in plain if bind.read_only is read_only]
        common = roots(
            (_parts(bind.path) for bind in some),
            lambda place: len(place) > 1 and not paths.danger(f"/{'/'.join(place)}", protected),
        )
        for bind in some:
            path = f"/{'/'.join(common[_parts(bind.path)])}"
            found[bind] = Bind(path, path, read_only)
    at: dict[Parts, list[Bind]] = defaultdict(list)
    for root in sorted(set(found.values())):
        at[_parts(root.path)].append(root)
    return {bind: _covering(root, at) for bind, root in found.items()}


def image_roots(names: Iterable[str]) -> dict[str, str]:
    """Each image (registry, repository, and tag or digest) with the pattern that allows it."""
    parts = {name: _image_parts(name) for name in names}
    common = roots(parts.values(), _may_be_images)
    return {name: _pattern(common[whole], whole) for name, whole in parts.items()}


def port_ranges(ports: Iterable[Ports]) -> dict[Ports, Ports]:
    """Each range of ports with the range that it and its adjacent ranges make."""
    ranges: list[Ports] = []
    for ports_ in sorted(set(ports)):
        if ranges and ports_.first <= ranges[-1].last + 1:
            ranges[-1] = Ports(ranges[-1].first, max(ranges[-1].last, ports_.last))
        else:
            ranges.append(ports_)
    return {p: r for p in ports for r in ranges if r.first <= p.first and p.last <= r.last}


def _root(name: Parts, taken: set[Parts]) -> Parts:
    depths = range(min(len(name), _DEEPEST))
    return next((name[:depth] for depth in depths if name[:depth] in taken), name)


def _parts(path: str) -> Parts:
    return tuple(path.strip("/").split("/"))


def _covering(root: Bind, at: Mapping[Parts, Sequence[Bind]]) -> Bind:
    """The root with the shortest path that allows every mount that ``root`` allows.

    ``at`` holds the roots by the parts of their paths.
    """
    parts = _parts(root.path)
    for depth in range(1, min(len(parts), _DEEPEST)):
        for other in at.get(parts[:depth], ()):
            covers = paths.below(root.resolved, other.resolved)
            if covers and (root.read_only or not other.read_only):
                return other
    writable = root._replace(read_only=False)
    return writable if writable in at.get(parts, ()) else root


def _image_parts(name: str) -> Parts:
    repository, at, digest = name.partition("@")
    tag = f"@{digest}" if at else ""
    colon = repository.rfind(":")
    if not at and colon > repository.rfind("/"):
        repository, tag = repository[:colon], repository[colon:]
    return (*repository.split("/"), *([tag] if tag else []))


def _may_be_images(place: Parts) -> bool:
    """Whether a root is neither a whole registry nor all official images of Docker Hub."""
    return len(place) > 1 and place != ("docker.io", "library")


def _pattern(root: Parts, whole: Parts) -> str:
    *repository, last = root
    if last[:1] in {":", "@"}:
        return f"{'/'.join(repository)}{last}"
    name = "/".join(root)
    is_repository = len(root) == len(whole) or whole[len(root)][:1] in {":", "@"}
    return name if is_repository else f"{name}/*"
