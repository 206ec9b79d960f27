"""Every attack of the table on three engines: what comes of it alone, and what guarded."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import pytest

from tests.harness.plugin import running_plugin, wait_for
from tests.real.attacks import ATTACKS
from tests.real.attacks.row import ENGINES, POLICIES, Attack, Policy
from tests.real.scene import EXPERIMENTAL, Scene, populated_daemon

_SETTINGS: Final[dict[Policy, str]] = {
    "production": "profile: production\n",
    "devcontainer": (
        "profile: devcontainer\nmounts: {allow: [{path: /workspace}, {path: WORKSPACE}]}\n"
    ),
    "strict": (Path(__file__).parent / "attacks/strict.yaml").read_text(),
}
_CANARY: Final = "/_ping?a=1&a=2"
"""Denied by every policy, and by none else."""


@pytest.mark.parametrize("engine", ENGINES)
def test_alone_an_engine_lets_each_attack_pass_or_refuses_it_as_the_table_says(
    engine: str, tmp_path: Path
) -> None:
    with populated_daemon(engine, tmp_path) as scene:
        wrong = {attack.what: _alone(scene, engine, attack) for attack in ATTACKS}
    assert not any(wrong.values()), _listed(wrong)


def _alone(scene: Scene, engine: str, attack: Attack) -> str:
    answer = scene.send(attack)
    while "update out of sequence" in answer.text:  # the swarm changed it since we looked
        scene.refresh()
        answer = scene.send(attack)
    audit_block = scene.shows(attack, answer)
    expected = attack.alone.get(engine)
    if expected is None:
        return audit_block
    if not audit_block and expected.status < 300:
        return f"it works: {answer}"
    return "" if answer.status == expected.status else f"{expected.status} expected, {answer}"


@pytest.mark.parametrize("engine", ENGINES)
def test_guarded_each_attack_is_denied_by_its_rule_and_nothing_is_left(
    engine: str, tmp_path: Path
) -> None:
    with populated_daemon(engine, tmp_path) as scene:
        before = scene.inventory()
        for policy in POLICIES:
            wrong = _under(policy, scene, engine, tmp_path)
            assert not any(wrong.values()), f"{policy}:\n{_listed(wrong)}"
            assert scene.inventory() == before, policy


def _under(policy: Policy, scene: Scene, engine: str, folder: Path) -> dict[str, str]:
    """What is wrong with each attack on a daemon that is guarded by a policy, or empty texts."""
    name = f"opa-authz-{os.getpid()}-{engine.replace('.', '-')}-attacks-{policy}"
    socket = Path(f"/run/docker/plugins/{name}.sock")
    config = _config(policy, folder, scene.workspace)
    root = scene.dockerd.data_root
    with running_plugin(folder, f"--config={config}", socket_=socket, data_root=root) as plugin:
        scene.dockerd.reload({**EXPERIMENTAL, "authorization-plugins": [name]})
        wait_for(lambda: scene.get(_CANARY).status == 403, "dockerd to ask the plugin", 20)
        wrong = {a.what: _guarded(scene, engine, policy, name, a) for a in ATTACKS}
        scene.dockerd.reload(EXPERIMENTAL)
        wait_for(lambda: scene.get(_CANARY).status == 200, "dockerd to ask nobody", 20)
        assert "Traceback" not in plugin.log
    return wrong


def _guarded(scene: Scene, engine: str, policy: Policy, name: str, attack: Attack) -> str:
    rule, alone = attack.rule(engine, policy), attack.alone.get(engine)
    unasked = alone is not None and not alone.asks
    if rule is None and not unasked:
        return ""
    answer = scene.send(attack)
    if alone is not None and unasked:
        return "" if answer.status == alone.status else f"{alone.status} expected, {answer}"
    if answer.status != 403 or f"authorization denied by plugin {name}: " not in answer.text:
        return f"not denied: {answer.status} {answer.text[:300]}"
    return "" if f"[{rule}" in answer.text else f"not by {rule}: {answer.text}"


def _listed(wrong: dict[str, str]) -> str:
    return "\n".join(f"{what}: {problem}" for what, problem in wrong.items() if problem)


def _config(policy: Policy, folder: Path, workspace: Path) -> Path:
    config = folder / "config.yaml"
    config.write_text(_SETTINGS[policy].replace("WORKSPACE", str(workspace)))
    return config
