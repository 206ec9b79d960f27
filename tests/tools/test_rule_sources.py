"""The places of rules: as OPA reads them, or as it read them when the policies were compiled."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from authz_plugin import policy
from authz_plugin.engine.binary import Opa
from authz_plugin.tools.rule_sources import lines_of, rule_sources, write_annotations


def no_opa() -> Opa:
    raise AssertionError("OPA is not needed")


@pytest.fixture
def shipped(opa: Opa, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the shipped policies, with their annotations, in place of those."""
    copy = tmp_path / "policies"
    for name in ("privileged", "mounts"):
        source = policy.SHIPPED / policy.ROOT / "rules" / name
        shutil.copytree(source, copy / policy.ROOT / "rules" / name)
    (copy / "compiled").mkdir()
    write_annotations(opa, copy)
    monkeypatch.setattr(policy, "SHIPPED", copy)
    return copy


def test_the_kept_annotations_are_those_that_opa_reads(shipped: Path, opa: Opa) -> None:
    kept = rule_sources(no_opa, [shipped / policy.ROOT])
    (shipped / "compiled/annotations.json").unlink()
    assert kept == rule_sources(lambda: opa, [shipped / policy.ROOT])
    assert kept["privileged.container"].file == str(
        shipped / policy.ROOT / "rules/privileged/privileged.rego"
    )


@pytest.mark.parametrize("damage", ["a changed policy", "half a file", "no file"])
def test_annotations_that_may_be_old_or_damaged_are_not_used(
    damage: str, shipped: Path, opa: Opa
) -> None:
    kept = shipped / "compiled/annotations.json"
    if damage == "a changed policy":
        file = shipped / policy.ROOT / "rules/privileged/privileged.rego"
        file.write_text(f"# a line more\n{file.read_text()}")
    elif damage == "half a file":
        kept.write_text(kept.read_text()[:1000])
    else:
        kept.unlink()
    with pytest.raises(AssertionError, match="OPA is not needed"):
        rule_sources(no_opa, [shipped / policy.ROOT])
    assert "privileged.container" in rule_sources(lambda: opa, [shipped / policy.ROOT])


def test_the_lines_of_a_rule_are_those_from_its_head_to_the_end_of_its_body() -> None:
    for source in rule_sources(no_opa, [policy.SHIPPED / policy.ROOT]).values():
        lines = lines_of(source)
        assert lines[0][0] == source.row
        assert f'"{source.rule.id}"' in "".join(text for _, text in lines)
        assert lines[-1][1] == "}"
        assert [text for _, text in lines if text.startswith("#")] == []
        assert all(text for _, text in lines[:-1])


def test_a_rule_whose_file_is_gone_has_no_lines(shipped: Path, opa: Opa) -> None:
    source = rule_sources(lambda: opa, [shipped / policy.ROOT])["privileged.container"]
    Path(source.file).unlink()
    assert lines_of(source) == []
