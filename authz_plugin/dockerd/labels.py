"""Every label that a request sets, on an object of any kind, as one list.

Labels are given in bodies, in a build's parameter ``labels``, and in the Dockerfile instructions
that commit and import apply to an image (``changes``). Sources: moby 28.5.2
``builder/dockerfile/builder.go`` (BuildFromConfig: the changes are the lines of one Dockerfile;
validCommitCommands), ``daemon/create.go`` and ``daemon/commit.go`` (merge: a container gets the
labels of its image); buildkit v0.25 ``frontend/dockerfile/parser`` (splitCommand, parseNameVal,
parseWords).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

from authz_plugin.dockerd.parts import Parts, first

_INSTRUCTIONS: Final = frozenset(
    {
        "cmd",
        "entrypoint",
        "env",
        "expose",
        "healthcheck",
        "label",
        "onbuild",
        "stopsignal",
        "user",
        "volume",
        "workdir",
    }
)
"""Instructions that dockerd accepts in the changes of a commit or an import, in lower case."""

_SPACE: Final = re.compile(r"[\t\v\f\r ]+")
_CONTINUED: Final = re.compile(r"[\\`]\s*$")
_PAIR: Final = r"""([^\s"'\\$`=]+)=(?:"[^"\\`]*"|'[^'\\`]*'|[^\s"'\\`]*)"""
_PAIRS: Final = re.compile(rf"(?:{_PAIR}\s*)+")
_OLD_FORM: Final = re.compile(r"""([^\s"'\\$`=]+)(?:\s[^\\`]*)?""")


class Label(NamedTuple):
    """A label that is set. ``name`` is as given, or None if it cannot be determined; ``folded`` is
    its case-folded form, because many programs compare label names without case."""

    name: str | None
    folded: str
    field: str


def of_body(parts: Parts) -> Iterator[Label]:
    """The labels in the body's own ``Labels``."""
    return _labels(parts.body["Labels"], "Labels")


def of_container(parts: Parts) -> Iterator[Label]:
    """The labels of a new container and of the volumes that dockerd creates for its mounts."""
    yield from of_body(parts)
    yield from _of_mounts(parts.body["HostConfig"]["Mounts"], "HostConfig.Mounts")


def of_service(parts: Parts) -> Iterator[Label]:
    """The labels of a service, of its tasks, and of the volumes that dockerd creates for them."""
    yield from of_body(parts)
    spec = parts.body["TaskTemplate"]["ContainerSpec"]
    if spec is not None:
        field = "TaskTemplate.ContainerSpec"
        yield from _labels(spec["Labels"], f"{field}.Labels")
        yield from _of_mounts(spec["Mounts"], f"{field}.Mounts")


def of_swarm_init(parts: Parts) -> Iterator[Label]:
    """The labels of a new swarm."""
    return _labels(parts.body["Spec"]["Labels"], "Spec.Labels")


def of_commit(parts: Parts) -> Iterator[Label]:
    """The labels that a commit sets in its body and in its changes."""
    yield from of_body(parts)
    yield from of_changes(parts)


def of_changes(parts: Parts) -> Iterator[Label]:
    """The labels that the instructions in the query parameter ``changes`` set."""
    for i, change in enumerate(parts.query.get("changes", ())):
        yield from _labels(labels_of_change(change), f"query.changes[{i}]")


def of_build(parts: Parts) -> Iterator[Label]:
    """The labels in the query parameter ``labels``."""
    return _labels(_of_build(first(parts.query, "labels")), "query.labels")


def labels_of_change(change: str) -> list[str | None]:
    """The names of the labels that an instruction sets; ``[None]`` if they cannot be determined:
    if a line is continued, or a name is quoted, escaped or contains a variable."""
    line = change.strip()
    if not line:
        return []
    if "\n" in change or _CONTINUED.search(change):
        return [None]
    if line.startswith("#"):
        return []
    word, *rest = _SPACE.split(line, maxsplit=1)
    instruction, text = word.lower(), rest[0].strip() if rest else ""
    if instruction not in _INSTRUCTIONS:
        return [None]
    if instruction == "onbuild":
        inner = _SPACE.split(text, maxsplit=1)[0].lower()
        return labels_of_change(text) if inner == "label" else []
    return _of_label(text) if instruction == "label" else []


def _of_label(text: str) -> list[str | None]:
    if text.startswith("--"):
        return [None]
    if _PAIRS.fullmatch(text):
        return [found[1] for found in re.finditer(_PAIR, text)]
    old = _OLD_FORM.fullmatch(text)
    return [None] if old is None else [old[1]]


def _labels(names: Iterable[str | None], field: str) -> Iterator[Label]:
    for name in names:
        yield Label(name, (name or "").casefold(), field)


def _of_mounts(mounts: Any, field: str) -> Iterator[Label]:
    """The labels of volumes that are created for mounts, regardless of the mount's type."""
    for i, mount in enumerate(mounts):
        labels = (mount["VolumeOptions"] or {"Labels": {}})["Labels"]
        yield from _labels(labels, f"{field}[{i}].VolumeOptions.Labels")


def _of_build(text: str) -> list[str | None]:
    try:
        labels = json.loads(text or "null")
    except (ValueError, RecursionError):
        return [None]
    if labels is None:
        return []
    return list(labels) if isinstance(labels, dict) else [None]
