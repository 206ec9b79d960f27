"""Every label that a request sets, on whatever thing, as one list.

Labels stand in bodies, in a build's parameter ``labels``, and in the instructions that commit and
import carry out on an image (``changes``). Sources: moby 28.5.2 ``builder/dockerfile/builder.go``
(BuildFromConfig: all changes are one Dockerfile, a line each; validCommitCommands),
``daemon/create.go`` and ``daemon/commit.go`` (merge: an image's labels become its containers');
buildkit v0.25 ``frontend/dockerfile/parser`` (splitCommand, parseNameVal, parseWords).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from authz_plugin.dockerd.images import first

_BODIES: Final = frozenset(
    {
        "config.create",
        "config.update",
        "container.commit",
        "container.create",
        "network.create",
        "node.update",
        "secret.create",
        "secret.update",
        "service.create",
        "service.update",
        "swarm.update",
        "volume.create",
    }
)
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
"""What dockerd carries out of a commit's or an import's changes; anything else is an error."""

_SPACE: Final = re.compile(r"[\t\v\f\r ]+")
_CONTINUED: Final = re.compile(r"[\\`]\s*$")
_PAIR: Final = r"""([^\s"'\\$`=]+)=(?:"[^"\\`]*"|'[^'\\`]*'|[^\s"'\\`]*)"""
_PAIRS: Final = re.compile(rf"(?:{_PAIR}\s*)+")
_OLD_FORM: Final = re.compile(r"""([^\s"'\\$`=]+)(?:\s[^\\`]*)?""")


@dataclass(frozen=True, slots=True)
class Label:
    """A label that is set: ``name`` is as written, and None where it cannot be read; ``folded`` is
    the same without upper case, as many that read labels compare it."""

    name: str | None
    folded: str
    field: str


def read_labels(operation: str, body: Any, query: Mapping[str, tuple[str, ...]]) -> list[Label]:
    """All labels that a request sets, given its operation id, canonical body and query."""
    return [
        Label(name, (name or "").casefold(), field) for name, field in _read(operation, body, query)
    ]


def _read(
    operation: str, body: Any, query: Mapping[str, tuple[str, ...]]
) -> Iterator[tuple[str | None, str]]:
    if operation in _BODIES:
        yield from ((name, "Labels") for name in body["Labels"])
    match operation:
        case "container.create":
            yield from _of_mounts(body["HostConfig"]["Mounts"], "HostConfig.Mounts")
        case "service.create" | "service.update" if body["TaskTemplate"]["ContainerSpec"]:
            field = "TaskTemplate.ContainerSpec"
            spec = body["TaskTemplate"]["ContainerSpec"]
            yield from ((name, f"{field}.Labels") for name in spec["Labels"])
            yield from _of_mounts(spec["Mounts"], f"{field}.Mounts")
        case "swarm.init":
            yield from ((name, "Spec.Labels") for name in body["Spec"]["Labels"])
        case "container.commit" | "image.import":
            for i, change in enumerate(query.get("changes", ())):
                yield from ((name, f"query.changes[{i}]") for name in labels_of_change(change))
        case "image.build":
            yield from ((name, "query.labels") for name in _of_build(first(query, "labels")))


def labels_of_change(change: str) -> list[str | None]:
    """The names of the labels that an instruction sets; ``[None]`` where they are not certain:
    where a line goes on in the next, or names are quoted, escaped or variables."""
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


def _of_mounts(mounts: Any, field: str) -> Iterator[tuple[str, str]]:
    """The labels of volumes that are made for mounts, whatever the mount's type says."""
    for i, mount in enumerate(mounts):
        for name in (mount["VolumeOptions"] or {"Labels": {}})["Labels"]:
            yield name, f"{field}[{i}].VolumeOptions.Labels"


def _of_build(text: str) -> list[str | None]:
    try:
        labels = json.loads(text or "null")
    except (ValueError, RecursionError):
        return [None]
    if labels is None:
        return []
    return list(labels) if isinstance(labels, dict) else [None]
