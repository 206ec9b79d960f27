"""The examples of docs/reference/policy-configuration.md do what the page says."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from authz_plugin import dockerd, policy, settings
from authz_plugin.caller import Caller
from authz_plugin.decision import Decision
from authz_plugin.document import input_document
from authz_plugin.enginestate import UnseenEngineState
from authz_plugin.hostpaths import LocalHostPaths
from tests.conftest import MakeEngine
from tests.generate.configuration import EXAMPLES, Asked, Example

PAGE = Path(__file__).parents[1] / "docs/reference/policy-configuration.md"


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.title)
def test_an_example_allows_and_denies_what_it_says(
    make_engine: MakeEngine, tmp_path: Path, example: Example
) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(example.yaml)
    loaded = settings.load({("config",): str(file)}, {}, policy.config_schema())
    engine = make_engine(**loaded.policy)

    def decide(asked: Asked) -> Decision:
        method, path, body = asked
        headers = {} if body is None else {"content-type": "application/json"}
        content = b"" if body is None else json.dumps(body).encode()
        request = dockerd.read(method, f"/v1.48{path}", headers, content)
        caller = Caller(example.caller, "TLS" if example.caller else "", ())
        return engine.decide(
            input_document(
                request, caller, LocalHostPaths(), datetime.now(UTC), UnseenEngineState()
            )
        )

    assert [decide(asked).denials for asked in example.allowed] == [()] * len(example.allowed)
    for rule, asked in example.denied.items():
        assert rule in {denial.rule for denial in decide(asked).denials}


def test_every_piece_of_yaml_on_the_page_is_an_example() -> None:
    pieces = PAGE.read_text().split("```yaml\n")[1:]
    assert [piece.partition("```")[0] for piece in pieces] == [e.yaml for e in EXAMPLES]
