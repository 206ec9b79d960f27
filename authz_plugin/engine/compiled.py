"""Policies compiled to WebAssembly: made by OPA, kept by the hash of their sources.

The shipped policies are compiled when a wheel is built, and ``make`` compiles those of a checkout.
Policies with rules of the operator are compiled by the OPA program when the plugin loads them. The
results are kept in a cache, as is the native code that wasmtime makes of a module, because both
take longer than the rest of a start. Whoever can write to the cache decides what dockerd executes,
so files in it count only if no other user can change them.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson

from authz_plugin import __version__
from authz_plugin.engine.binary import Opa
from authz_plugin.engine.builtins import NATIVE, NETWORK, PROVIDED, SHIPPED_ONLY
from authz_plugin.engine.dependencies import dependencies_of
from authz_plugin.engine.projection import Dependencies
from authz_plugin.engine.strict_errors import with_strict_errors
from authz_plugin.engine.wasm import Machine
from authz_plugin.errors import UnsupportedBuiltinsError
from authz_plugin.hostpaths import check_private

DECISION: Final = "docker/authz/decision"
"""The rule that is asked for."""

_OWN: Final = "data.docker.authz.rules.custom_"
"""The beginning of the names of an operator's own rules, within those of functions of a plan."""

_FORMAT: Final = "4"
"""Changes when the same sources give another result."""

_KEPT: Final = 16
"""Files in the cache, at most: the compiled and the native form of the policies used last."""

_COMPILED: Final = "policy.compiled"
_DIGEST: Final = "sources.sha256"
_DIGEST_SIZE: Final = 32


class CompiledPolicy(NamedTuple):
    """A module in which builtin errors end the evaluation, and what the policy reads."""

    module: bytes
    dependencies: Dependencies

    def to_bytes(self) -> bytes:
        return orjson.dumps(self.dependencies.to_json()) + b"\n" + self.module

    @classmethod
    def from_bytes(cls, content: bytes) -> CompiledPolicy:
        """The inverse of ``to_bytes``."""
        dependencies, _, module = content.partition(b"\n")
        return cls(module, Dependencies.from_json(orjson.loads(dependencies)))

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.module).hexdigest()


def compile_policy(opa: Opa, folder: Path) -> CompiledPolicy:
    """Compile the policies in a folder, without its data.

    Raises ``PolicyError`` if OPA refuses them, and ``UnsupportedBuiltinsError``.
    """
    plan, builtins = _planned(opa, folder)
    own = [function for function in plan["funcs"]["funcs"] if _OWN in function["name"]]
    unsupported = sorted(
        builtins - NATIVE.keys() - PROVIDED.keys() | SHIPPED_ONLY & set(_called(own))
    )
    if unsupported:
        raise UnsupportedBuiltinsError(
            f"the policy calls {', '.join(unsupported)}, which only OPA's server has"
        )
    module = opa.build("wasm", DECISION, folder, "/policy.wasm")
    native = {NATIVE[name] for name in builtins & NATIVE.keys()}
    return CompiledPolicy(with_strict_errors(module, native), dependencies_of(plan))


def network_calls(opa: Opa, folder: Path) -> list[str]:
    """The builtins that can send requests and that the policies in a folder call, sorted.

    Raises ``PolicyError`` if OPA refuses the policies.
    """
    _, builtins = _planned(opa, folder)
    return sorted(builtins & NETWORK.keys())


def _planned(opa: Opa, folder: Path) -> tuple[Any, set[str]]:
    """The plan that OPA makes of the policies in a folder, and the builtins that it calls."""
    plan = orjson.loads(opa.build("plan", DECISION, folder, "/plan.json"))
    return plan, {builtin["name"] for builtin in plan["static"].get("builtin_funcs") or ()}


def _called(part: Any) -> Iterator[str]:
    """The names of the functions that a part of a plan calls."""
    if isinstance(part, list):
        for inner in part:
            yield from _called(inner)
    elif isinstance(part, dict):
        if part.get("type") == "CallStmt":
            yield part["stmt"]["func"]
        yield from _called(list(part.values()))


def write_compiled(opa: Opa, sources: Path, folder: Path) -> None:
    """Compile the policies in ``sources`` and write the result into ``folder``."""
    compiled = compile_policy(opa, sources)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _COMPILED).write_bytes(_sealed(compiled.to_bytes()))
    (folder / _DIGEST).write_text(f"{sources_digest(sources)}\n")


def find_compiled(
    sources: Path, shipped: Path, cache: Path, find_opa: Callable[[], Opa]
) -> CompiledPolicy:
    """The compiled form of the policies in a folder.

    It is taken from ``shipped``, a folder that ``write_compiled`` made, if that is of the same
    sources; else from the folder ``cache``; else OPA compiles it. Raises as ``compile_policy`` and
    ``find_opa`` do.
    """
    digest = sources_digest(sources)
    with contextlib.suppress(OSError, ValueError):
        if (shipped / _DIGEST).read_text().strip() == digest:
            return CompiledPolicy.from_bytes(_unsealed((shipped / _COMPILED).read_bytes()))
    opa = find_opa()
    key = hashlib.sha256(f"{__version__} {opa.version} {digest}".encode()).hexdigest()
    return CompiledPolicy.from_bytes(
        cached(cache, f"{key}.compiled", lambda: compile_policy(opa, sources).to_bytes())
    )


def native_code(machine: Machine, compiled: CompiledPolicy, cache: Path) -> bytes:
    """The native code of a policy, from the folder ``cache`` if it is there.

    Raises ``EngineSetupError``.
    """
    name = f"{compiled.digest}.native"
    return cached(cache, name, lambda: machine.compile(compiled.module), machine.can_load)


def sources_digest(folder: Path) -> str:
    """The SHA-256 of the Rego files in a folder and of the form of the result, in hexadecimal."""
    digest = hashlib.sha256(_FORMAT.encode())
    for file in sorted(folder.rglob("*.rego")):
        if not file.name.endswith("_test.rego"):
            digest.update(f"\0{file.relative_to(folder)}\0".encode())
            digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def cached(
    cache: Path,
    name: str,
    make: Callable[[], bytes],
    is_usable: Callable[[bytes], bool] = lambda _: True,
) -> bytes:
    """The content of a file in the cache.

    It is made if the file is missing, damaged or not usable, or if another user can change it. A
    cache that cannot be written is not used.
    """
    file = cache / name
    with contextlib.suppress(OSError, ValueError):
        content = _unsealed(_trusted(file))
        if is_usable(content):
            with contextlib.suppress(OSError):
                os.utime(file)
            return content
    content = make()
    with contextlib.suppress(OSError):
        cache.mkdir(mode=0o700, parents=True, exist_ok=True)
        check_private(cache.stat())
        with tempfile.NamedTemporaryFile(dir=cache, delete=False) as new:
            try:
                new.write(_sealed(content))
                new.flush()
                Path(new.name).replace(file)
            except BaseException:
                Path(new.name).unlink(missing_ok=True)
                raise
        _remove_unused(cache)
    return content


def _sealed(content: bytes) -> bytes:
    """A content after its SHA-256: a loss of power or a full disk may cut a file off."""
    return hashlib.sha256(content).digest() + content


def _unsealed(stored: bytes) -> bytes:
    """The inverse of ``_sealed``; raises ``ValueError`` for a damaged content."""
    digest, content = stored[:_DIGEST_SIZE], stored[_DIGEST_SIZE:]
    if hashlib.sha256(content).digest() != digest:
        raise ValueError("the content is not what was written")
    return content


def _remove_unused(cache: Path) -> None:
    """Remove the files that were not used for the longest time, so that ``_KEPT`` are left."""
    files = sorted(cache.iterdir(), key=lambda file: file.stat().st_mtime, reverse=True)
    for file in files[_KEPT:]:
        file.unlink()


def _trusted(file: Path) -> bytes:
    """The content of a file that only this user can change; raises ``OSError``."""
    check_private(file.parent.stat())
    with file.open("rb") as opened:
        check_private(os.fstat(opened.fileno()))
        return opened.read()


def data_document(bundle: Path) -> dict[str, Any]:
    """The data of a bundle in a folder: the content of each data.json under the keys that its
    folders name."""
    document: dict[str, Any] = {}
    for file in sorted(bundle.rglob("data.json")):
        inner = document
        for key in file.parent.relative_to(bundle).parts:
            inner = inner.setdefault(key, {})
        inner.update(orjson.loads(file.read_bytes()))
    return document
