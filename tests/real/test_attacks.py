"""Every attack of the tables on four engines: its effect without a guard, its denial with one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from authz_plugin.errors import EndpointError
from authz_plugin.tools.attack.execution import Execution
from authz_plugin.tools.attack.verdict import Outcome
from tests.harness.engines import ENGINES
from tests.harness.guarding import asking
from tests.harness.inventory import take_inventory
from tests.harness.plugin import running_plugin
from tests.real.attacks import ATTACKS
from tests.real.attacks.model import POLICIES, AttackCase, EngineRefusal, Policy
from tests.real.populated_daemon import EXPERIMENTAL, PopulatedDaemon, populated_daemon

_SETTINGS: Final[dict[Policy, str]] = {
    "production": "profile: production\n",
    "devcontainer": (
        "profile: devcontainer\nmounts: {allow: [{path: /workspace}, {path: WORKSPACE}]}\n"
    ),
    "strict": (Path(__file__).parent / "attacks/strict.yaml").read_text(),
}
_NO_SUCCESS: Final[tuple[Outcome, ...]] = ("refused", "unclear")


@pytest.fixture(scope="module", params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def daemon(engine: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PopulatedDaemon]:
    """The daemon of both tests: the first leaves nothing, so that the second finds every object."""
    with populated_daemon(engine, tmp_path_factory.mktemp("attacks")) as running:
        yield running


def test_guarded_each_attack_is_denied_by_its_rule_and_nothing_is_left(
    daemon: PopulatedDaemon, engine: str, tmp_path: Path
) -> None:
    name = f"opa-authz-{os.getpid()}-{engine.replace('.', '-')}-attacks"
    socket, config = Path(f"/run/docker/plugins/{name}.sock"), tmp_path / "config.yaml"
    before = take_inventory(daemon.dockerd)
    config.write_text(_settings(POLICIES[0], daemon))
    options, root = (f"--config={config}",), daemon.dockerd.data_root
    with running_plugin(tmp_path, *options, socket_=socket, data_root=root) as plugin:
        for policy in POLICIES:
            config.write_text(_settings(policy, daemon))
            plugin.reload()
            assert "is not taken over" not in plugin.log
            with asking(daemon.dockerd, name, EXPERIMENTAL):
                problems = {a.title: _guarded(daemon, engine, policy, name, a) for a in ATTACKS}
            assert not any(problems.values()), f"{policy}:\n{_listed(problems)}"
            assert take_inventory(daemon.dockerd) == before, policy
        assert "Traceback" not in plugin.log


def test_unguarded_an_engine_accepts_or_rejects_each_attack_as_the_table_says(
    daemon: PopulatedDaemon, engine: str
) -> None:
    problems = {attack.title: _unguarded(daemon, engine, attack) for attack in ATTACKS}
    assert not any(problems.values()), _listed(problems)


def _unguarded(daemon: PopulatedDaemon, engine: str, attack: AttackCase) -> str:
    """Send an attack to a daemon without a plugin; return what is wrong, or an empty text."""
    try:
        execution = daemon.execute(attack)
    except EndpointError as error:
        return str(error)
    expected, result = attack.engine_refusals.get(engine), execution.result
    if expected is not None:
        return _check_refusal(expected, execution)
    proved = result.proved or attack.success_errors
    return "" if result.outcome == "succeeded" and proved else f"it does not work: {execution}"


def _check_refusal(expected: EngineRefusal, execution: Execution[AttackCase]) -> str:
    result = execution.result
    if result.outcome in _NO_SUCCESS and result.status == expected.status:
        return ""
    return f"{expected.status} expected, {execution}"


def _settings(policy: Policy, daemon: PopulatedDaemon) -> str:
    return _SETTINGS[policy].replace("WORKSPACE", str(daemon.workspace))


def _guarded(
    daemon: PopulatedDaemon, engine: str, policy: Policy, name: str, attack: AttackCase
) -> str:
    rule, refusal = attack.rule(engine, policy), attack.engine_refusals.get(engine)
    unasked = refusal is not None and not refusal.asks_plugin
    if rule is None and not unasked:
        return ""
    try:
        execution = daemon.execute(attack)
    except EndpointError as error:
        return str(error)
    result = execution.result
    if refusal is not None and unasked:
        return _check_refusal(refusal, execution)
    if result.outcome != "blocked" or result.guard != f"plugin {name}":
        return f"not denied: {execution}"
    return "" if rule in result.rules else f"not by {rule}: {execution}"


def _listed(problems: dict[str, str]) -> str:
    return "\n".join(f"{title}: {problem}" for title, problem in problems.items() if problem)
