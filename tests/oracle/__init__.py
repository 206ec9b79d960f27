"""Docker's own types as an oracle: what a body holds for dockerd, beside what it holds for us.

Three small Go programs decode bodies into the published API types of Docker 20.10, 28.5 and 29, as
dockerd does. For every body, either this plugin refuses it or both hold the same, field by field.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import json
import shutil
import struct
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
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
"""The bodies that all three engines read."""

_PLAIN_IN_20: Final = {"network.create.CheckDuplicate", "network.create.EnableIPv6"}
"""Fields that later engines leave open where they were not given, and 20.10 takes for false."""

_SOURCE: Final = Path(__file__).parent / "go"
_BUILT: Final = Path(__file__).parents[2] / ".cache/oracle"


class Oracle:
    """The running program of one engine."""

    def __init__(self, engine: str, process: subprocess.Popen[bytes]) -> None:
        self.engine = engine
        self._process = process

    def ask(self, name: str, body: bytes) -> dict[str, Any]:
        """``{"holds": …}`` with every field, or ``{"error": …}`` where the engine refuses."""
        question = {"type": name, "body": base64.b64encode(body).decode()}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(question).encode() + b"\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer


def is_available() -> bool:
    """Whether there is a Go to build the oracle with."""
    return shutil.which("go") is not None


def build(engine: str) -> Path:
    """Build the program of an engine; Go's own cache makes it quick the next time."""
    program = _BUILT / engine
    subprocess.run(
        ["go", "build", "-mod=readonly", "-o", program, "."], cwd=_SOURCE / engine, check=True
    )
    return program


def fields(engine: str) -> dict[str, Any]:
    """The names of all fields of an engine's types, by type."""
    done = subprocess.run([build(engine), "fields"], capture_output=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@contextmanager
def running() -> Iterator[list[Oracle]]:
    """The oracles of all engines, until the end."""
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
    """How a body was read: ``refused`` by us, and by which engines; ``differences`` from these."""

    refused: str
    engines: tuple[str, ...]
    differences: tuple[str, ...]


def judge(oracles: list[Oracle], name: str, body: bytes) -> Verdict:
    """Have a body read by us and by every oracle."""
    answers = {oracle.engine: oracle.ask(name, body) for oracle in oracles}
    engines = tuple(engine for engine, answer in answers.items() if "error" in answer)
    shape = SHAPES[name]
    try:
        ours = shape.read(gojson.parse(body), "", Reading())
    except Refused as refusal:
        return Verdict(refusal.rule, engines, ())
    differences = tuple(
        f"{engine}: {difference}"
        for engine, answer in answers.items()
        if "error" not in answer
        for difference in compare(shape, ours, answer["holds"], name)
    )
    return Verdict("", engines, differences)


def compare(shape: Any, ours: Any, theirs: Any, path: str) -> Iterator[str]:  # noqa: C901 - one case a type
    """Where our canonical form is not what an engine holds."""
    match shape:
        case gojson.Pointer() if theirs is None or ours is None:
            same = ours is theirs or (ours is None and not theirs and path in _PLAIN_IN_20)
            same = same or (theirs is None and ours == shape.zero())
        case gojson.Pointer():
            yield from compare(shape.element, ours, theirs, path)
            return
        case gojson.Struct():
            yield from _compare_fields(shape, ours, theirs, path)
            return
        case gojson.Map():
            yield from _compare_entries(shape, ours, theirs or {}, path)
            return
        case gojson.Slice() if theirs is None:
            same = ours == shape.zero()
        case gojson.Slice() | gojson.Array():
            same = len(ours) == len(theirs)
            for i, (our, their) in enumerate(zip(ours, theirs, strict=False)):
                yield from compare(shape.element, our, their, f"{path}[{i}]")
        case gojson.Bytes():
            same = _decoded(ours) == _decoded(theirs or "")
        case gojson.Float():
            same = _float32(ours) == _float32(theirs)
        case gojson.String():
            same = ours == theirs or _is_same_address(ours, theirs)
        case _:
            same = type(ours) is type(theirs) and ours == theirs
    if not same:
        yield f"{path} holds {theirs!r}, we hold {ours!r}"


def _compare_fields(shape: gojson.Struct, ours: Any, theirs: Any, path: str) -> Iterator[str]:
    if theirs is None:
        if ours != shape.zero():
            yield f"{path} holds nothing, we hold {ours!r}"
        return
    for name, their in theirs.items():
        if name in shape.fields:
            yield from compare(shape.fields[name], ours[name], their, f"{path}.{name}")
        elif not _is_zero(their):
            yield f"{path}.{name} holds {their!r}, we hold nothing"


def _compare_entries(shape: gojson.Map, ours: Any, theirs: Any, path: str) -> Iterator[str]:
    key = shape._key or str
    our_keys, their_keys = ({key(k): v for k, v in entries.items()} for entries in (ours, theirs))
    if our_keys.keys() != their_keys.keys():
        yield f"{path} holds the keys {sorted(theirs)}, we hold {sorted(ours)}"
        return
    for name, our in our_keys.items():
        yield from compare(shape.element, our, their_keys[name], f"{path}[{name!r}]")


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


def _is_same_address(ours: str, theirs: str) -> bool:
    """Engines from 29 hold addresses as numbers, and write them in one way."""
    try:
        return ipaddress.ip_interface(ours) == ipaddress.ip_interface(theirs)
    except ValueError:
        return ours.lower() == theirs.lower() and ":" in ours  # a MAC address


def unknown_to_us(shape: Any, theirs: Any, path: str) -> Iterator[str]:
    """The fields of an engine's types that our shapes lack."""
    while not isinstance(shape, gojson.Struct):
        if not hasattr(shape, "element"):
            return
        shape = shape.element
    if not isinstance(theirs, dict):
        return
    refused = shape._refused
    for name, inner in theirs.items():
        if name in shape.fields:
            yield from unknown_to_us(shape.fields[name], inner, f"{path}.{name}")
        elif fold(name) not in refused:
            yield f"{path}.{name}"


def unknown_to_them(shape: Any, theirs: list[Any], path: str) -> Iterator[str]:
    """The fields of our shapes that no engine's types have."""
    while not isinstance(shape, gojson.Struct):
        if not hasattr(shape, "element"):
            return
        shape = shape.element
    found = [fields for fields in theirs if isinstance(fields, dict)]
    for name, inner in shape.fields.items():
        holders = [fields[name] for fields in found if name in fields]
        if holders:
            yield from unknown_to_them(inner, holders, f"{path}.{name}")
        else:
            yield f"{path}.{name}"
