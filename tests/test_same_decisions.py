"""Both engines decide alike: the short form of ``make same-decisions``."""

from __future__ import annotations

import shutil
from pathlib import Path

import orjson

from authz_plugin import policy
from authz_plugin.engine.binary import Opa
from tests.same_decisions.comparison import configurations, open_comparison
from tests.same_decisions.documents import Document
from tests.test_silent_allows import configured, create_with
from tools.policy_data import examples

EXAMPLES = [orjson.dumps(document) for document in examples().values()]


def test_both_engines_decide_alike(opa: Opa) -> None:
    some = dict(list(configurations().items())[::6])
    with open_comparison(opa, some) as comparison:
        *_, result = comparison.ask_everything(EXAMPLES)
        assert result.allowed > 20
        *_, result = comparison.ask_changed(EXAMPLES, 1000, 1)
    assert result.different == 0, "\n".join(map(str, result.differences))
    assert result.denied > 500


def test_a_label_of_several_lines_is_as_reserved_as_in_opas_server(opa: Opa) -> None:
    config = configured({"labels": {"reserved": ["reserved.*"]}})
    denied = 0
    with open_comparison(opa, {"reserving": config}) as comparison:
        for name in ("reserved.x", "reserved.x\n", "reserved.\nx", "\nreserved.x"):
            asked: Document = create_with({"Labels": {name: ""}})
            *_, result = comparison.ask_everything([orjson.dumps(asked)])
            assert result.different == 0, name
            denied += name.startswith("reserved")
            assert result.denied == denied, name


def test_a_changed_rule_is_found_with_a_small_document(opa: Opa, tmp_path: Path) -> None:
    shutil.copytree(policy.SHIPPED / policy.ROOT, tmp_path / "authz")
    file = tmp_path / "authz/decision.rego"
    text = file.read_text()
    assert text.count("count(_denials) == 0") == 1
    file.write_text(text.replace("count(_denials) == 0", "count(_denials) < 2"))
    some = {"production": configurations()["production"]}
    with open_comparison(opa, some, tmp_path / "authz") as comparison:
        *_, result = comparison.ask_everything(EXAMPLES)
        assert result.different > 0
        small = comparison.smallest(result.differences[0])
    assert small.server != small.embedded
    assert len(small.document) < 700
