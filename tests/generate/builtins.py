"""docs/reference/builtins.md: which builtin functions the embedded engine has, from its tables."""

from __future__ import annotations

import html
from collections.abc import Iterable
from typing import Final

from authz_plugin.engine.builtins import NATIVE, NETWORK, PROVIDED, SHIPPED_ONLY
from authz_plugin.engine.dependencies import DETERMINISTIC

_HEAD: Final = """\
# Builtin functions

Rules may call every
[builtin function of OPA](https://www.openpolicyagent.org/docs/policy-reference). What they call
determines which engine can decide:

- The [embedded engine](glossary.md#embedded-engine) has the builtins of the first table.
- Every other builtin needs OPA's server. With `engine: auto`, the plugin then starts with OPA's
  server, and the message at the start names the builtin. With `engine: embedded`, it does not
  start. A reload that adds such a builtin while the embedded engine runs is refused, and the policy
  in force stays; a restart takes OPA's server.

In both engines, a builtin that fails ends the evaluation, and the request is denied
(`request.engine`).

This page is made from `authz_plugin/engine/builtins.py` and
`authz_plugin/engine/dependencies.py`.

## In the embedded engine

| builtin | |
|---|---|"""

_TAIL: Final = """
## Only in OPA's server

{others}.

OPA also compiles some of these to WebAssembly, but their results differ from those of OPA's server
for some arguments, so the embedded engine does not use them. Builtins whose results may differ
between two equal calls, such as `time.now_ns`, `rand.intn` and `http.send`, need OPA's server too.
The time of a request is `input.time`.

{network} can send requests. `serve` evaluates them with each request of dockerd; `validate`,
`attack`, `doctor` and `report`, which send dockerd requests, evaluate them as well. Nothing is sent
when a policy is only tried: `explain`, `replay`, `learn` and the console have no decision
(`request.engine`) on a request for which a rule calls such a builtin, and name the builtin. `check`
compiles such a policy without a decision, `policy bench` does not measure it, and in `policy test`
the builtin fails unless the test replaces it (`with http.send as answered`). A rule in which a
`with` of its own names such a builtin takes no part in this: it may send.

Two things differ without a builtin. An array that a rule makes of a set or of the keys of an object
has another order in the embedded engine: a rule must not take one element of it by its position. A
reference such as `list[1.0]` is undefined there; write `list[1]`.
"""

_NOTES: Final = {
    "glob.match": "The plugin evaluates it if the value contains a line feed or the pattern "
    "anything special but `*` and `?`. It then fails with delimiters other than `null` and with "
    "one of `[]{}\\` in the pattern.",
    "regex.match": "Fails with the character NUL in the pattern.",
    "sprintf": "Evaluated by the plugin. It knows the verbs `%s`, `%v`, `%d` and `%%` without "
    "flags; any other verb, and a set in the arguments, fails.",
    "time.parse_rfc3339_ns": "Evaluated by the plugin.",
}
_OPERATORS: Final = {
    "and": "&",
    "div": "/",
    "equal": "==",
    "gt": ">",
    "gte": ">=",
    "internal.member_2": "in",
    "internal.member_3": "key, value in",
    "internal.template_string": '$"…"',
    "lt": "<",
    "lte": "<=",
    "minus": "-",
    "mul": "*",
    "neq": "!=",
    "or": "|",
    "plus": "+",
    "rem": "%",
}
"""Builtins that are written as operators."""

_NOT_CALLED: Final = frozenset(
    {
        *("all", "any", "assign", "eq", "re_match", "set_diff"),
        *("cast_array", "cast_boolean", "cast_null", "cast_object", "cast_set", "cast_string"),
    }
)
"""What the compiler replaces, or what the present version of Rego lacks."""


def builtins_page() -> str:
    """The page."""
    embedded = (NATIVE.keys() | PROVIDED.keys()) - SHIPPED_ONLY
    assert embedded >= _NOTES.keys()
    rows = [f"| {_name(name)} | {note} |" for name, note in sorted(_NOTES.items())]
    same = _names(embedded - _NOTES.keys())
    others = _names(DETERMINISTIC - embedded - _NOT_CALLED)
    first = f"| {same} | The same results as in OPA's server. |"
    return "\n".join([_HEAD, first, *rows, _TAIL.format(others=others, network=_names(NETWORK))])


def _names(names: Iterable[str]) -> str:
    return ", ".join(map(_name, sorted(names)))


def _name(name: str) -> str:
    """A builtin as a rule calls it."""
    if name not in _OPERATORS:
        return f"`{name}`"
    operator = html.escape(_OPERATORS[name]).replace("|", "&#124;")
    return f"<code>{operator}</code>"
