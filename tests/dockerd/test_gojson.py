"""JSON as Go's encoding/json reads it into typed structs; what two readers read in two ways is
refused."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz_plugin.dockerd import gojson
from authz_plugin.dockerd.gojson import (
    Array,
    Bool,
    Bytes,
    Float,
    Integer,
    Map,
    Pairs,
    Pointer,
    PointerOrZero,
    Reading,
    Shape,
    Slice,
    String,
    StringOrSlice,
    Struct,
)
from authz_plugin.errors import Refused
from tests.refusals import attempt, refusal_of

INT64 = Integer(64, signed=True)
UINT16 = Integer(16, signed=False)
STRINGS = Slice(String())
TASK = Struct(
    {
        "Name": String(),
        "Privileged": Bool(),
        "Memory": INT64,
        "Binds": STRINGS,
        "Sysctls": Map(String()),
        "Inner": Pointer(Struct({"Mask": Slice(String(), nullable=True)})),
    },
    refused={"Links": STRINGS, "Init": Pointer(Bool())},
)
ZERO = {"Name": "", "Privileged": False, "Memory": 0, "Binds": [], "Sysctls": {}, "Inner": None}


def read(shape: Shape, text: str | bytes, path: str = "F") -> Any:
    body = text.encode() if isinstance(text, str) else text
    return shape.read(gojson.parse(body), path, Reading())


def refusal(shape: Shape, text: str | bytes, path: str = "F") -> Refused:
    return refusal_of(lambda: read(shape, text, path))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("null", None),
        ("true", True),
        (" \t\r\n[1,-2,0.5,1e3] \n", [1, -2, 0.5, 1000.0]),
        ('"a\\u00e9\\ud83d\\ude00\\/\\n"', "aé😀/\n"),
        ('"\\u0000"', "\x00"),
        ("{}", Pairs()),
        ('{"a":1,"a":{"b":[]}}', Pairs([("a", 1), ("a", Pairs([("b", [])]))])),
        ("12345678901234567890123", 12345678901234567890123),
    ],
)
def test_one_json_value_is_parsed_and_an_object_keeps_its_members(text: str, value: Any) -> None:
    assert gojson.parse(text.encode()) == value


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"{",
        b'{"a":1',
        b"{}{}",
        b'{}}{"HostConfig":{"Privileged":true}}',
        b"{}] junk",
        b"{},",
        b"{}\0",
        b"{} x",
        b"[1,]",
        b'{"a":1,}',
        b"{'a':1}",
        b"{a:1}",
        b"// c\n{}",
        b"{} /* c */",
        b"\xef\xbb\xbf{}",
        b"\xc2\xa0{}",
        b'{"a":"\xff"}',
        b'{"\xff":1}',
        b'{"a":"\xed\xa0\x80"}',
        b'"\\ud800"',
        b'{"\\udc00":1}',
        b'"\\ud800\\ud800"',
        b'"\\u12"',
        b'"\\x41"',
        b'"a\nb"',
        b'"\x00"',
        b"NaN",
        b"[Infinity]",
        b'{"a":-Infinity}',
        b"01",
        b"+1",
        b".5",
        b"1.",
        b"1e",
        b"0x1",
        b"1_000",
        b"tru",
        b"True",
        b"9" * 5000,
        b"\xff\xfe{\x00}\x00",
        b"[" * 10_001 + b"]" * 10_001,
        b'{"x":' * 10_001 + b"0" + b"}" * 10_001,
        b"[" * 100_000,
    ],
)
def test_what_go_refuses_repairs_or_leaves_unread_is_refused(body: bytes) -> None:
    refused = refusal_of(lambda: gojson.parse(body))
    assert (refused.rule, refused.field) == ("request.body-json", "body")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("HostConfig", "HOSTCONFIG"),
        ("HostConfig", "ho\u017ftconfig"),
        ("NetworkMode", "networ\u212amode"),
        ("Binds", "Bind\u017f"),
    ],
)
def test_names_that_go_takes_for_one_fold_to_one(one: str, other: str) -> None:
    assert gojson.fold(one) == gojson.fold(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("HostConfig", "Host_Config"),
        ("HostConfig", "host-config"),
        ("HostConfig", "HostConfig "),
        ("Init", "İnit"),
        ("Init", "\u0131nit"),
        ("Mounts", "Mount\u017f\u0301"),
        ("Mounts", "\uff2dounts"),
    ],
)
def test_names_that_go_tells_apart_do_not_fold_to_one(one: str, other: str) -> None:
    assert gojson.fold(one) != gojson.fold(other)


@pytest.mark.parametrize(
    ("shape", "text", "value"),
    [
        (Bool(), "true", True),
        (Bool(), "null", False),
        (String(), '"x"', "x"),
        (String(), "null", ""),
        (String(longest=3), '"äöü"', "äöü"),
        (INT64, "-9223372036854775808", -(2**63)),
        (INT64, "9223372036854775807", 2**63 - 1),
        (UINT16, "65535", 65535),
        (UINT16, "0", 0),
        (UINT16, "null", 0),
        (Float(), "1", 1.0),
        (Float(), "0.25", 0.25),
        (Float(), "3e38", 3e38),
        (Float(), "null", 0.0),
        (Bytes(), '"aGk="', "aGk="),
        (Bytes(), '""', ""),
        (Bytes(), "null", ""),
        (STRINGS, '["a",null]', ["a", ""]),
        (STRINGS, "null", []),
        (Slice(String(), nullable=True), "[]", []),
        (Slice(String(), nullable=True), "null", None),
        (StringOrSlice(), '"ALL"', ["ALL"]),
        (StringOrSlice(), '""', [""]),
        (StringOrSlice(), '["a","b"]', ["a", "b"]),
        (StringOrSlice(), "null", []),
        (Array(UINT16, 2), "[1]", [1, 0]),
        (Array(UINT16, 2), "[1,2,3]", [1, 2]),
        (Array(UINT16, 2), "null", [0, 0]),
        (Map(String()), '{"a":"1","A":"2"}', {"a": "1", "A": "2"}),
        (Map(String()), '{"a":null}', {"a": ""}),
        (Map(String()), "null", {}),
        (Pointer(String()), "null", None),
        (Pointer(String()), '""', ""),
        (PointerOrZero(TASK), "null", ZERO),
        (TASK, "null", ZERO),
        (TASK, "{}", ZERO),
        (TASK, '{"nAME":"x","memory":5}', {**ZERO, "Name": "x", "Memory": 5}),
        (TASK, '{"Inner":{}}', {**ZERO, "Inner": {"Mask": None}}),
        (TASK, '{"Inner":{"Mask":[]}}', {**ZERO, "Inner": {"Mask": []}}),
        (TASK, '{"Name":null,"Binds":null,"Inner":null,"Memory":null}', ZERO),
        (TASK, '{"Links":[],"Init":null}', ZERO),
    ],
)
def test_a_value_of_the_right_type_is_what_dockerd_holds(
    shape: Shape, text: str, value: Any
) -> None:
    got = read(shape, text)
    assert got == value
    assert json.dumps(got) == json.dumps(value), "1 is not true and not 1.0"


@pytest.mark.parametrize(
    ("shape", "text"),
    [
        *((Bool(), text) for text in ("0", "1", '"true"', "{}", "[]", "1.0")),
        *((String(), text) for text in ("0", "true", "{}", "[]", '["a"]')),
        *((INT64, text) for text in ('"1"', "true", "1.0", "1e3", "0.5", "{}", "[1]")),
        *((INT64, text) for text in ("9223372036854775808", "-9223372036854775809", "1E400")),
        *((UINT16, text) for text in ("-1", "65536")),
        *((Float(), text) for text in ('"1"', "false", "3.5e38", "-1e39", "1e400", "[]")),
        *((Bytes(), text) for text in ('"a"', '"aGk"', '"a_k="', '"aGk=\\n"', "[1]", "0", "{}")),
        *((STRINGS, text) for text in ('"a"', "{}", "0", "false")),
        *((StringOrSlice(), text) for text in ("{}", "0", "true")),
        *((Array(UINT16, 2), text) for text in ('"12"', "{}", "0")),
        *((Map(String()), text) for text in ("[]", '"a"', "0")),
        *((Pointer(TASK), text) for text in ("[]", '""', "0", "false")),
        *((PointerOrZero(TASK), text) for text in ("[]", '""', "0")),
        *((TASK, text) for text in ("[]", '""', "0", "[{}]")),
    ],
)
def test_a_value_of_the_wrong_type_is_refused(shape: Shape, text: str) -> None:
    refused = refusal(shape, text)
    assert (refused.rule, refused.field) == ("request.body-type", "F")
    assert refused.hint.startswith("give ")


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ('{"Name":1}', "F.Name"),
        ('{"NAME":1}', "F.Name"),
        ('{"Binds":["a",{}]}', "F.Binds[1]"),
        ('{"Sysctls":{"a b":1}}', "F.Sysctls['a b']"),
        ('{"Inner":{"mask":"x"}}', "F.Inner.Mask"),
        ('{"Links":{}}', "F.Links"),
    ],
)
def test_a_refusal_names_the_place_by_dockers_own_names(text: str, field: str) -> None:
    refused = refusal(TASK, text)
    assert (refused.rule, refused.field) == ("request.body-type", field)


def test_a_wrong_body_as_a_whole_is_called_body() -> None:
    assert refusal(TASK, "[]", path="").field == "body"
    assert refusal(TASK, '{"Name":1}', path="").field == "Name"


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ('{"Name":"a","Name":"a"}', "F.Name"),
        ('{"Privileged":false,"privileged":true}', "F.Privileged"),
        ('{"Bind\u017f":["a"],"Binds":[]}', "F.Binds"),
        ('{"Binds":["a"],"Binds":[null]}', "F.Binds"),
        ('{"Name":"a","Name":null}', "F.Name"),
        ('{"Name":null,"Name":null}', "F.Name"),
        ('{"Inner":{"Mask":[]},"inner":{}}', "F.Inner"),
        ('{"Inner":{"Mask":[],"mask":[]}}', "F.Inner.Mask"),
        ('{"Sysctls":{"a":"1","a":"1"}}', "F.Sysctls"),
        ('{"Sysctls":{"a":"1","\\u0061":"1"}}', "F.Sysctls"),
    ],
)
def test_a_name_given_twice_is_refused_however_it_is_written(text: str, field: str) -> None:
    refused = refusal(TASK, text)
    assert (refused.rule, refused.field) == ("request.body-duplicate", field)


def test_an_empty_key_is_refused_where_keys_are_no_texts_to_an_engine() -> None:
    refused = refusal(Map(String(), key=str.lower), '{"":"1"}')
    assert (refused.rule, refused.field) == ("request.body-type", "F")
    assert read(Map(String()), '{"":"1"}') == {"": "1"}


def test_keys_of_a_map_that_an_engine_takes_for_one_are_refused() -> None:
    folded = Map(String(), key=str.lower)
    assert read(folded, '{"a":"1","b":"2"}') == {"a": "1", "b": "2"}
    refused = refusal(folded, '{"a":"1","A":"2"}')
    assert (refused.rule, refused.field) == ("request.body-duplicate", "F")


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ('{"Links":["a"]}', "F.Links"),
        ('{"link\u017f":["a"]}', "F.Links"),
        ('{"Init":false}', "F.Init"),
        ('{"Init":true,"Init":null}', "F.Init"),
        ('{"Init":null,"init":true}', "F.Init"),
    ],
)
def test_a_field_that_only_some_engines_read_is_refused(text: str, field: str) -> None:
    refused = refusal(TASK, text)
    assert (refused.rule, refused.field) == ("request.body-old-shape", field)
    assert refused.hint == f"give it as HostConfig.{field.removeprefix('F.')}"


def test_unknown_fields_are_dropped_and_noted_with_their_place() -> None:
    reading = Reading()
    body = b'{"Host_Config":{"Name":1},"Inner":{"X":[]},"Host_Config":2,"Links":[]}'
    assert TASK.read(gojson.parse(body), "", reading) == {**ZERO, "Inner": {"Mask": None}}
    assert reading.unknown == ["Host_Config", "Inner.X", "Host_Config"]


def test_no_more_than_twenty_unknown_fields_are_noted() -> None:
    reading = Reading()
    body = json.dumps({f"x{i}": 0 for i in range(50)}).encode()
    TASK.read(gojson.parse(body), "", reading)
    assert reading.unknown == [f"x{i}" for i in range(20)]


@pytest.mark.parametrize(
    ("shape", "text"),
    [
        (STRINGS, json.dumps([""] * (2**16 + 1))),
        (Map(Bool()), json.dumps({str(i): True for i in range(2**16 + 1)})),
        (Slice(STRINGS), json.dumps([[""] * 2**15] * 2)),
        (TASK, json.dumps({"Binds": [""] * 2**16, "Sysctls": {"a": ""}})),
    ],
)
def test_a_body_of_too_many_entries_is_refused(shape: Shape, text: str) -> None:
    refused = refusal(shape, text)
    assert refused.rule == "request.body-size"
    assert refused.hint == "give at most 65536 in one body"


def test_a_body_of_many_entries_is_read() -> None:
    assert len(read(STRINGS, json.dumps([""] * 2**16))) == 2**16


def test_a_text_that_many_facts_repeat_has_a_length() -> None:
    refused = refusal(String(longest=3), '"abcd"')
    assert (refused.rule, refused.field) == ("request.body-size", "F")


def test_a_long_key_is_cut_in_the_paths_below_it() -> None:
    refused = refusal(Map(STRINGS), json.dumps({"k" * 5000: [1]}))
    assert refused.field == f"F['{'k' * 100}…'][0]"
    assert gojson.entry("F", "k" * 100) == f"F['{'k' * 100}']"


def as_pairs(value: Any) -> Any:
    if isinstance(value, dict):
        return Pairs((key, as_pairs(item)) for key, item in value.items())
    return [as_pairs(item) for item in value] if isinstance(value, list) else value


TEXT = st.text(st.characters(codec="utf-8"))
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)


@given(JSON, st.booleans())
def test_any_json_value_is_parsed_as_it_was_written(value: Any, ascii_only: bool) -> None:
    assert gojson.parse(json.dumps(value, ensure_ascii=ascii_only).encode()) == as_pairs(value)


@given(
    st.binary() | JSON.map(lambda value: json.dumps(value).encode()), st.integers(0), st.binary()
)
def test_any_bytes_are_one_json_value_or_refused(body: bytes, at: int, inserted: bytes) -> None:
    position = at % (len(body) + 1)
    for mutated in (body, body[:position] + inserted + body[position:], body[:position]):
        value = attempt(partial(gojson.parse, mutated))
        if isinstance(value, Refused):
            assert value.rule == "request.body-json"
        else:
            assert value == json.loads(mutated.decode(), object_pairs_hook=Pairs)


SHAPES: tuple[Shape, ...] = (
    Bool(),
    String(),
    INT64,
    UINT16,
    Float(),
    Bytes(),
    STRINGS,
    Slice(String(), nullable=True),
    StringOrSlice(),
    Array(UINT16, 2),
    Map(Pointer(TASK)),
    Pointer(TASK),
    PointerOrZero(TASK),
    TASK,
)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: type(shape).__name__)
def test_null_is_the_zero_value_of_every_type(shape: Shape) -> None:
    assert read(shape, "null") == shape.zero()


@given(JSON, st.sampled_from(SHAPES))
def test_any_value_is_read_or_refused_and_what_was_read_reads_the_same(
    value: Any, shape: Shape
) -> None:
    canonical = attempt(lambda: read(shape, json.dumps(value)))
    if isinstance(canonical, Refused):
        assert canonical.rule.startswith("request.body-")
        assert canonical.field.startswith("F")
    else:
        assert read(shape, json.dumps(canonical)) == canonical


@given(st.permutations(sorted(ZERO)), st.lists(st.booleans(), min_size=40, max_size=40))
def test_neither_order_nor_case_of_names_matters(names: list[str], upper: list[bool]) -> None:
    given_values = {"Name": "n", "Privileged": True, "Memory": 1, "Binds": ["b"]}
    expected = {**ZERO, **given_values, "Sysctls": {"k": "v"}, "Inner": {"Mask": ["m"]}}
    choices = iter(upper)
    written = {
        "".join(c.upper() if next(choices) else c.lower() for c in name): expected[name]
        for name in names
    }
    assert read(TASK, json.dumps(written)) == expected


def test_a_field_that_clients_send_and_nobody_reads_is_not_unknown() -> None:
    reading = Reading()
    shape = Struct({"Tty": Bool()}, unread=["Container"])
    value = gojson.parse(b'{"CONTAINER":{"x":1},"Contain":1,"Tty":true}')
    assert shape.read(value, "", reading) == {"Tty": True}
    assert reading.unknown == ["Contain"]
