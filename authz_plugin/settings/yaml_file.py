"""Reads YAML files with settings: plain Python values, and the line of each key."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from authz_plugin.errors import SettingsError
from authz_plugin.settings.origins import Key, KeyOrigins


def read_yaml(file: Path) -> tuple[dict[str, Any], KeyOrigins]:
    """Read a YAML file that contains a mapping; raises ``SettingsError`` with the line."""
    try:
        return _read_yaml(file)
    except OSError as error:
        raise SettingsError(str(file), "", f"cannot be read: {error.strerror}") from error
    except MarkedYAMLError as error:
        line = "" if error.problem_mark is None else f":{error.problem_mark.line + 1}"
        raise SettingsError(f"{file}{line}", "", f"is not YAML: {error.problem}") from error
    except (YAMLError, ValueError) as error:
        raise SettingsError(str(file), "", f"is not YAML: {error}") from error
    except RecursionError:
        raise SettingsError(str(file), "", "holds itself, or is nested too deeply") from None


def _read_yaml(file: Path) -> tuple[dict[str, Any], KeyOrigins]:
    document = YAML(typ="rt").load(file)
    origins = KeyOrigins(str(file))
    if document is None:
        return {}, origins
    if not isinstance(document, CommentedMap):
        raise SettingsError(f"{file}:1", "", "is not a mapping of settings")
    _note_lines(document, (), file, origins)
    return _plain(document), origins


def _note_lines(node: Any, key: Key, file: Path, origins: KeyOrigins) -> None:
    if isinstance(node, CommentedMap):
        for name, value in node.items():
            if name in (node.lc.data or ()):  # keys merged in with << have no line here
                origins.put((*key, name), f"{file}:{node.lc.key(name)[0] + 1}")
            _note_lines(value, (*key, name), file, origins)
    elif isinstance(node, CommentedSeq):
        for i, value in enumerate(node):
            origins.put((*key, i), f"{file}:{node.lc.item(i)[0] + 1}")
            _note_lines(value, (*key, i), file, origins)


def _plain(node: Any) -> Any:
    if isinstance(node, Mapping):
        return {str(k): _plain(v) for k, v in node.items()}
    if isinstance(node, Sequence) and not isinstance(node, str):
        return [_plain(v) for v in node]
    if isinstance(node, float) and not math.isfinite(node):
        return str(node)
    for kind in (bool, int, float, str):
        if isinstance(node, kind):
            return kind(node)
    return None if node is None else str(node)
