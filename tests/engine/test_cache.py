"""Remembered decisions: the same as OPA's, and gone with the policy that made them."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from authz_plugin.decision import Decision
from authz_plugin.engine.cache import CachingEngine, policy_behind
from authz_plugin.engine.opa import OpaEngine
from authz_plugin.engine.transport import OpaAddress
from authz_plugin.errors import EngineError
from authz_plugin.policy import shipped_rules
from tests.conftest import MakeOpa
from tools.policy_data import examples

EXAMPLES = examples()
PRIVILEGED = copy.deepcopy(EXAMPLES["container_create"])
PRIVILEGED["body"]["HostConfig"]["Privileged"] = True


class Asked:
    """An engine that counts how often it is asked."""

    def __init__(self, engine: OpaEngine) -> None:
        self._engine = engine
        self.times = 0

    def decide(self, document: dict[str, Any], decision_id: str = "") -> Decision:
        self.times += 1
        return self._engine.decide(document, decision_id)

    def close(self) -> None:
        self._engine.close()


class Setting:
    """A caching engine before a link that leads to one OPA or another."""

    def __init__(self, link: Path, make_opa: MakeOpa) -> None:
        self._make_opa = make_opa
        self._numbers = itertools.count()
        self.link = link
        self.opa = Asked(OpaEngine(OpaAddress(url=f"unix:{link}"), shipped_rules(), deadline=5))
        self.engine = CachingEngine(self.opa, policy_behind(link))

    def lead_to(self, **configuration: Any) -> None:
        new = self.link.with_suffix(f".{next(self._numbers)}")
        new.symlink_to(self._make_opa(**configuration))
        new.replace(self.link)

    def asks(self, document: dict[str, Any]) -> bool:
        """Whether a decision on a document needs OPA."""
        before = self.opa.times
        self.engine.decide(document)
        return self.opa.times > before


@pytest.fixture
def setting(tmp_path: Path, make_opa: MakeOpa) -> Iterator[Setting]:
    made = Setting(tmp_path / "opa.sock", make_opa)
    made.lead_to(profile="production")
    yield made
    made.opa.close()


def test_a_request_is_asked_once(setting: Setting) -> None:
    assert setting.asks(EXAMPLES["container_list"])
    assert not setting.asks(copy.deepcopy(EXAMPLES["container_list"]))


def test_the_time_makes_no_other_request(setting: Setting) -> None:
    setting.asks(EXAMPLES["container_list"])
    later = {**EXAMPLES["container_list"], "time": "2030-01-01T00:00:00.000+00:00"}
    assert not setting.asks(later)


@pytest.mark.parametrize("document", EXAMPLES.values(), ids=list(EXAMPLES))
def test_a_remembered_decision_is_the_one_that_opa_made(
    setting: Setting, document: dict[str, Any]
) -> None:
    first, second = setting.engine.decide(document), setting.engine.decide(document)
    assert first == second == setting.opa.decide(document)


CHANGES: list[tuple[str, Callable[[dict[str, Any]], Any]]] = [
    ("who asks", lambda d: d["caller"].update(user="eve")),
    ("a query parameter", lambda d: d["request"]["query"].update(name=["web2"])),
    ("a header", lambda d: d["request"]["headers"].update(host="x")),
    ("a body's field", lambda d: d["body"]["HostConfig"].update(Privileged=True)),
    ("an added field", lambda d: d["body"].update(new=None)),
    ("a mount's end", lambda d: d["mounts"][0].update(resolved="/etc")),
]


@pytest.mark.parametrize("change", [c for _, c in CHANGES], ids=[name for name, _ in CHANGES])
def test_another_request_is_asked_anew(setting: Setting, change: Callable[[Any], Any]) -> None:
    setting.asks(EXAMPLES["container_create_bind"])
    changed = copy.deepcopy(EXAMPLES["container_create_bind"])
    change(changed)
    assert setting.asks(changed)


def test_a_new_policy_decides_from_the_moment_the_link_moves(setting: Setting) -> None:
    for _ in range(3):
        assert not setting.engine.decide(PRIVILEGED).allow
        setting.lead_to(profile="production", privileged={"allow": True})
        assert "privileged.container" not in rules(setting.engine.decide(PRIVILEGED))
        setting.lead_to(profile="production")
        assert "privileged.container" in rules(setting.engine.decide(PRIVILEGED))


def rules(decision: Decision) -> set[str]:
    return {denial.rule for denial in decision.denials}


def test_a_decision_that_depends_on_the_time_is_not_remembered(setting: Setting) -> None:
    exception = {
        "rule": "privileged.container",
        "field": "HostConfig.Privileged",
        "when": {"image": "registry.example/*"},
        "expires": "2099-01-01",
        "reason": "a test",
    }
    setting.lead_to(profile="production", exceptions=[exception])
    assert setting.asks(PRIVILEGED)
    assert setting.asks(PRIVILEGED)
    assert setting.asks(EXAMPLES["container_list"])
    assert not setting.asks(EXAMPLES["container_list"])


def test_nothing_is_remembered_of_an_engine_that_fails(setting: Setting) -> None:
    setting.link.unlink()
    setting.link.symlink_to("/nonexistent")
    engine = CachingEngine(
        OpaEngine(OpaAddress(url=f"unix:{setting.link}"), shipped_rules(), deadline=0.1),
        policy_behind(setting.link),
    )
    for _ in range(2):
        with pytest.raises(EngineError):
            engine.decide(EXAMPLES["container_list"])


def test_without_a_link_nothing_is_remembered(setting: Setting) -> None:
    engine = CachingEngine(setting.opa, policy_behind(setting.link.with_name("none")))
    before = setting.opa.times
    for _ in range(2):
        engine.decide(EXAMPLES["container_list"])
    assert setting.opa.times == before + 2


def test_what_was_asked_for_least_recently_goes_first(setting: Setting) -> None:
    setting.engine = CachingEngine(setting.opa, policy_behind(setting.link), size=2)
    one, two, three = (EXAMPLES[name] for name in ("container_list", "ping", "container_start"))
    setting.asks(one)
    setting.asks(two)
    setting.asks(one)
    setting.asks(three)
    assert not setting.asks(one)
    assert setting.asks(two)


def test_the_engine_is_given_the_decision_id(tmp_path: Path) -> None:
    class Noting:
        ids: ClassVar[list[str]] = []

        def decide(self, document: dict[str, Any], decision_id: str = "") -> Decision:
            del document
            self.ids.append(decision_id)
            return Decision(True, (), (), frozenset(), "", "")  # noqa: FBT003

    (tmp_path / "opa.sock").symlink_to("1")
    for socket in (tmp_path / "opa.sock", tmp_path / "no-link"):
        CachingEngine(Noting(), policy_behind(socket)).decide({}, "0123456789abcdef")
    assert Noting.ids == ["0123456789abcdef"] * 2
