"""Compares how this plugin and Docker's own Go types decode a request body.

Three Go programs decode bodies into the API types of Docker 20.10, 28.5 and 29, as dockerd does.
The plugin must refuse a body, or decode every field to the same value.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import json
import os
import shutil
import struct
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from authz_plugin.dockerd import gojson, shapes
from authz_plugin.dockerd.gojson import Reading, Shape, fold
from authz_plugin.errors import Refused

ENGINES: Final = ("v20", "v28", "v29")

SHAPES: Final[Mapping[str, Shape]] = {
    "container.create": shapes.CONTAINER_CREATE,
    "container.update": shapes.CONTAINER_UPDATE,
    "checkpoint.create": shapes.CHECKPOINT_CREATE,
    "exec.create": shapes.EXEC_CREATE,
    "exec.start": shapes.EXEC_START,
    "network.create": shapes.NETWORK_CREATE,
    "network.connect": shapes.NETWORK_CONNECT,
    "network.disconnect": shapes.NETWORK_DISCONNECT,
    "volume.create": shapes.VOLUME_CREATE,
    "service.create": shapes.SERVICE,
    "swarm.init": shapes.SWARM_INIT,
    "swarm.join": shapes.SWARM_JOIN,
    "swarm.update": shapes.SWARM_SPEC,
    "swarm.unlock": shapes.SWARM_UNLOCK,
    "node.update": shapes.NODE,
    "secret.create": shapes.SECRET,
    "config.create": shapes.CONFIG,
    "plugin.privileges": shapes.PLUGIN_PRIVILEGES,
    "plugin.settings": shapes.PLUGIN_SETTINGS,
}
"""The shapes of the bodies that all three engines decode."""

_NOT_POINTERS_IN_20: Final = {"network.create.CheckDuplicate", "network.create.EnableIPv6"}
"""Fields that are pointers in later engines, and Booleans without null in 20.10."""

_SOURCE: Final = Path(__file__).parent / "go"
_BUILT: Final = Path(__file__).parents[2] / ".cache/oracle"


class Oracle:
    """The running Go program of one engine."""

    def __init__(self, engine: str, process: subprocess.Popen[bytes]) -> None:
        self.engine = engine
        self._process = process

    def ask(self, name: str, body: bytes) -> dict[str, Any]:
        """Decode a body: ``{"holds": …}`` with every field, or ``{"error": …}`` if the engine fails."""
        question = {"type": name, "body": base64.b64encode(body).decode()}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(question).encode() + b"\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer


def is_available() -> bool:
    """Return whether Go, which builds the programs, is installed."""
    return shutil.which("go") is not None


@cache
def build(engine: str) -> Path:
    """Build the program of an engine and return its path."""
    program = _BUILT / engine
    subprocess.run(
        ["go", "build", f"-p={os.cpu_count()}", "-mod=readonly", "-o", program, "."], cwd=_SOURCE / engine, check=True
    )
    return program


def fields(engine: str) -> dict[str, Any]:
    """Return the names of all fields of an engine's types, by type."""
    done = subprocess.run([build(engine), "fields"], capture_output=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@contextmanager
def running() -> Iterator[list[Oracle]]:
    """Run the programs of all engines."""
    with ExitStack() as open_:
        found = []
        for engine in ENGINES:
            process = subprocess.Popen(
                [build(engine)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
            found.append(Oracle(engine, open_.enter_context(process)))
            open_.callback(process.kill)
        yield found


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of decoding a body.

    ``refused`` is the rule by which the plugin refuses it, or empty. ``engines`` are those that
    refuse it. ``differences`` are the fields with other values than the plugin's.
    """

    refused: str
    engines: tuple[str, ...]
    differences: tuple[str, ...]


def judge(oracles: list[Oracle], name: str, body: bytes) -> Verdict:
    """Decode a body with the plugin and with every engine."""
    answers = {oracle.engine: oracle.ask(name, body) for oracle in oracles}
    engines = tuple(engine for engine, answer in answers.items() if "error" in answer)
    shape = SHAPES[name]
    try:
        plugin_value = shape.read(gojson.parse(body), "", Reading())
    except Refused as refusal:
        return Verdict(refusal.rule, engines, ())
    differences = tuple(
        f"{engine}: {difference}"
        for engine, answer in answers.items()
        if "error" not in answer
        for difference in compare(shape, plugin_value, answer["holds"], name)
    )
    return Verdict("", engines, differences)


def compare(  # noqa: C901 - one case a type
    shape: Any, plugin_value: Any, engine_value: Any, path: str
) -> Iterator[str]:
    """Yield the fields whose value in the plugin is not the engine's."""
    match shape:
        case gojson.Pointer() if engine_value is None or plugin_value is None:
            same = plugin_value is engine_value or (
                plugin_value is None and not engine_value and path in _NOT_POINTERS_IN_20
            )
            same = same or (engine_value is None and plugin_value == shape.zero())
        case gojson.Pointer():
            yield from compare(shape.element, plugin_value, engine_value, path)
            return
        case gojson.Struct():
            yield from _compare_fields(shape, plugin_value, engine_value, path)
            return
        case gojson.Map():
            yield from _compare_entries(shape, plugin_value, engine_value or {}, path)
            return
        case gojson.Slice() if engine_value is None:
            same = plugin_value == shape.zero()
        case gojson.Slice() | gojson.Array():
            same = len(plugin_value) == len(engine_value)
            items = zip(plugin_value, engine_value, strict=False)
            for i, (plugin_item, engine_item) in enumerate(items):
                yield from compare(shape.element, plugin_item, engine_item, f"{path}[{i}]")
        case gojson.Bytes():
            same = _decoded(plugin_value) == _decoded(engine_value or "")
        case gojson.Float():
            same = _float32(plugin_value) == _float32(engine_value)
        case gojson.String():
            same = plugin_value == engine_value or _is_same_address(plugin_value, engine_value)
        case _:
            same = type(plugin_value) is type(engine_value) and plugin_value == engine_value
    if not same:
        yield f"{path} holds {engine_value!r}, we hold {plugin_value!r}"


def _compare_fields(
    shape: gojson.Struct, plugin_value: Any, engine_value: Any, path: str
) -> Iterator[str]:
    if engine_value is None:
        if plugin_value != shape.zero():
            yield f"{path} holds nothing, we hold {plugin_value!r}"
        return
    for name, engine_item in engine_value.items():
        if name in shape.fields:
            yield from compare(shape.fields[name], plugin_value[name], engine_item, f"{path}.{name}")
        elif not _is_zero(engine_item):
            yield f"{path}.{name} holds {engine_item!r}, we hold nothing"


def _compare_entries(
    shape: gojson.Map, plugin_value: Any, engine_value: Any, path: str
) -> Iterator[str]:
    key = shape._key or str
    plugin_keys, engine_keys = (
        {key(k): v for k, v in entries.items()} for entries in (plugin_value, engine_value)
    )
    if plugin_keys.keys() != engine_keys.keys():
        yield f"{path} holds the keys {sorted(engine_value)}, we hold {sorted(plugin_value)}"
        return
    for name, plugin_item in plugin_keys.items():
        yield from compare(shape.element, plugin_item, engine_keys[name], f"{path}[{name!r}]")


def _is_zero(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(_is_zero, value.values()))
    if isinstance(value, list):
        return all(map(_is_zero, value))
    return not value


def _float32(number: float) -> float:
    (rounded,) = struct.unpack("f", struct.pack("f", number))
    return float(rounded)


def _decoded(text: str) -> bytes | str:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        return text


def _is_same_address(plugin_value: str, engine_value: str) -> bool:
    """Return whether two addresses are equal: engines from 29 write them in canonical form."""
    try:
        return ipaddress.ip_interface(plugin_value) == ipaddress.ip_interface(engine_value)
    except ValueError:
        return plugin_value.lower() == engine_value.lower() and ":" in plugin_value  # a MAC address


def missing_in_shapes(shape: Any, engine_value: Any, path: str) -> Iterator[str]:
    """Yield the fields of an engine's types that the plugin's shapes do not have."""
    while not isinstance(shape, gojson.Struct):
        if not hasattr(shape, "element"):
            return
        shape = shape.element
    if not isinstance(engine_value, dict):
        return
    refused = shape._refused
    for name, inner in engine_value.items():
        if name in shape.fields:
            yield from missing_in_shapes(shape.fields[name], inner, f"{path}.{name}")
        elif fold(name) not in refused:
            yield f"{path}.{name}"


def missing_in_engines(shape: Any, engine_value: list[Any], path: str) -> Iterator[str]:
    """Yield the fields of the plugin's shapes that no engine's types have."""
    while not isinstance(shape, gojson.Struct):
        if not hasattr(shape, "element"):
            return
        shape = shape.element
    found = [fields for fields in engine_value if isinstance(fields, dict)]
    for name, inner in shape.fields.items():
        holders = [fields[name] for fields in found if name in fields]
        if holders:
            yield from missing_in_engines(inner, holders, f"{path}.{name}")
        else:
            yield f"{path}.{name}"
