"""What follows from the metadata of a rule that ``tests/test_add_rule.py`` adds to a copy.

Runs as ``python -m tests.added_rule`` in the copy and fails for the first thing that does not know
the rule.
"""

from __future__ import annotations

from typing import Any, Final

import orjson

from authz_plugin import policy
from authz_plugin.journal.recording import recorded, restored
from authz_plugin.rules import RULES, Change
from authz_plugin.tools.compliance.controls import standard
from authz_plugin.tools.explanation.reasons import Explainer
from authz_plugin.tools.learning.proposal import Proposal, propose
from authz_plugin.tools.sandbox import Sandbox, open_sandbox
from tests.conftest import with_policy
from tests.generate.rules import rule_link, rules_pages
from tests.tools.learning.days import WARN, create, day, message

ID: Final = "containers.hostname"
REQUEST: Final = create({"Hostname": "mail"})


def main() -> None:
    assert RULES[ID].change == Change("add", ("containers", "hostnames"))
    assert ID in policy.rule_ids()
    with open_sandbox(with_policy(profile="production")) as sandbox:
        decides(sandbox)
        explains(sandbox)
    with open_sandbox(with_policy(**WARN)) as sandbox:
        records(sandbox)
        learns(sandbox)
    documents()


def decides(sandbox: Sandbox) -> None:
    assert denied(sandbox) == [ID]
    exception = {
        "rule": ID,
        "value": "mail",
        "when": {"image": "alpine:3"},
        "expires": "2099-01-01",
        "reason": "A test.",
    }
    for changes in (
        {"rules": {ID: "warn"}},
        {"exceptions": [exception]},
        {"containers": {"hostnames": ["", "mail"]}},
    ):
        assert denied(sandbox, {"profile": "production", **changes}) == []


def denied(sandbox: Sandbox, settings: dict[str, Any] | None = None) -> list[str]:
    config = None if settings is None else sandbox.configured(settings)
    record = sandbox.judge(message(REQUEST), config).record
    return [denial.rule for denial in record.denials]


def explains(sandbox: Sandbox) -> None:
    explained = Explainer(sandbox).explain("docker run", message(REQUEST))
    (reason,) = explained.reasons
    assert reason.source is not None
    assert reason.source.rule.settings == ("containers.hostnames",)
    assert reason.source.rule.remedy == "Run it without --hostname."
    assert explained.changes is not None
    assert [(change.key, change.value) for change in explained.changes] == [
        (("containers", "hostnames"), ["", "mail"])
    ]


def records(sandbox: Sandbox) -> None:
    document = sandbox.judge(message(REQUEST)).document
    assert document is not None
    form = recorded(orjson.loads(orjson.dumps(document)))
    assert form is not None
    read = restored(orjson.loads(form))
    assert read is not None
    assert read["body"]["Hostname"] == "mail"


def learns(sandbox: Sandbox) -> None:
    withheld = learned(sandbox).survey.withheld
    assert [(change.rule, change.value, change.danger) for _, change in withheld] == [
        (ID, "mail", "answers for the host's mail")
    ]
    assert learned(sandbox, ID).settings["containers"]["hostnames"] == ["mail"]


def learned(sandbox: Sandbox, *named: str) -> Proposal:
    recordings = day(sandbox, [REQUEST])
    return propose(sandbox, lambda: iter(recordings), named)


def documents() -> None:
    pages = rules_pages()
    assert f"## `{ID}`" in pages["rules/containers.md"]
    assert (
        "Setting: `containers.hostnames`. Run it without --hostname."
        in (pages["rules/containers.md"])
    )
    assert rule_link(ID, "rules/README.md") in pages["rules/README.md"]
    controls = {control.id: control.rules for control in standard("docker").controls}
    assert ID in controls["Networks"]


if __name__ == "__main__":
    main()
