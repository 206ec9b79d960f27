"""What a decision depends on: nothing outside the projection changes it."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from authz_plugin import policy
from authz_plugin.decision import Decision
from authz_plugin.engine import binary, child, dependencies
from authz_plugin.engine.cache import CachingEngine, PolicyInForce
from authz_plugin.engine.dependencies import DETERMINISTIC, ENTRYPOINT, dependencies_of
from authz_plugin.engine.opa import OpaEngine
from authz_plugin.engine.projection import (
    UNKNOWN,
    WHOLE,
    Dependencies,
    Projection,
    Reads,
    with_time,
)
from authz_plugin.engine.transport import OpaAddress
from authz_plugin.errors import EngineError
from authz_plugin.hostpaths import SHIPPED, LocalHostPaths
from tests.bench import cases
from tests.conftest import MakeEngine, with_policy
from tests.harness.embedded_policy import EmbeddedEngine
from tests.harness.plans import plan_of
from tests.harness.policy_opa import POLICY_FAILED, ConfiguredEngine, PolicyOpa
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
    """A document after a change, or as it was where the place is no longer there. It shares what is
    the same with the document before."""
    key, *rest = change.place
    if isinstance(value, dict) and isinstance(key, str):
        others = {name: inner for name, inner in value.items() if name != key}
        if not rest:
            return {**others, key: change.value[0]} if change.value else others
        if key in value:
            return {**others, key: changed(value[key], Change(tuple(rest), change.value))}
    elif isinstance(value, list) and isinstance(key, int) and key <= len(value):
        if not rest:
            return [*value[:key], *change.value, *value[key + 1 :]]
        if key < len(value):
            inner = changed(value[key], Change(tuple(rest), change.value))
            return [*value[:key], inner, *value[key + 1 :]]
    return value


_MOST_PLACES: Final = 80


def outside(value: Any, part: Projection, rng: random.Random) -> list[_Place]:
    """The places at which a document can be changed without a change of its projection."""
    before = part(value)
    found = []
    every = list(places(value))
    for place in rng.sample(every, min(len(every), _MOST_PLACES)):
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

_AT_ONCE: Final = 32

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
def of_shipped(opa: binary.Opa, tmp_path_factory: pytest.TempPathFactory) -> Dependencies:
    """The dependencies of the shipped policies."""
    bundle = tmp_path_factory.mktemp("plan") / "bundle.tar.gz"
    return dependencies_of(plan_of(opa, SHIPPED / "docker", [ENTRYPOINT], bundle))


@pytest.fixture(scope="module")
def part(of_shipped: Dependencies) -> Projection:
    return Projection(of_shipped)


def answers(engine: ConfiguredEngine, documents: list[Any]) -> list[str]:
    """OPA's decisions on documents as it writes them, or that there is none."""
    asked = {"configuration": engine._configuration}
    found: list[str] = []
    for start in range(0, len(documents), _AT_ONCE):
        some = documents[start : start + _AT_ONCE]
        try:
            answer = engine.ask("decisions", {**asked, "documents": some})
            each = answer if len(answer) == len(some) else None
        except EngineError as error:
            if not POLICY_FAILED.search(str(error)):
                raise
            each = None
        found += map(as_text, each or [answer_alone(engine, one) for one in some])
    return found


def answer_alone(engine: ConfiguredEngine, one: Any) -> Any:
    try:
        return engine.ask("decision", {"configuration": engine._configuration, "document": one})
    except EngineError as error:
        if not POLICY_FAILED.search(str(error)):
            raise
        return "none"


def as_text(answer: Any) -> str:
    return json.dumps(answer, sort_keys=True)


def embedded_answers(engine: EmbeddedEngine, documents: list[Any]) -> list[str]:
    """The embedded engine's decisions on documents, or that there is none."""

    def answer_to(one: Any) -> Any:
        try:
            found = engine.decision(one)
        except EngineError:
            return "none"
        return {**found, **{key: sorted(map(as_text, found[key])) for key in SETS}}

    return [as_text(answer_to(one)) for one in documents]


SETS: Final = ("denials", "evaluated", "warnings")
"""The sets of a decision document, which the embedded engine writes in any order."""


@settings(max_examples=3, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32))
@pytest.mark.parametrize("where", ["embedded", "opa"])
def test_what_is_not_read_changes_no_decision(
    part: Projection, make_engine: MakeEngine, policy_opa: PolicyOpa, where: str, seed: int
) -> None:
    rng = random.Random(seed)
    recorded = [document(request) for request in rng.sample(CORPUS, 5)]
    asked: list[list[Any]] = []
    for one in [*rng.sample(list(DOCUMENTS.values()), 5), *recorded]:
        plain = json.loads(json.dumps(one))
        if rng.random() < 0.5:
            plain["caller"] = CALLED_BY_DEV
        for place in rng.sample(list(places(plain)), rng.choice([0, 0, 1, 3])):
            plain = changed(plain, Change(place, [rng.choice(VALUES)]))
        read = json.loads(with_time(part(plain), plain))
        asked.append([plain, read, *equal_ones(plain, part, rng, 6)])
    for configuration in CONFIGURATIONS.values():
        every = [other for group in asked for other in group]
        if where == "embedded":
            decided = iter(embedded_answers(make_engine(**configuration), every))
        else:
            config = policy.configuration(with_policy(**configuration), LocalHostPaths())
            with closing(policy_opa.engine(config)) as engine:
                decided = iter(answers(engine, every))
        for group in asked:
            first, *others = [next(decided) for _ in group]
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


def test_the_shipped_policies_read_the_time_and_decide_alike_each_time(
    of_shipped: Dependencies,
) -> None:
    assert "time" in of_shipped.reads.names
    assert of_shipped.timeless == ()
    assert of_shipped.varying == ()
    assert not of_shipped.reads.whole


# Policies that try to hide what they read.


class Hiding(NamedTuple):
    """A policy, and what must be found that it reads, as ``Reads.to_json``."""

    rego: str
    reads: Any


def names(**inner: Any) -> dict[str, Any]:
    return {"names": inner}


def _of(reads: Reads) -> Dependencies:
    """The dependencies of a policy that reads this, in whatever operation."""
    return Dependencies(reads, {}, timeless=(), varying=())


KEYS: Final = {"keys": True}
ALL: Final = True
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
        names(a=names(c=True, x={}), b=names(c=True, x={})),
    ),
    "a comprehension": Hiding(
        'decision := {x.b | some x in input.a; x.c == "c"}',
        names(a={"keys": True, "each": names(b=True, c={})}),
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
        "decision := input.a.x[input.b.c]", names(a=names(x=True), b=names(c=True))
    ),
    "keys of keys": Hiding(
        "decision := {[k, l] | some k, v in input.a; some l, w in v; w.x}",
        names(a={"keys": True, "each": {"keys": True, "each": names(x={})}}),
    ),
    "constant keys": Hiding(
        'decision := {input.a[k].x | some k in {"b", "c"}}',
        names(a=names(b=names(x=True), c=names(x=True))),
    ),
    "walk": Hiding("decision := {p | walk(input, [p, x]); x == true}", ALL),
    "any key": Hiding('decision := {x | input[x] == "a"}', {"keys": True, "each": {}}),
    "the whole input": Hiding("decision := count(object.keys(input)) > 1", {"keys": True}),
    "the input in an object": Hiding('decision := {"b": input}.b.a', ALL),
    "another input": Hiding(
        'decision := x if x := other with input as {"a": input.a}\nother := input.a', ALL
    ),
    "another input of a part": Hiding(
        "decision := x if x := other with input.a as input.b\nother := [input.a, input.c]", ALL
    ),
    "other data": Hiding("decision := x if x := data.x with data.x as input.a", ALL),
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
        "decision := is_array(f(input.a))\nf(x) := y if some y in x\n", names(a=True)
    ),
    "get": Hiding('decision := object.get(input, "a", "no")', names(a=True)),
    "get below": Hiding(
        'decision := object.get(input.a, ["b", "c"], "no")', names(a=names(b=names(c=True)))
    ),
    "get by a list of keys": Hiding('decision := object.get(input.a, input.b, "no")', "?"),
    "get by a key": Hiding(
        "decision := {object.get(input.a, k, 1) | some k in input.b}", names(a=True, b=True)
    ),
    "get of some": Hiding(
        'decision := [object.get(input, ["a", k], 1) | some k in ["b", "c"]]',
        names(a=names(b=True, c=True)),
    ),
    "get a default": Hiding(
        'decision := object.get(input.a, "b", input.c).x',
        names(a=names(b=names(x=True)), c=names(x=True)),
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
        "decision := [x, z] if [x, _, z] := input.a", names(a=True)
    ),
    "the ends of nested arrays": Hiding(
        "decision := {x | some y in input.a; some z in y; some x in z.a}",
        names(
            a={"keys": True, "each": {"keys": True, "each": names(a=True)}}
        ),
    ),
    "an object taken apart": Hiding(
        'decision := x if {"a": x, "b": _} := input.a',
        names(a={"keys": True, **names(a=True, b={})}),
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
        names(a=True, b=True),
    ),
    "the rest of the package": Hiding(
        "decision := data.rules.PACKAGE.a", names(a=names(x=True))
    ),
}  # fmt: skip
OTHERS: Final = """\
package rules.PACKAGE.{name}

p := input.{name}.x
"""


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
            if "500" not in str(error):
                raise
            return "failed"

    def different(self, name: str, found: Dependencies, rng: random.Random, tries: int) -> Any:
        """Two documents of one projection with different decisions, or None if none is found."""
        part = Projection(found)
        asked = []
        for _ in range(tries):
            one = drawn(rng)
            read = json.loads(part(one))
            asked += [(one, other) for other in [one, read, *equal_ones(one, part, rng, 4)]]
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
        found = {key: value(depth - 1) for key in "abcx" if rng.random() < 0.7}
        if rng.random() < 0.3:
            found["c"] = found["b"] = value(depth - 1)
        return found

    found = {key: value(3) for key in "abcx" if rng.random() < 0.85}
    if rng.random() < 0.3:
        found["b"] = copy.deepcopy(found.get("a"))
    if rng.random() < 0.3:
        found["c"] = rng.choice("ab")
    return found


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
    assert small.different(name, found, random.Random(seed), 8) is None


DEFECTS: Final[dict[str, tuple[str, str, list[str]]]] = {
    "negations are not looked into": ("NotStmt", "", ["not", "not a function"]),
    "nested blocks are not looked into": ("BlockStmt", "", ["a comprehension", "an else chain"]),
    "calls by name are left out": ("CallDynamicStmt", "", ["a rule by the input's name"]),
    "inserting reads nothing": ("ObjectInsertStmt", "", ["a value as a key"]),
    "adding to a set reads nothing": ("SetAddStmt", "", ["a partial rule"]),
    "equality reads nothing": ("EqualStmt", "", ["the equality of two parts"]),
    "a changed input is the same": ("WithStmt", "", ["another input of a part"]),
    "keys are not read": ("", "read_keys", ["how many", "in keys"]),
    "kinds are not read": ("", "look_at", ["the kind of a value"]),
    "a second assignment is not compared": (
        "",
        "_compared",
        ["two values that must be equal", "one value of many"],
    ),
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_defect_of_the_analysis_is_found(
    small: Small, monkeypatch: pytest.MonkeyPatch, defect: str
) -> None:
    statement, function, hiding = DEFECTS[defect]
    if statement:
        monkeypatch.setitem(dependencies._STATEMENTS, statement, lambda *_: None)
    elif function == "_compared":
        monkeypatch.setattr(dependencies, function, lambda _: set())
    else:
        monkeypatch.setattr(dependencies._Analysis, function, lambda *_: None)
    analysed = [(name, small.dependencies(name)) for name in hiding]
    assert not any(found.reads.whole for _, found in analysed)
    assert any(small.different(name, found, random.Random(1), 100) for name, found in analysed)


def test_what_is_not_understood_is_everything(small: Small) -> None:
    entrypoint = "small/of_a_value/decision"
    assert not dependencies_of(small.plan, entrypoint, ()).reads.whole
    for kind in ("ReturnLocalStmt", "DotStmt", "CallStmt"):
        text = json.dumps(small.plan).replace(f'"type": "{kind}"', '"type": "Unheard"')
        found = dependencies_of(json.loads(text), entrypoint, ())
        assert found.reads == WHOLE
        assert found.timeless == ()
    some_broken: list[Any] = [None, [], {}, {"static": {}}, {**small.plan, "funcs": [1]}]
    for broken in some_broken:
        assert dependencies_of(broken, entrypoint) == UNKNOWN
    for lost in ("small/unheard/decision", ""):
        assert dependencies_of(small.plan, lost).reads == WHOLE


def test_what_is_read_is_the_same_after_json(of_shipped: Dependencies) -> None:
    assert Dependencies.from_json(json.loads(json.dumps(of_shipped.to_json()))) == of_shipped
    assert of_shipped.of_operation["container.create"] != of_shipped.reads


KNOWN: Final[dict[str, Any]] = {
    "reads": {}, "of_operation": {}, "timeless": [], "varying": [],
}  # fmt: skip


@pytest.mark.parametrize(
    "broken",
    [
        None,
        {},
        {"reads": True},
        KNOWN | {"reads": 1},
        KNOWN | {"reads": {"some": True}},
        KNOWN | {"reads": {"names": []}},
        KNOWN | {"reads": {"each": {"keys": 1}}},
        KNOWN | {"of_operation": {"a": 1}},
        KNOWN | {"of_operation": []},
        KNOWN | {"timeless": 0},
        KNOWN | {"varying": "time.now_ns"},
    ],
)
def test_nothing_is_remembered_under_a_broken_description(broken: Any) -> None:
    assert Dependencies.from_json(KNOWN) != UNKNOWN
    assert Dependencies.from_json(broken) == UNKNOWN
    assert UNKNOWN.varying


def test_each_function_of_opa_is_known_to_be_deterministic_or_not(opa: binary.Opa) -> None:
    known = json.loads(opa.run("capabilities", "--current").stdout)["builtins"]
    varying = {one["name"] for one in known if one.get("nondeterministic")}
    others = {one["name"] for one in known} - varying
    assert not DETERMINISTIC & varying
    assert others - DETERMINISTIC == {
        "crypto.x509.parse_and_verify_certificates",
        "crypto.x509.parse_and_verify_certificates_with_options",
        "internal.print",
        "internal.test_case",
        "print",
        "providers.aws.sign_req",
        "rego.metadata.chain",
        "rego.metadata.rule",
        "trace",
    }
    assert others >= DETERMINISTIC


def test_a_policy_with_a_clock_is_not_remembered(opa: binary.Opa, tmp_path: Path) -> None:
    rego = "package docker.authz\n\ndecision := [input.a, time.now_ns()]\n"
    (tmp_path / "clock").mkdir()
    (tmp_path / "clock/clock.rego").write_text(rego)
    plan = plan_of(opa, tmp_path / "clock", [ENTRYPOINT], tmp_path / "plan.tar.gz")
    found = dependencies_of(plan)
    assert found.varying == ("time.now_ns",)


# Copies.


@pytest.mark.parametrize(
    ("reads", "different", "equal"),
    [
        (names(a={}), [{}, {"a": 1}, {"a": None}, {"a": {}}, {"a": []}], [{"a": [1]}, {"a": [2]}]),
        (names(a={}), [{"a": ""}, {"a": "[]"}, {"a": False}], [{"a": {"b": 1}}, {"a": {"c": 1}}]),
        (
            names(a=names(b=True, c=True)),
            [{"a": {"b": 1}}, {"a": {"c": 1}}, {"a": {"b": 1, "c": 1}}, {"a": [1, 1]}, {"a": 1}],
            [{"a": {"b": 1, "x": 1}}, {"a": {"b": 1}}],
        ),
        (
            names(a=KEYS),
            [{"a": {"b": 1}}, {"a": {"c": 1}}, {"a": {}}, {"a": []}, {"a": [1]}, {"a": "b"}],
            [{"a": [1, {}]}, {"a": [{}, 1]}],
        ),
        (
            names(a={"keys": True, "each": names(b=names(c=True))}),
            [{"a": [{"b": {"c": 1}}]}, {"a": [{"b": {}}]}, {"a": [{"b": []}]}, {"a": [{}]}],
            [{"a": [{"b": {"c": [1], "d": 1}}, 1]}, {"a": [{"b": {"c": [1]}, "x": 1}, 1]}],
        ),
        (
            names(a={"keys": True, "names": names(b=True)["names"], "each": names(c=True)}),
            [{"a": {"b": 1}}, {"a": {"b": 2}}, {"a": {"d": {"c": 1}}}, {"a": {"d": {"c": 2}}}],
            [{"a": {"d": {"c": 1, "e": 1}}}, {"a": {"d": {"c": 1}}}],
        ),
        (
            names(**{"": True, "a": {}}),
            [{"": None}, {"a": []}, {"": None, "a": []}],
            [{}, {"x": 1}],
        ),
    ],
)
def test_copies_are_equal_where_everything_read_is_equal(
    reads: Any, different: list[Any], equal: list[Any]
) -> None:
    part = Projection(_of(Reads.from_json(reads)))
    assert len({part(one) for one in different}) == len(different)
    assert len({part(one) for one in equal}) == 1
    for one in [*different, *equal]:
        assert part(json.loads(part(one))) == part(one)


@pytest.mark.parametrize(
    ("document", "whole"),
    [
        ({"a": 1, "x": 1, "time": "now"}, {"a": 1, "time": "now"}),
        ({"x": 1, "time": "now"}, {"time": "now"}),
        ({"a": 1}, {"a": 1}),
        ({}, {}),
    ],
)
def test_the_time_is_added_to_a_copy(document: Any, whole: Any) -> None:
    part = Projection(_of(Reads.from_json(names(a=True, time=True))))
    assert part(document) == part({**document, "time": "later"})
    assert json.loads(with_time(part(document), document)) == whole


def test_each_operation_has_copies_of_its_own() -> None:
    of_operation = {"a": Reads.from_json(names(x=True))}
    found = _of(Reads.from_json(names(y=True)))._replace(of_operation=of_operation)
    part = Projection(found)
    of_a = {"operation": {"id": "a"}, "x": "same", "y": "ignored"}
    assert part(of_a) == part({**of_a, "y": "changed"})
    for other in ({"x": "ignored", "y": "same"}, {**of_a, "operation": {"id": []}, "y": "same"}):
        assert part(other) == part({**other, "x": "changed"})
        assert part(other) != part(of_a)
    assert part({"operation": {"id": "b"}}) != part({"operation": {"id": "c"}})


# The cache.


class Counting:
    """An engine that allows everything and counts how often it is asked."""

    times = 0

    def decide(self, document: dict[str, Any], decision_id: str = "") -> Decision:
        del document, decision_id
        self.times += 1
        return Decision(True, (), (), frozenset(), "", "", repeatable=True)  # noqa: FBT003


def test_a_decision_is_remembered_for_all_documents_of_one_projection(part: Projection) -> None:
    counting, in_force = Counting(), PolicyInForce("1", part)
    engine = CachingEngine(counting, lambda: in_force)
    for change in ({}, {"Env": ["NEW=1"]}, {"Hostname": "new"}):
        other = copy.deepcopy(DOCUMENTS["bench: create"])
        other["body"].update(change)
        engine.decide(other)
    assert counting.times == 1
    engine.decide(DOCUMENTS["bench: list"])
    assert counting.times == 2


def test_another_policy_may_read_more() -> None:
    def reading(identity: str, **names_: Any) -> PolicyInForce:
        return PolicyInForce(identity, Projection(_of(Reads.from_json(names(**names_)))))

    policies = [reading("1", a=True), reading("2", b=True), None]
    counting, current = Counting(), iter(policies)
    in_force = next(current)
    engine = CachingEngine(counting, lambda: in_force)
    for asked in ({"a": 1, "b": 1}, {"a": 1, "b": 2}):
        engine.decide(asked)
    assert counting.times == 1
    in_force = next(current)
    for asked in ({"a": 1, "b": 1}, {"a": 2, "b": 1}, {"a": 1, "b": 2}):
        engine.decide(asked)
    assert counting.times == 3
    in_force = next(current)
    for _ in range(2):
        engine.decide({"a": 1, "b": 1})
    assert counting.times == 5
