"""What a decision depends on: nothing outside the projection changes it."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from authz_plugin.decision import Decision
from authz_plugin.engine import binary, child, dependencies
from authz_plugin.engine.cache import CachingEngine, policy_in_force
from authz_plugin.engine.dependencies import DETERMINISTIC, ENTRYPOINT, dependencies_of
from authz_plugin.engine.opa import OpaEngine
from authz_plugin.engine.projection import UNKNOWN, WHOLE, Dependencies, Projection, Reads
from authz_plugin.engine.transport import OpaAddress
from authz_plugin.errors import EngineError
from authz_plugin.hostpaths import SHIPPED
from tests.bench import cases
from tests.conftest import MakeEngine
from tests.harness.plans import plan_of
from tests.test_corpus import CORPUS, ROOTS, document
from tools.policy_data import examples

# Changes of documents.

_Place = tuple[str | int, ...]

VALUES: Final[list[Any]] = [
    None, True, False, 0, 1, -1, 2**53, 0.5, "", "a", "b", "host", "/", "/etc", "true", "0",
    "web*", "latest", "container:x", [], {}, [None], ["a"], ["host", "/"], [[]], {"a": "b"},
    {"Name": "host", "PathOnHost": "/dev/kmsg"}, {"a": {"a": {"a": True}}},
]  # fmt: skip


class Change(NamedTuple):
    """``value`` takes the place of what is at ``place``, or is added there; no ``value``, and it is
    taken away."""

    place: _Place
    value: list[Any]


def places(value: Any, above: _Place = ()) -> Iterator[_Place]:
    """The places in a document, and in each object and array one that is not there."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield (*above, key)
            yield from places(inner, (*above, key))
        yield (*above, "a")
        yield (*above, "Unheard")
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield (*above, index)
            yield from places(inner, (*above, index))
        yield (*above, len(value))


def changed(value: Any, change: Change) -> Any:
    """A document after a change, or as it was where the place is no longer there."""
    result = copy.deepcopy(value)
    holder = result
    for key in change.place[:-1]:
        try:
            holder = holder[key]
        except (KeyError, IndexError, TypeError):
            return result
    key = change.place[-1]
    if isinstance(holder, dict) and isinstance(key, str):
        if change.value:
            holder[key] = copy.deepcopy(change.value[0])
        else:
            holder.pop(key, None)
    elif isinstance(holder, list) and isinstance(key, int):
        holder[key : key + 1] = copy.deepcopy(change.value)
    return result


def outside(value: Any, part: Projection, rng: random.Random) -> list[_Place]:
    """The places at which a document can be changed without a change of its projection."""
    before = part(value)
    found = []
    for place in places(value):
        change = Change(place, [rng.choice(VALUES)] if rng.random() < 0.8 else [])
        if part(changed(value, change)) == before:
            found.append(place)
    return found


def equal_ones(value: Any, part: Projection, rng: random.Random, number: int) -> list[Any]:
    """Documents of the same projection as this one, each changed at some places outside."""
    before, free = part(value), outside(value, part, rng)
    found = []
    for _ in range(number if free else 0):
        other = value
        for place in rng.sample(free, min(len(free), rng.randint(1, 12))):
            drawn = [rng.choice(VALUES)] if rng.random() < 0.8 else []
            candidate = changed(other, Change(place, drawn))
            if part(candidate) == before:
                other = candidate
        found.append(other)
    return found


# The shipped policies.

DOCUMENTS: Final[dict[str, Any]] = {
    **examples(),
    **{f"bench: {name}": made for name, made in cases.documents().items()},
}
CALLED_BY_DEV: Final = {
    "user": "dev",
    "method": "TLS",
    "revoked": False,
    "certificates": [
        {"subject": {"CN": "dev", "O": ["x"], "OU": []}, "sans": [], "sha256": "0", "not_after": ""}
    ],
}
CONFIGURATIONS: Final[dict[str, dict[str, Any]]] = {
    "production": {"profile": "production"},
    "closed, only warning": {"profile": "closed", "mode": "warn"},
    "a workspace": {"profile": "devcontainer", "mounts": ROOTS},
    "labels and commands": {
        "profile": "devcontainer",
        "mounts": ROOTS,
        "labels": {"required": {"team": ["a*", "label *"]}, "reserved": ["*label-3", "traefik.*"]},
        "containers": {"deny_commands": ["*serve*"]},
    },
    "roles and tenants": {
        "profile": "read-only",
        "roles": {
            "dev": {
                "callers": [{"certificate": {"CN": "dev", "O": "x"}}, {"user": "dev"}],
                "profile": "devcontainer",
                "tenancy": {"names": ["web*", "b*"], "labels": {"com.example.label-1": "label 1"}},
            }
        },
    },
}


@pytest.fixture(scope="module")
def shipped(opa: binary.Opa, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The plan of the shipped policies."""
    bundle = tmp_path_factory.mktemp("plan") / "bundle.tar.gz"
    return plan_of(opa, SHIPPED / "docker", [ENTRYPOINT], bundle)


@pytest.fixture(scope="module")
def part(shipped: Any) -> Projection:
    return Projection(dependencies_of(shipped))


def shown(decision: Decision | None) -> str:
    """All of a decision, as text."""
    if decision is None:
        return "none"
    return repr([decision, sorted(decision.evaluated)]).replace(repr(decision.evaluated), "")


@pytest.mark.parametrize("configuration", CONFIGURATIONS.values(), ids=list(CONFIGURATIONS))
@settings(max_examples=4, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32))
def test_what_is_not_read_changes_no_decision(
    part: Projection, make_engine: MakeEngine, configuration: dict[str, Any], seed: int
) -> None:
    rng = random.Random(seed)
    recorded = [document(request) for request in rng.sample(CORPUS, 12)]
    asked: list[list[Any]] = []
    for one in [*rng.sample(list(DOCUMENTS.values()), 12), *recorded]:
        plain = json.loads(json.dumps(one))
        if rng.random() < 0.5:
            plain["caller"] = CALLED_BY_DEV
        for place in rng.sample(list(places(plain)), rng.choice([0, 0, 1, 3])):
            plain = changed(plain, Change(place, [rng.choice(VALUES)]))
        asked.append([plain, *equal_ones(plain, part, rng, 6)])
    engine = make_engine(**configuration)
    decided = iter(engine.decide_each([other for group in asked for other in group]))
    for group in asked:
        first, *others = [shown(next(decided)) for _ in group]
        for other, one in zip(others, group[1:], strict=True):
            assert other == first, differences(group[0], one)


def differences(one: Any, other: Any, above: _Place = ()) -> list[Any]:
    """Where two documents differ."""
    if isinstance(one, dict) and isinstance(other, dict):
        keys = sorted(one.keys() | other.keys())
        return [
            found
            for key in keys
            for found in differences(one.get(key, "lost"), other.get(key, "lost"), (*above, key))
        ]
    return [] if one == other else [(above, one, other)]


SOME_FIELD: Final = {"value": "?"}


@pytest.mark.parametrize(
    "unread",
    [
        lambda d: d["request"].update(uri="?", path="?", headers={"x": "?"}),
        lambda d: d["request"]["query"].update(name=["?"]),
        lambda d: d["body"].update(Hostname="?", Env=["?"], WorkingDir="?", StopSignal="?"),
        lambda d: d["body"]["HostConfig"].update(Memory=1, Binds=["?"], LogConfig=None),
        lambda d: d["mounts"][0].update(target="?", exists="?"),
        lambda d: d["labels"][0].update(SOME_FIELD),
        lambda d: d.update(time="2031-01-01T00:00:00Z"),
    ],
)
def test_a_create_is_remembered_whatever_no_rule_reads(
    part: Projection, unread: Callable[[Any], None]
) -> None:
    other = copy.deepcopy(DOCUMENTS["bench: create"])
    unread(other)
    assert other != DOCUMENTS["bench: create"]
    assert part(other) == part(DOCUMENTS["bench: create"])


@pytest.mark.parametrize(
    "read",
    [
        lambda d: d["operation"].update(id="container.update"),
        lambda d: d["body"]["HostConfig"].update(Privileged=True),
        lambda d: d["body"].update(Cmd=["?"]),
        lambda d: d["mounts"][0].update(resolved="/etc"),
        lambda d: d["mounts"].append(d["mounts"][0]),
        lambda d: d["labels"][0].update(name="?"),
        lambda d: d["caller"].update(user="eve"),
        lambda d: d.pop("ports"),
    ],
)
def test_a_create_that_differs_in_what_a_rule_reads_is_another(
    part: Projection, read: Callable[[Any], None]
) -> None:
    other = copy.deepcopy(DOCUMENTS["bench: create"])
    read(other)
    assert part(other) != part(DOCUMENTS["bench: create"])


def test_the_shipped_policies_read_the_time_and_decide_alike_each_time(shipped: Any) -> None:
    found = dependencies_of(shipped)
    assert found.reads_time
    assert found.varying == ()
    assert not found.reads.whole


# Policies that try to hide what they read.


class Hiding(NamedTuple):
    """A policy, and what must be found that it reads, as ``Reads.to_json``."""

    rego: str
    reads: Any


def names(**inner: Any) -> dict[str, Any]:
    return {"names": inner}


KEYS: Final = {"keys": True}
EACH: Final = {"keys": True, "each": True}
HIDING: Final[dict[str, Hiding]] = {
    "a value": Hiding("decision := input.a", names(a=True)),
    "whether a value is there": Hiding(
        "decision if input.a.b != {}", names(a=names(b=True))
    ),
    "the kind of a value": Hiding(
        "default decision := false\ndecision if is_array(input.a)", names(a={})
    ),
    "a function of a function": Hiding(
        "decision := f(input.a)\nf(x) := g(x.b, x)\ng(y, x) := [y.c, x.x]",
        names(a=names(b=names(c=True), x=True)),
    ),
    "a function for two parts": Hiding(
        'decision := [f(input.a), f(input.b)]\nf(x) := x.c if x.x == "a"',
        names(a=names(c=True, x=True), b=names(c=True, x=True)),
    ),
    "a comprehension": Hiding(
        'decision := {x.b | some x in input.a; x.c == "c"}',
        names(a={"keys": True, "each": names(b=True, c=True)}),
    ),
    "an object comprehension": Hiding(
        "decision := {k: 1 | some k, v in input.a; v.b}",
        names(a={"keys": True, "each": names(b={})}),
    ),
    "every": Hiding(
        'default decision := false\ndecision if every x in input.a { x.b == "a" }',
        names(a={"keys": True, "each": names(b={})}),
    ),
    "a key of the input": Hiding("decision := input.a[input.b]", "?"),
    "a key of the input inside": Hiding(
        "decision := input.a.x[input.b.c]", names(a=names(x=EACH), b=names(c=True))
    ),
    "keys of keys": Hiding(
        "decision := {[k, l] | some k, v in input.a; some l, w in v; w.x}",
        names(a={"keys": True, "each": {"keys": True, "each": names(x={})}}),
    ),
    "constant keys": Hiding(
        'decision := {input.a[k].x | some k in {"b", "c"}}',
        names(a=names(b=names(x=True), c=names(x=True))),
    ),
    "walk": Hiding("decision := {p | walk(input, [p, x]); x == true}", True),
    "any key": Hiding('decision := {x | input[x] == "a"}', True),
    "the whole input": Hiding("decision := count(object.keys(input)) > 1", True),
    "the input in an object": Hiding('decision := {"b": input}.b.a', True),
    "another input": Hiding(
        'decision := x if x := other with input as {"a": input.a}\nother := input.a', True
    ),
    "another input of a part": Hiding(
        "decision := x if x := other with input.a as input.b\nother := [input.a, input.c]", True
    ),
    "other data": Hiding("decision := x if x := data.x with data.x as input.a", True),
    "a partial rule": Hiding(
        "decision := p\np contains x.a if some x in input.b\np contains input.c if input.x",
        names(b={"keys": True, "each": names(a=True)}, c=True, x={}),
    ),
    "a partial object": Hiding(
        "decision := p.a\np[k] := v.b if some k, v in input.a",
        names(a={"keys": True, "each": names(b=True)}),
    ),
    "rules by name": Hiding(
        "decision := {n: x | some n; x := data.rules.PACKAGE[n].p}",
        names(a=names(x=True), b=names(x=True)),
    ),
    "a rule by the input's name": Hiding(
        "decision := x if { n := input.c; x := data.rules.PACKAGE[n].p }",
        names(a=names(x=True), b=names(x=True), c=True),
    ),
    "an else chain": Hiding(
        'decision := input.a if input.b == "b"\nelse := input.c if input.x\nelse := "no"',
        names(a=True, b={}, c=True, x={}),
    ),
    "a default function": Hiding(
        'decision := f(input.a)\ndefault f(_) := "no"\nf(x) := x.b if x.c',
        names(a=names(b=True, c={})),
    ),
    "two values": Hiding(
        "decision := f(input.a)\nf(x) := y if { y := x.b }\nf(x) := y if { y := x.c; x.a }\n",
        names(a=names(a={}, b=True, c=True)),
    ),
    "two values that must be equal": Hiding(
        "decision := is_array(f(input.a))\nf(x) := y if { y := x.b }\nf(x) := x.c if x.a\n",
        names(a=names(a={}, b=True, c=True)),
    ),
    "one value of many": Hiding(
        "decision := is_array(f(input.a))\nf(x) := y if some y in x\n", names(a=EACH)
    ),
    "get": Hiding('decision := object.get(input, "a", "no")', names(a=True)),
    "get below": Hiding(
        'decision := object.get(input.a, ["b", "c"], "no")', names(a=names(b=names(c=True)))
    ),
    "get by a list of keys": Hiding('decision := object.get(input.a, input.b, "no")', "?"),
    "get by a key": Hiding(
        "decision := {object.get(input.a, k, 1) | some k in input.b}", names(a=True, b=EACH)
    ),
    "get of some": Hiding(
        'decision := [object.get(input, ["a", k], 1) | some k in ["b", "c"]]',
        names(a=names(b=True, c=True)),
    ),
    "get a default": Hiding(
        'decision := object.get(input.a, "b", input.c).x', names(a=names(b=names(x=True)), c=names(x=True))
    ),
    "not": Hiding(
        'default decision := false\ndecision if { input.b; not input.a.b == "a" }',
        names(a=names(b={}), b={}),
    ),
    "not a function": Hiding(
        "default decision := false\ndecision if not f(input.a)\nf(x) if x.b.c\n"
        "f(x) if { some y in x.c; y.a }",
        names(a=names(b=names(c={}), c={"keys": True, "each": names(a={})})),
    ),
    "not not": Hiding(
        "default decision := false\ndecision if not p\np if not q\nq if not input.a.x",
        names(a=names(x={})),
    ),
    "parts of an array": Hiding(
        "decision := [x, z] if [x, _, z] := input.a", names(a=EACH)
    ),
    "the ends of nested arrays": Hiding(
        "decision := {x | some y in input.a; some z in y; some x in z.a}",
        names(
            a={"keys": True, "each": {"keys": True, "each": names(a=EACH)}}
        ),
    ),
    "an object taken apart": Hiding(
        'decision := x if {"a": x, "b": _} := input.a', names(a={"keys": True, **names(a=True, b={})})
    ),
    "a value as a key": Hiding("decision := {input.a: 1}", names(a=True)),
    "a value as a key of data": Hiding(
        'decision := {"a": 1, "b": 2}[input.a.b]', names(a=names(b=True))
    ),
    "in": Hiding('decision := input.a in {"a", "b"}', names(a={})),
    "in a part": Hiding('decision := "a" in input.a', names(a=True)),
    "in keys": Hiding('decision := "a" in object.keys(input.a)', names(a=KEYS)),
    "how many": Hiding("decision := count(input.a)", names(a=KEYS)),
    "sorted": Hiding("decision := sort(input.a)[0]", names(a=True)),
    "a text": Hiding('decision := sprintf("%v", [input.a])', names(a=True)),
    "an array of another's values": Hiding(
        "decision := y.c if { x := [input.a, input.b]; y := x[_] }", names(a=True, b=True)
    ),
    "the equality of two parts": Hiding(
        "default decision := false\ndecision if input.a == input.b", names(a=True, b=True)
    ),
    "an inequality": Hiding(
        'default decision := false\ndecision if input.a != "a"', names(a={})
    ),
    "a cross product": Hiding(
        "decision := {[i, j] | some i, x in input.a; some j, y in input.b; x == y}",
        names(a=EACH, b=EACH),
    ),
    "the rest of the package": Hiding(
        "decision := data.rules.PACKAGE.a", names(a=names(x=True))
    ),
}  # fmt: skip
OTHERS: Final = """\
package rules.PACKAGE.{name}

p := input.{name}.x
"""
_AT_ONCE: Final = 64


class Small:
    """The policies of ``HIDING``, by their names, in an OPA."""

    def __init__(self, plan: Any, engine: OpaEngine) -> None:
        self.plan = plan
        self._engine = engine

    def dependencies(self, name: str) -> Dependencies:
        return dependencies_of(self.plan, f"small/{package(name)}/decision", ())

    def decide(self, name: str, documents: list[Any]) -> list[str]:
        """The decisions on documents; all undefined ones are equal."""
        found: list[str] = []
        for start in range(0, len(documents), _AT_ONCE):
            try:
                answer = self._engine.ask(
                    package(name), {"all": documents[start : start + _AT_ONCE]}
                )
                found += [json.dumps(one, sort_keys=True) for one in answer]
            except EngineError:
                found += [
                    self._decide_alone(name, one) for one in documents[start : start + _AT_ONCE]
                ]
        return found

    def _decide_alone(self, name: str, one: Any) -> str:
        """Also the decisions on documents on which the evaluation fails."""
        try:
            return json.dumps(self._engine.ask(package(name), {"all": [one]})[0], sort_keys=True)
        except EngineError as error:
            assert "500" in str(error), error
            return "failed"

    def different(self, name: str, found: Dependencies, rng: random.Random, tries: int) -> Any:
        """Two documents of one projection with different decisions, or None if none is found."""
        part = Projection(found)
        asked = []
        for _ in range(tries):
            one = drawn(rng)
            asked += [(one, other) for other in [one, *equal_ones(one, part, rng, 4)]]
        decided = self.decide(name, [other for _, other in asked])
        first: dict[bytes, tuple[str, Any]] = {}
        for decision, (_, other) in zip(decided, asked, strict=True):
            before, holder = first.setdefault(part(other), (decision, other))
            if before != decision:
                return holder, other, before, decision
        return None


def package(name: str) -> str:
    return "of_" + name.replace(" ", "_").replace("'", "_")


def drawn(rng: random.Random) -> Any:
    """A document with the names that the small policies read."""

    def value(depth: int) -> Any:
        if depth == 0 or rng.random() < 0.15:
            return rng.choice([None, True, False, 0, 1, "a", "b", "c", "x", [], {}])
        if rng.random() < 0.3:
            return [value(depth - 1) for _ in range(rng.randint(0, 3))]
        return {key: value(depth - 1) for key in "abcx" if rng.random() < 0.7}

    return {key: value(4) for key in "abcx" if rng.random() < 0.85}


@pytest.fixture(scope="module")
def small(opa: binary.Opa, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Small]:
    home = tmp_path_factory.mktemp("small")
    folder = home / "bundle"
    folder.mkdir()
    asked = ["package small.asked"]
    for name, hiding in HIDING.items():
        mine = package(name)
        rego = hiding.rego.replace("PACKAGE", mine)
        (folder / f"{mine}.rego").write_text(f"package small.{mine}\n\n{rego}\n")
        asked.append(
            f"{mine} := [{{x | x := data.small.{mine}.decision with input as d}} |"
            " some d in input.all]"
        )
        if "PACKAGE" in hiding.rego:
            for other in ("a", "b"):
                text = OTHERS.format(name=other).replace("PACKAGE", mine)
                (folder / f"{mine}_{other}.rego").write_text(text)
    entrypoints = [f"small/{package(name)}/decision" for name in HIDING]
    plan = plan_of(opa, folder, entrypoints, home / "plan.tar.gz")
    (home / "plan.tar.gz").unlink()
    (folder / "asked.rego").write_text("\n\n".join(asked))
    started = child.start(opa, folder)
    address = OpaAddress(url=f"unix:{started.socket}")
    engine = OpaEngine(address, frozenset(), 10, "small/asked")
    yield Small(plan, engine)
    engine.close()
    started.stop()


@pytest.mark.parametrize("name", HIDING)
def test_what_a_policy_reads_is_found(small: Small, name: str) -> None:
    expected = HIDING[name].reads
    if expected != "?":
        assert small.dependencies(name).reads.to_json() == expected


@pytest.mark.parametrize("name", HIDING)
@settings(max_examples=3, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32))
def test_no_policy_hides_what_it_reads(small: Small, name: str, seed: int) -> None:
    found = small.dependencies(name)
    assert small.different(name, found, random.Random(seed), 30) is None
