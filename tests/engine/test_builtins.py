"""Every builtin of the embedded engine gives what it gives in OPA's server, for hostile values.

A builtin that fails there must end the evaluation here: it must be neither undefined nor a value.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from itertools import product
from typing import Any, Final

import pytest

from authz_plugin.engine.binary import Opa
from authz_plugin.engine.builtins import NATIVE, PROVIDED, BuiltinError, Number, glob_match
from tests.harness.rego_pair import ERROR, RegoPair, rego_pair

_MOST: Final = 120
"""Calls of one builtin with arguments of the right types, and a third as many with any."""

_CALLS: Final = {
    "internal.member_2": "{0} in {1}",
    "internal.member_3": "{0}, {1} in {2}",
}
"""How builtins are called that have no name of their own."""

_SMALL: Final = {"0", "-0", "1", "1.0", "-1", "2", "0.5", "3", "16", "1e2", "null", '"1"', "[1]"}
_SMALL_ONLY: Final = {"numbers.range"}
"""Builtins that have as much to do as their arguments are large."""

_BIG: Final = "9" * 400
VALUES: Final = (
    *(
        "null",
        "true",
        "false",
        "0",
        "-0",
        "1",
        "1.0",
        "-1",
        "2",
        "0.1",
        "0.5",
        "-2.5",
        "1e2",
        "1E2",
    ),
    *("100", "1e400", "1e-400", "-1e400", "0.30000000000000004", "9007199254740992", "3", "16"),
    *("9007199254740993", "9223372036854775807", "9223372036854775808", "-9223372036854775808"),
    *(
        "18446744073709551615",
        "18446744073709551616",
        "1e19",
        _BIG,
        f"-{_BIG}",
        "0e0",
        "12345678.9",
    ),
    *('""', '"a"', '"A"', '"abc"', '"/"', '"/a/b"', '"a/b"', '"a*"', '"*"', '"("', '"a.c"', '"%s"'),
    *(
        r'"\u0000"',
        r'"a\u0000b"',
        r'"\ud83d\ude00"',
        r'"x\ud83d\ude00y"',
        r'"e\u0301"',
        r'"\u00e9"',
    ),
    *(r'"\u0130"', r'"\u0131"', r'"\u00df"', r'"\u1e9e"', r'"\u01c5"', r'"\u03a3"', r'"\ufffd"'),
    *(r'"\u00a0 x \u2003"', r'" \t\n\u000b\f\r x "', r'"\u0085x\u0085"', r'"\u200bx\ufeff"'),
    *(r'"a\nb"', r'"\n"', f'"{"a" * 5000}"', '"1"', '"1.0"', '"01"', '"1e3"', '"0x10"', '"-"'),
    *('"+1"', '" 1"', '"1_000"', '"NaN"', '"Infinity"', '"10.0.0.0/8"', '"10.1.2.3"', '"::1"'),
    *('"::/0"', '"::ffff:10.0.0.1"', '"010.0.0.1"', '"10.1.2.3/33"', '"2026-01-02T03:04:05Z"'),
    *("[]", "[null]", "[1]", "[1,1.0,1e0]", "[2,1,3]", '["b","a","A"]', '["a",1]', "[[1,2],[3]]"),
    *('[1,2.5,"a",null,true,{"a":1},[]]', "[0.1,0.2]", '["/"]', '["."]', '[""]', '["a","b"]'),
    *("{}", '{"a":1}', '{"a":1.0}', '{"a":{"b":[1,{"c":2}]},"x":null}', '{"":0}', '{"1":2}'),
    *('{"a":["b"],"b":["a"],"c":[]}', r'{"a\u0000":1}', '[{"a":1},{"a":{"b":2}}]', '["a/b"]'),
)
SETS: Final = (
    *('{"set":[]}', '{"set":[1]}', '{"set":[1,1.0,1e0]}', '{"set":["a","b"]}', '{"set":["b","c"]}'),
    *('{"set":[1,"a",null,[1],{"a":2}]}', '{"set":[9007199254740992,9007199254740993]}'),
    *('{"sets":[[1,2],[2,3]]}', '{"sets":[[]]}', '{"arrays":[[1,1],[2]]}', '{"arrays":[[]]}'),
    *('{"object":[[1,"a"],["2","b"]]}', '{"object":[[null,1],[[1],2]]}', '{"object":[[1.5,1]]}'),
)
"""Values that JSON lacks: sets, sets of sets, arrays of sets, objects with other keys."""

_HEAD: Final = """\
package docker.authz

arguments := [_decoded(a) | some a in input.arguments]

_decoded(a) := a.json

_decoded(a) := {x | some x in a.set} if a.set

_decoded(a) := {{x | some x in inner} | some inner in a.sets} if a.sets

_decoded(a) := [{x | some x in inner} | some inner in a.arrays] if a.arrays

_decoded(a) := {k: v | some [k, v] in a.object} if a.object

# A set has no order: it is compared as the array that it is sorted to.
_result(r) := {"type": "set", "value": sort(r)} if is_set(r)

_result(r) := {"type": type_name(r), "value": r} if not is_set(r)
"""
_RULE: Final = """
decision := _result(r) if {{
	input.name == {name}
	r := {call}
}}
"""


def _types(opa: Opa) -> dict[str, list[dict[str, Any]]]:
    """The types of the arguments of each builtin, as OPA declares them."""
    capabilities = json.loads(opa.run("capabilities", "--current").stdout)
    return {one["name"]: one["decl"].get("args", []) for one in capabilities["builtins"]}


def _rule(name: str, count: int) -> str:
    arguments = [f"arguments[{i}]" for i in range(count)]
    call = _CALLS.get(name, f"{name}({', '.join(arguments)})").format(*arguments)
    return _RULE.format(name=json.dumps(name), call=call)


@pytest.fixture(scope="module")
def types(opa: Opa) -> dict[str, list[dict[str, Any]]]:
    return _types(opa)


@pytest.fixture(scope="module")
def pair(
    opa: Opa, types: dict[str, list[dict[str, Any]]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RegoPair]:
    names = [*NATIVE, *PROVIDED]
    module = _HEAD + "".join(_rule(name, len(types[name])) for name in names)
    with rego_pair(opa, tmp_path_factory.mktemp("builtins"), module) as made:
        yield made


def _type(value: str) -> str:
    """The Rego type of an argument: ``{"json":1}``, ``{"set":[]}``."""
    kind, content = value[2:].split('":', 1)
    if kind != "json":
        return {"set": "set", "sets": "set", "arrays": "array", "object": "object"}[kind]
    firsts = {
        "n": "null",
        "t": "boolean",
        "f": "boolean",
        '"': "string",
        "[": "array",
        "{": "object",
    }
    return firsts.get(content[0], "number")


def _calls(name: str, types: list[dict[str, Any]]) -> list[str]:
    """Calls of a builtin, mostly with arguments of the types that it is for."""
    chance = random.Random(name)
    pool = [f'{{"json":{value}}}' for value in VALUES] + list(SETS)
    if name in _SMALL_ONLY:
        pool = [f'{{"json":{value}}}' for value in sorted(_SMALL)]
    fitting = []
    for type_ in types:
        either = type_.get("of", []) if type_["type"] == "any" else []
        wanted = [one["type"] for one in either] or [type_["type"]]
        fitting.append([value for value in pool if "any" in wanted or _type(value) in wanted])
    fitting = [found or pool for found in fitting]
    chosen = list(product(*fitting)) if len(types) == 1 else []
    chosen += [tuple(map(chance.choice, fitting)) for _ in range(_MOST)]
    chosen += [tuple(chance.choice(pool) for _ in types) for _ in range(_MOST // 3)]
    named = json.dumps(name)
    return [f'{{"name":{named},"arguments":[{",".join(one)}]}}' for one in dict.fromkeys(chosen)]


def _is_supported(name: str, document: str) -> bool:
    """Whether a provided builtin, or what the host does of another one, is to have the value that
    the server has: not for arguments with sets, which the host does not get."""
    arguments = json.loads(document)["arguments"]
    has_set = any("json" not in argument for argument in arguments)
    if name == "glob.match":
        pattern, delimiters, value = (argument.get("json") for argument in arguments)
        special = any(c in str(pattern) for c in "[]{}\\\0")
        by_host = "\n" in str(value) or any(c in str(pattern) for c in "()|+^$")
        return not special and (delimiters is None or not by_host)
    if name == "regex.match":
        return "\0" not in str(arguments[0].get("json"))
    return name not in PROVIDED or not has_set


def _has_large_number(call: str) -> bool:
    """Whether an argument is a number that is no integer of 64 bits."""
    values = [argument.get("json") for argument in json.loads(call)["arguments"]]
    return any(isinstance(v, float) or (isinstance(v, int) and abs(v) >= 1 << 62) for v in values)


@pytest.mark.parametrize("name", [*NATIVE, *PROVIDED])
def test_a_builtin_has_the_value_that_opas_server_has_and_fails_where_it_fails_there(
    pair: RegoPair, types: dict[str, list[dict[str, Any]]], name: str
) -> None:
    calls = _calls(name, types[name])
    if name == "minus":  # as documented
        calls = [call for call in calls if not _has_large_number(call)]
    differences = [
        (call, server, embedded)
        for call, server, embedded in pair.differences(calls)
        if not (embedded == ERROR and not _is_supported(name, call))
    ]
    assert differences == []
    assert pair.values(calls) > 0


@pytest.mark.parametrize(
    "name",
    ["lower", "max", "min", "plus", "replace", "json.unmarshal", "walk", "indexof", "http.send"],
)
def test_a_builtin_that_differs_is_not_in_the_tables(name: str) -> None:
    assert name not in NATIVE
    assert name not in PROVIDED


_FORMATS: Final = (
    "",
    "%s",
    "%v",
    "%d",
    "%%",
    "a%s",
    "%s is %v of %d",
    "%%s",
    "%s%%%v",
    "%v\\u0000%s",
)
_UNSUPPORTED: Final = (
    "%",
    "%q",
    "%x",
    "%5d",
    "%-5s|",
    "%.2f",
    "%t",
    "%+v",
    "%[1]d",
    "%*d",
    "%z",
    "% ",
)
_PRINTED: Final = (
    *(value for value in VALUES if len(value) < 500),
    *("1234567.0", "999999.5", "123456.7", "1e6", "1e5", "1e15", "1e20", "1e21", "0.0001", "1e-5"),
    *("5e-324", "1.7976931348623157e308", "123456789012345678901", "-9223372036854775809", "-0.0"),
    *(
        r'"\u00ad"',
        r'"\u2028"',
        r'"\ue000"',
        r'"\u007f"',
        r'"\u3000"',
        r'"\u0378"',
    ),
    *(r'["\n\"\\\u0000\u00ad\ue000\ud83d\ude00\u0378\u2028\u200b\u00a0\u3000\ufffd\ufeff"]',),
    *(r'{"b":1,"a":2,"\u00e9":3,"\ud83d\ude00":4,"\uffff":5}', "[-0, 1e400]", '{"a":{"b":[1,[]]}}'),
)


def _printing(formats: tuple[str, ...], count: int) -> list[str]:
    chance = random.Random(1)
    single = [(form, [value]) for form in formats for value in _PRINTED]
    several = [
        (
            "".join(chance.choices(formats, k=chance.randint(1, 3))),
            chance.choices(_PRINTED, k=chance.randint(0, 4)),
        )
        for _ in range(count)
    ]
    return [
        f'{{"name":"sprintf","arguments":[{{"json":"{form}"}},{{"json":[{",".join(values)}]}}]}}'
        for form, values in single + several
    ]


def test_sprintf_prints_every_value_as_opas_server_does(pair: RegoPair) -> None:
    calls = _printing(_FORMATS, 1500)
    assert pair.differences(calls) == []
    assert pair.values(calls) == len(calls)


def test_sprintf_with_other_verbs_is_an_error_or_right(pair: RegoPair) -> None:
    found = pair.differences(_printing(_UNSUPPORTED, 200))
    assert found
    assert {embedded for _, _, embedded in found} == {ERROR}


@pytest.mark.parametrize("arguments", ['{"json":1},{"json":[]}', '{"json":"a"},{"set":[]}'])
def test_sprintf_of_what_is_no_format_or_no_array_is_an_error(
    pair: RegoPair, arguments: str
) -> None:
    document = f'{{"name":"sprintf","arguments":[{arguments}]}}'
    assert pair.server(document) == ERROR
    assert pair.embedded(document) == ERROR


_TIMES: Final = (
    *("2026-01-02T03:04:05Z", "2026-01-02T03:04:05.123456789Z", "2026-01-02T03:04:05+01:00"),
    *(
        "2026-01-02t03:04:05z",
        "2024-02-29T00:00:00Z",
        "2023-02-29T00:00:00Z",
        "2026-13-01T00:00:00Z",
    ),
    *(
        "2026-01-02T24:00:00Z",
        "2026-01-02T23:59:60Z",
        "2026-01-02T03:04:05,5Z",
        "2026-01-02T3:04:05Z",
    ),
    *(
        "2026-01-02T03:04:05.Z",
        "0001-01-01T00:00:00Z",
        "0000-01-01T00:00:00Z",
        "9999-12-31T23:59:59Z",
    ),
    *("1677-09-21T00:12:43.145224192Z", "1677-09-21T00:12:43.145224191Z", "1677-09-21T00:12:44Z"),
    *(
        "2262-04-11T23:47:16.854775807Z",
        "2262-04-11T23:47:16.854775808Z",
        "2262-04-11T23:47:17+01:00",
    ),
    *("1969-12-31T23:59:59.5Z", "2026-01-02T03:04:05-00:00", "2026-01-02T03:04:05+24:00", "", "x"),
    *("2026-01-02T03:04:05+24:60", "2026-01-02T03:04:05+25:00", "2026-01-02T03:04:05+00:61"),
    *("2026-01-02 03:04:05Z", "2026-01-02T03:04:05Z\\n", "2026-01-02", "2026-01-02T03:04:05"),
    *(
        "\\uff12026-01-02T03:04:05Z",
        "2026-01-02T03:04:05.12345678912345678912Z",
        "2026-1-2T03:04:05Z",
    ),
)


def test_a_time_is_the_one_that_opas_server_reads(pair: RegoPair) -> None:
    chance = random.Random(1)
    texts = list(_TIMES)
    for _ in range(1500):
        text = list(chance.choice(_TIMES[:20]))
        for _ in range(chance.randint(1, 2)):
            text[chance.randrange(len(text))] = chance.choice("0123456789-:TZ+.,")
        texts.append("".join(text))
    name = "time.parse_rfc3339_ns"
    calls = [f'{{"name":"{name}","arguments":[{{"json":"{text}"}}]}}' for text in texts]
    assert pair.differences(calls) == []
    assert pair.values(calls) > 100


def _globs(alphabet: str, values: str, count: int) -> list[str]:
    chance = random.Random(1)

    def text(of: str) -> str:
        return json.dumps("".join(chance.choices(of, k=chance.randint(0, 6))))

    return [
        f'{{"name":"glob.match","arguments":[{{"json":{text(alphabet)}}},{{"json":null}},'
        f'{{"json":{text(values)}}}]}}'
        for _ in range(count)
    ]


def test_a_pattern_matches_what_it_matches_in_opas_server(pair: RegoPair) -> None:
    """There ``*`` matches a newline, which the function of OPA's library does not."""
    calls = [*_globs("ab*?/.\n", "ab/.\n", 2000), *_globs("a*.-:!^é", "aé\U0001f600\n\0", 500)]
    assert pair.differences(calls) == []


def test_a_pattern_with_more_than_stars_is_an_error_or_right(pair: RegoPair) -> None:
    found = pair.differences(_globs("ab*?[]{},!-\\\0", "ab-\n", 1500))
    assert {embedded for _, _, embedded in found} <= {ERROR}


def test_a_pattern_is_matched_in_linear_time() -> None:
    pattern, value = "*a*" * 12 + "b", "\n" + "a" * 200_000
    assert not glob_match(pattern, None, value)


@pytest.mark.parametrize(
    "arguments", [("a", [], "\n"), (Number("1"), None, "1"), ("a", None, None)]
)
def test_a_pattern_that_the_host_does_not_support_is_an_error(arguments: tuple[Any, ...]) -> None:
    with pytest.raises(BuiltinError):
        glob_match(*arguments)


def test_a_set_is_joined_in_the_order_of_opas_server(pair: RegoPair) -> None:
    chance = random.Random(1)
    words = ["b", "a", "Z", "é", "\uffff", "\U0001f600", "", "aa", "/"]
    sets = [json.dumps(chance.sample(words, 5)) for _ in range(50)]
    calls = [f'{{"name":"concat","arguments":[{{"json":"-"}},{{"set":{one}}}]}}' for one in sets]
    assert pair.differences(calls) == []
