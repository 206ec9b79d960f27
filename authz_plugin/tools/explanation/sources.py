"""Where the rules stand: every rule id with its file, line and what its metadata says."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from authz_plugin.engine.binary import Opa
from authz_plugin.errors import PolicyError


@dataclass(frozen=True, slots=True)
class Source:
    """A rule's place and its metadata; ``settings`` are the keys that open it."""

    file: str
    row: int
    title: str
    description: str
    settings: tuple[str, ...] = ()

    @property
    def place(self) -> str:
        return f"{self.file}:{self.row}"


def rule_sources(opa: Opa, folders: Sequence[Path]) -> Mapping[str, Source]:
    """The rules in folders of policies, by their ids; raises ``PolicyError``."""
    return {id_: source for folder in folders for id_, source in _sources(opa, folder)}


def _sources(opa: Opa, folder: Path) -> Iterator[tuple[str, Source]]:
    done = opa.run("inspect", "--annotations", "--format", "json", str(folder))
    if done.returncode != 0:
        raise PolicyError((done.stderr or done.stdout).strip())
    inspected: dict[str, Any] = json.loads(done.stdout)
    for entry in inspected.get("annotations") or []:
        annotations, location = entry["annotations"], entry["location"]
        custom = annotations.get("custom") or {}
        id_ = custom.get("id")
        if id_:
            yield (
                id_,
                Source(
                    location["file"],
                    location["row"],
                    annotations.get("title", ""),
                    " ".join(annotations.get("description", "").split()),
                    tuple(custom.get("settings") or ()),
                ),
            )
