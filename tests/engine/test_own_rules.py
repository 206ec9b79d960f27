"""Decisions with rules of the operator are remembered if these cannot depend on the time."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Final

import pytest

from authz_plugin import policy, settings
from authz_plugin.engine.binary import Opa
from authz_plugin.engine.cache import CachingEngine
from authz_plugin.engine.compiled import compile_policy
from authz_plugin.engine.dependencies import ENTRYPOINT, dependencies_of
from authz_plugin.engine.embedded import EmbeddedEngine, prepare
from authz_plugin.hostpaths import UnseenHostPaths
from tests.harness.plans import plan_of
from tools.policy_data import examples

DECISION: Final = """\
package docker.authz

decision := [denials | some name; denials := data.docker.authz.rules[name].denials]
"""
OWN: Final = """\
package docker.authz.rules.custom_own

import data.docker.authz.denial

denials contains denial.of("custom.own", "Image", null, "no", "") if {
\t%s
}

_time := input.time

_of(given) := given.time
"""


@pytest.mark.parametrize(
    ("condition", "reads_time"),
    [
        ('input.body.Image == "no"', False),
        ("input.body[input.body.Image]", False),
        ('input.time == "no"', True),
        ('_time == "no"', True),
        ('_of(input) == "no"', True),
        ("input[input.body.Image]", True),
        ("count(input) == 0", True),
        ('some part in input\n\tpart == "no"', True),
        ('{"no": 1} with input as {}', True),
    ],
)
def test_own_rules_that_may_read_the_time_are_noticed(
    condition: str, reads_time: bool, opa: Opa, tmp_path: Path
) -> None:
    (tmp_path / "decision.rego").write_text(DECISION)
    (tmp_path / "denial.rego").write_text(
        (policy.SHIPPED / policy.ROOT / "denial/denial.rego").read_text()
    )
    (tmp_path / "own.rego").write_text(OWN % condition)
    found = dependencies_of(plan_of(opa, tmp_path, [ENTRYPOINT], tmp_path / "plan.tar.gz"))
    assert found.timeless == (() if reads_time else ("custom_own",))


def test_a_decision_with_own_rules_is_remembered(opa: Opa, tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    (own / "custom_own.rego").write_text(OWN % 'input.body.Image == "no"')
    loaded = settings.load({("config",): Path("/dev/null")}, {}, policy.config_schema())
    config = policy.configuration(loaded, UnseenHostPaths())
    bundle = policy.assemble(tmp_path / "bundle", config, own, opa)
    (tmp_path / "policy").mkdir()
    compiled = compile_policy(opa, bundle.folder)
    prepare(compiled, bundle.folder, tmp_path / "policy", tmp_path / "cache")
    (tmp_path / "link").symlink_to(tmp_path / "policy")
    listed = examples()["container_list"]
    with closing(EmbeddedEngine(tmp_path / "link", bundle.packages, 10.0)) as engine:
        cached = CachingEngine(engine, engine.in_force)
        for time in ("2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z"):
            decision = cached.decide({**listed, "time": time})
            assert decision.allow
            assert "custom_own" in decision.evaluated
        assert cached.figures() == (1, 1, 1)
