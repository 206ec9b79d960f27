"""The request target as dockerd reads it: decoded path, API version, query.

dockerd (Go ``net/url`` and gorilla/mux) routes on the percent-decoded path, after an optional
``/v1.44`` prefix. A target that dockerd would redirect or answer with 400, or that is ambiguous, is
refused, because ordinary clients do not send one. Sources: moby 28.5.2
``vendor/github.com/gorilla/mux/mux.go`` (cleanPath), ``api/server/server.go`` (version prefix),
Go 1.26 ``net/url`` (ParseRequestURI, ParseQuery).
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple
from urllib.parse import unquote_to_bytes

from authz_plugin.errors import Refused

_ABSOLUTE_FORM: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:(?://[^/]*)?(?=/)")
_VERSION_PREFIX: Final = re.compile(r"/v([0-9.]+)(?=/)")
_BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_UNSAFE_IN_TARGET: Final = re.compile(r"[^\x21-\x7e]|#")
_UNSAFE_IN_PATH: Final = re.compile(r"[\x00-\x1f\x7f]")
_UNSAFE_IN_VALUE: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


class Target(NamedTuple):
    """A request target.

    ``path`` is decoded and has no version prefix; ``api_version`` is the prefix's text
    (``"1.44"``) or None; ``query`` maps each parameter to its values, decoded, in order.
    """

    path: str
    api_version: str | None
    query: dict[str, tuple[str, ...]]


def read_target(uri: str) -> Target:
    """Read a raw request target; raises ``Refused`` (``request.uri``, ``request.query``)."""
    unsafe = _UNSAFE_IN_TARGET.search(uri)
    if unsafe:
        raise _unclean(f"it holds {unsafe.group()!a}", "percent-encode it")
    raw_path, _, raw_query = uri.partition("?")
    absolute = _ABSOLUTE_FORM.match(raw_path)
    if absolute:
        raw_path = raw_path[absolute.end() :]
    path = _decode_path(raw_path)
    version = _VERSION_PREFIX.match(path)
    if version is None:
        return Target(path, None, _read_query(raw_query))
    return Target(path[version.end() :], version.group(1), _read_query(raw_query))


def _decode_path(raw: str) -> str:
    if not raw.startswith("/"):
        raise _unclean("it is not a path")
    if "%" in raw:
        if _BAD_ESCAPE.search(raw):
            raise _unclean("it holds a broken percent escape")
        try:
            path = unquote_to_bytes(raw).decode()
        except UnicodeDecodeError:
            raise _unclean("it is not UTF-8 when decoded") from None
        if _UNSAFE_IN_PATH.search(path) or "\ufffd" in path:
            raise _unclean("it holds a control or replacement character when decoded")
    else:
        path = raw
    segments = path.split("/")[1:]
    if "" in segments[:-1] or not {".", ".."}.isdisjoint(segments):
        raise _unclean("dockerd would redirect it", "leave out //, /./ and /../")
    return path


def _read_query(raw: str) -> dict[str, tuple[str, ...]]:
    query: dict[str, list[str]] = {}
    for pair in raw.split("&"):
        if not pair:
            continue
        if ";" in pair:
            raise _malformed(pair, "dockerd drops a pair that holds ';'")
        raw_name, _, raw_value = pair.partition("=")
        name, value = _decode_query(pair, raw_name), _decode_query(pair, raw_value)
        query.setdefault(name, []).append(value)
    return {name: tuple(values) for name, values in query.items()}


def _decode_query(pair: str, raw: str) -> str:
    if "%" not in raw and "+" not in raw:
        return raw  # ``read_target`` has refused every unsafe character
    if _BAD_ESCAPE.search(raw):
        raise _malformed(pair, "it holds a broken percent escape")
    try:
        text = unquote_to_bytes(raw.replace("+", " ")).decode()
    except UnicodeDecodeError:
        raise _malformed(pair, "it is not UTF-8 when decoded") from None
    if _UNSAFE_IN_VALUE.search(text):
        raise _malformed(pair, "it holds a control character when decoded")
    return text


def _unclean(problem: str, hint: str = "") -> Refused:
    return Refused("request.uri", "path", f"the path is not clean: {problem}", hint)


def _malformed(pair: str, problem: str) -> Refused:
    name = pair.partition("=")[0]
    return Refused("request.query", f"query.{name}", f"the query is malformed: {problem}")
