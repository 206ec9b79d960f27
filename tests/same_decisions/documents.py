"""The input documents on which both engines decide: those of real requests, and changed ones."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import orjson

from authz_plugin.authorizer import Authorizer
from authz_plugin.decision import Decision
from authz_plugin.errors import EngineError, Refused
from authz_plugin.tools.attack.rendering import AttackContext, render
from authz_plugin.tools.authz_message import Client, authz_message
from tests.adversary import campaign
from tests.adversary.seeds import seeds
from tests.corpus import recorded
from tests.ledger.requests import HOST, STATE
from tests.real.attacks import ATTACKS
from tools.policy_data import examples

Document = dict[str, Any]


def real_documents() -> Iterator[tuple[str, Document]]:
    """Yield the documents of the examples, of recorded requests, of the attack tables and of the
    ledger's witnesses, each with a name."""
    yield from examples().items()
    for one in recorded():
        yield from _read(f"recorded {one.uri}", orjson.dumps(one.message))
    yield from _attacks()
    for seed in seeds():
        for request in (seed.request, seed.harmless):
            try:
                document = campaign._document("ledger", request)
            except Refused:
                continue
            if document is not None:
                yield f"witness {request}", _plain(document)


def _attacks() -> Iterator[tuple[str, Document]]:
    names = {name for case in ATTACKS for name in re.findall(r"<([a-z_]+)>", repr(case.request))}
    values = dict.fromkeys(names - {"top", "host", "mib"}, "own-x")
    container = {"Image": "app", "HostConfig": {"NetworkMode": "none"}}
    context = AttackContext(values, container)
    for case in ATTACKS:
        if not case.grpc:
            message = authz_message(render(case.request, context), Client())
            yield from _read(f"attack {case.title}", message)


def _read(name: str, message: bytes) -> Iterator[tuple[str, Document]]:
    """Yield the document of an AuthZReq message, unless the plugin refuses it itself."""
    seen: list[Document] = []

    class Listening:
        def decide(self, document: Document, decision_id: str = "") -> Decision:
            del decision_id
            seen.append(document)
            raise EngineError("nobody was asked")

    Authorizer(Listening(), HOST, STATE, lambda *_: None).authorize(message)
    for document in seen:
        yield name, _plain(document)


def _plain(document: Document) -> Document:
    plain: Document = json.loads(json.dumps({**document, "time": _TIME}))
    return plain


_TIME: Final = "2026-02-03T04:05:06.789Z"


HOSTILE_NUMBERS: Final = (
    *("0", "-0", "1", "-1", "1.0", "1e0", "10", "1e1", "0.1", "0.5", "1e-7", "1e21", "1e400"),
    *("-1e400", "9007199254740992", "9007199254740993", "9223372036854775807"),
    *("9223372036854775808", "-9223372036854775809", "18446744073709551615"),
    *("18446744073709551616", "9" * 400, "0.30000000000000004"),
)
"""Numbers as they are written in JSON."""

HOSTILE_TEXTS: Final = (
    *("", " ", "0", "/", "//", ".", "..", "/..", "/etc", "/etc/", "/./etc", "/etc/../etc", "*"),
    *("**", "[", "[a-", "{a,b}", "?", "\\", "%", "%s", "%!s(MISSING)", "%d %v", "a\0b", "\0"),
    *("\U0001f600", "e\u0301", "\u00e9", "\u0130", "\u212a", "\u1e9e", "\ufffd", "\u2028", "\n"),
    *("host", "HOST", "container:x", "true", "null", "x" * 5000, "sha256:" + "0" * 64, "a" * 64),
    *("2026-01-02T03:04:05Z", "9999-12-31T23:59:60Z", '"}],"allow":true,"x":[{"a":"', "SYS_ADMIN"),
)
HOSTILE_VALUES: Final[tuple[Any, ...]] = (
    *(None, True, False, [], {}, [[]], [{}], {"": None}, {"a": []}, [None], [None, None]),
    *({"denials": []}, ["x", "x"], [1, orjson.Fragment("1.0"), "1"], [[[[[[[[[[1]]]]]]]]]]),
    *({"a": {"a": {"a": {"a": {"a": "a"}}}}}, *map(orjson.Fragment, HOSTILE_NUMBERS)),
    *HOSTILE_TEXTS,
)

Change = Callable[[random.Random, Any, Any], None]


def _remove(_: random.Random, node: Any, key: Any) -> None:
    del node[key]


def _replace(chance: random.Random, node: Any, key: Any) -> None:
    node[key] = _copied(chance.choice(HOSTILE_VALUES))


def _copied(value: Any) -> Any:
    """A value whose lists and mappings are its own: later changes must not reach the constant."""
    if isinstance(value, dict):
        return {key: _copied(inner) for key, inner in value.items()}
    return list(map(_copied, value)) if isinstance(value, list) else value


def _extend_text(chance: random.Random, node: Any, key: Any) -> None:
    text, added = node[key], chance.choice(HOSTILE_TEXTS)
    if isinstance(text, str):
        node[key] = chance.choice(
            (f"{text}{added}", f"{added}{text}", f"{text}\n", f"\n{text}", text.upper(), text[:-1])
        )
    else:
        node[key] = added


def _duplicate(chance: random.Random, node: Any, key: Any) -> None:
    if isinstance(node, list):
        node[key:key] = [_copied(node[key]) for _ in range(chance.choice((1, 1, 2, 30)))]
    else:
        node[chance.choice(HOSTILE_TEXTS)] = _copied(node[key])


def _wrap(chance: random.Random, node: Any, key: Any) -> None:
    node[key] = chance.choice(([node[key]], {"a": node[key]}, [node[key], _copied(node[key])]))


_CHANGES: Final[tuple[Change, ...]] = (
    *(_remove, _remove, _remove, _replace, _replace, _replace, _extend_text, _duplicate, _wrap),
)


def changed(chance: random.Random, documents: Sequence[bytes]) -> bytes:
    """One of the documents with one to four places removed, replaced, repeated or exchanged."""
    document = orjson.loads(chance.choice(documents))
    for _ in range(chance.choice((1, 1, 2, 3, 4))):
        places = list(_places(document))
        if not places:
            break
        node, key = chance.choice(places)
        if chance.random() < 0.1:
            other = orjson.loads(chance.choice(documents))
            other_node, other_key = chance.choice(list(_places(other)))
            node[key] = other_node[other_key]
        else:
            chance.choice(_CHANGES)(chance, node, key)
    return orjson.dumps(document)


def _places(node: Any) -> Iterator[tuple[Any, Any]]:
    """The values in a document, as the mapping or list that has one and its key there."""
    items = node.items() if isinstance(node, dict) else enumerate(node)
    for key, value in items:
        yield node, key
        if isinstance(value, dict | list):
            yield from _places(value)
