"""The decision document is read strictly; the text of a denial is whole, bounded and harmless."""

from __future__ import annotations

from typing import Any, Final

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz_plugin.decision import (
    DENIAL_LIMIT,
    Decision,
    Denial,
    UsedException,
    denial_message,
    read_decision,
)
from authz_plugin.errors import EngineError, Refused

DENIAL: Final[dict[str, Any]] = {
    "rule": "mounts.source",
    "field": "HostConfig.Binds[0]",
    "value": "/etc",
    "message": "bind mount of /etc is not allowed",
    "hint": "allowed: /srv",
}
READ: Final = Denial(**DENIAL)
ALLOWED: Final[dict[str, Any]] = {
    "allow": True,
    "denials": [],
    "warnings": [],
    "evaluated": ["mounts", "users"],
    "profile": "production",
    "policy_revision": "abc",
    "role": "ci",
}
DENIED: Final[dict[str, Any]] = ALLOWED | {"allow": False, "denials": [DENIAL]}
RULES: Final = frozenset({"mounts"})
ID: Final = "01J0000000000000000000000"


def test_a_whole_allow_is_read() -> None:
    assert read_decision(ALLOWED, RULES) == Decision(
        allow=True,
        denials=(),
        warnings=(),
        evaluated=frozenset({"mounts", "users"}),
        profile="production",
        policy_revision="abc",
        role="ci",
    )


def test_decisions_share_the_names_of_the_rule_packages() -> None:
    one, other = (orjson.loads(orjson.dumps(ALLOWED)) for _ in range(2))
    assert read_decision(one, RULES).evaluated is read_decision(other, RULES).evaluated


def test_a_whole_denial_is_read_with_its_warnings() -> None:
    decision = read_decision(DENIED | {"warnings": [DENIAL, DENIAL | {"value": None}]}, RULES)
    assert not decision.allow
    assert decision.denials == (READ,)
    assert [warning.value for warning in decision.warnings] == ["/etc", None]


def test_an_allow_may_warn() -> None:
    decision = read_decision(ALLOWED | {"warnings": [DENIAL]}, RULES)
    assert decision.allow
    assert decision.warnings == (READ,)


@pytest.mark.parametrize(
    ("said", "repeatable"),
    [(True, True), (False, False), (1, False), ("true", False), (None, False)],
)
def test_a_decision_is_repeatable_only_if_it_says_so(
    said: Any,
    repeatable: bool,
) -> None:
    assert read_decision(ALLOWED | {"repeatable": said}, RULES).repeatable is repeatable
    assert read_decision(ALLOWED, RULES).repeatable is False


def test_the_exceptions_that_were_used_are_read() -> None:
    used = {"rule": "mounts.source", "field": "Binds", "expires": "2026-12-31", "reason": "OPS-4"}
    decision = read_decision(ALLOWED | {"exceptions": [used]}, RULES)
    assert decision.exceptions == (UsedException(**used),)
    assert read_decision(ALLOWED, RULES).exceptions == ()


@pytest.mark.parametrize(
    "document", [None, True, "allow", 1, [], [ALLOWED], {}, {"allow": True}, {"result": ALLOWED}]
)
def test_what_is_not_a_whole_decision_is_an_error(document: object) -> None:
    with pytest.raises(EngineError):
        read_decision(document, RULES)


@pytest.mark.parametrize("name", sorted(ALLOWED))
@pytest.mark.parametrize("base", [ALLOWED, DENIED], ids=["allow", "deny"])
def test_a_decision_that_lacks_a_key_is_an_error(base: dict[str, Any], name: str) -> None:
    document = {key: value for key, value in base.items() if key != name}
    with pytest.raises(EngineError, match=name):
        read_decision(document, RULES)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("allow", [1, "true", None, [], [True]]),
        ("denials", [None, {}, "", False, 0, [None], ["x"], [[]]]),
        ("warnings", [None, {}, "", [None], [{}]]),
        ("evaluated", [None, "mounts", {"mounts": True}, [1], [["mounts"]]]),
        ("profile", [None, 1, ["production"]]),
        ("policy_revision", [None, 0, {}]),
        ("role", [None, 0, ["ci"]]),
        ("exceptions", [None, {}, "", [None], [{}], [{"rule": 1}]]),
    ],
)
def test_a_key_of_the_wrong_type_is_an_error(name: str, values: list[Any]) -> None:
    for base in (ALLOWED, DENIED):
        for value in values:
            with pytest.raises(EngineError):
                read_decision(base | {name: value}, RULES)


@pytest.mark.parametrize("place", ["denials", "warnings"])
@pytest.mark.parametrize("name", sorted(DENIAL))
def test_a_reason_that_lacks_a_part_is_an_error(place: str, name: str) -> None:
    reason = {key: value for key, value in DENIAL.items() if key != name}
    with pytest.raises(EngineError, match=name):
        read_decision(DENIED | {place: [DENIAL, reason]}, RULES)


@pytest.mark.parametrize("name", sorted(DENIAL.keys() - {"value"}))
@pytest.mark.parametrize("value", [None, 1, [], {}, True])
def test_a_part_of_a_reason_of_the_wrong_type_is_an_error(name: str, value: Any) -> None:
    with pytest.raises(EngineError, match=name):
        read_decision(DENIED | {"denials": [DENIAL | {name: value}]}, RULES)


@pytest.mark.parametrize("value", [None, 0, "", [], {"a": [1]}])
def test_a_reason_may_be_about_any_value(value: Any) -> None:
    decision = read_decision(DENIED | {"denials": [DENIAL | {"value": value}]}, RULES)
    assert decision.denials[0].value == value


def test_a_rule_package_that_did_not_answer_is_an_error_and_named() -> None:
    with pytest.raises(EngineError, match=r"hardening, privileged$"):
        read_decision(ALLOWED, frozenset({"hardening", "mounts", "privileged"}))
    with pytest.raises(EngineError, match="did not answer"):
        read_decision(DENIED | {"evaluated": []}, RULES)


def test_an_allow_beside_a_denial_is_an_error() -> None:
    with pytest.raises(EngineError, match="allows and denies"):
        read_decision(DENIED | {"allow": True}, RULES)


def test_a_denial_without_a_reason_is_an_error() -> None:
    with pytest.raises(EngineError, match="without a reason"):
        read_decision(ALLOWED | {"allow": False}, RULES)
    with pytest.raises(EngineError, match="without a reason"):
        read_decision(ALLOWED | {"allow": False, "warnings": [DENIAL]}, RULES)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(
    st.dictionaries(st.sampled_from(sorted(ALLOWED)), VALUES), st.sampled_from([ALLOWED, DENIED])
)
def test_any_document_is_a_whole_decision_or_an_error(
    changes: dict[str, Any], base: dict[str, Any]
) -> None:
    try:
        decision = read_decision(base | changes, RULES)
    except EngineError:
        return
    assert decision.allow is not bool(decision.denials)
    assert decision.evaluated >= RULES


def test_a_refusal_is_a_denial_without_a_value() -> None:
    denial = Denial.from_refusal(Refused("request.uri", "path", "not clean", "leave out //"))
    assert denial == Denial("request.uri", "path", None, "not clean", "leave out //")


def test_one_denial_is_one_line() -> None:
    assert denial_message("container.create", [READ], ID) == (
        "container.create: bind mount of /etc is not allowed"
        f" [mounts.source HostConfig.Binds[0]]; allowed: /srv (decision {ID})"
    )


def test_a_denial_without_field_and_hint_says_so_without_gaps() -> None:
    denial = Denial("sections.off", "", None, "swarm is off", "")
    assert denial_message("swarm.init", [denial], ID) == (
        f"swarm.init: swarm is off [sections.off] (decision {ID})"
    )


def test_several_denials_are_listed_all() -> None:
    other = Denial("users.root", "User", "0", "root is not allowed", "")
    assert denial_message("container.create", [READ, other], ID) == (
        "container.create: 2 rules deny this"
        "\n- bind mount of /etc is not allowed [mounts.source HostConfig.Binds[0]]; allowed: /srv"
        f"\n- root is not allowed [users.root User] (decision {ID})"
    )


def test_what_finds_no_room_is_counted() -> None:
    message = denial_message("container.create", [READ] * 100, ID)
    lines = message.splitlines()
    shown = sum(line.startswith("- bind mount") for line in lines)
    assert lines[0] == "container.create: 100 rules deny this"
    assert lines[-1] == f"- and {100 - shown} more (decision {ID})"
    assert 5 < shown < 100
    assert len(message.encode()) <= DENIAL_LIMIT


def test_the_last_of_several_denials_takes_the_room_of_the_count() -> None:
    text = "m" * 190
    denials = [Denial(f"r{i}", "", None, text, "") for i in range(20)]
    for number in range(2, 20):
        message = denial_message("x", denials[:number], ID)
        shown = message.count(text)
        rest = f"and {number - shown} more"
        assert (rest in message) is (shown < number)


def test_a_rule_whose_denial_finds_no_room_is_named() -> None:
    denials = [Denial(f"r{i}.x", "", None, "m" * 190, "") for i in range(8)]
    message = denial_message("x", [*denials, denials[0]], ID)
    assert [rule.rule for rule in denials if f"[{rule.rule}]" not in message] == []
    assert message.splitlines()[-1].startswith("- and 5 more: [r4.x] [r5.x] [r6.x] [r7.x]")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J", "\\x1b[2J"),
        ("a\nb\rc\td", "a\\nb\\rc\\td"),
        ("\x00\x7f\x9b", "\\x00\\x7f\\x9b"),
        ("\u202etxt.exe", "\\u202etxt.exe"),
        ("\u2028\u2029\ufeff\u200b", "\\u2028\\u2029\\ufeff\\u200b"),
        ("\ud800", "\\ud800"),
        ("\U000e0041", "\\U000e0041"),
        ("é 漢 😀", "é 漢 😀"),
    ],
)
def test_no_terminal_is_at_the_mercy_of_a_name(text: str, shown: str) -> None:
    for denial in (
        Denial("r", "", None, text, ""),
        Denial("r", text, None, "", ""),
        Denial("r", "", None, "", text),
        Denial(text, "", None, "", ""),
    ):
        message = denial_message("x", [denial], ID)
        assert shown in message
        assert text not in message or text == shown


def test_a_long_part_is_cut_so_that_the_others_are_seen() -> None:
    denial = Denial("r", "f" * 5000, None, "m" * 5000, "h" * 5000)
    message = denial_message("x", [denial], ID)
    assert "m" * 199 + "… [r fff" in message
    assert "f…]; hhh" in message
    assert message.endswith(f"… (decision {ID})")


ANY = st.text(max_size=300)
DENIALS = st.builds(Denial, ANY, ANY, st.none(), ANY, ANY)


def test_that_the_operation_is_closed_stands_first_and_is_never_cut_off() -> None:
    others = [Denial("mounts.source", f"Binds[{i}]", None, "x" * 90, "") for i in range(50)]
    closed = Denial("sections.operation", "operation", None, "not allowed in profile x", "")
    lines = denial_message("service.create", [*others, closed], "0").splitlines()
    assert lines[1] == "- not allowed in profile x [sections.operation operation]"


@given(st.lists(DENIALS, min_size=1, max_size=12))
def test_any_denials_make_a_message_that_a_terminal_can_show(denials: list[Denial]) -> None:
    message = denial_message("container.create", denials, ID)
    assert len(message.encode()) <= DENIAL_LIMIT
    assert message.endswith(f" (decision {ID})")
    assert message.startswith("container.create: ")
    assert all(line.isprintable() for line in message.split("\n"))
    assert message.count("\n") <= len(denials) + 1
