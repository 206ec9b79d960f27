"""Requests and policies of increasing size."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from tests.bench import cases

_BODIES: Final = {"1 KB": 1, "16 KB": 16, "256 KB": 256, "1 MB": 1024, "4 MB": 4000}
"""The sizes of bodies in kilobytes; dockerd sends at most 4 MiB."""

_COUNTS: Final = (1, 10, 100, 1000)
_RULES: Final = (1, 10, 50)

_RULE: Final = """\
package docker.authz.rules.custom_n{number}

import data.docker.authz.denial

denials contains denial.of("custom.n{number}", "Image", null, "not this image", "") if {{
\tinput.operation.id == "container.create"
\tinput.body.Image == "forbidden:{number}"
}}
"""


def requests() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield creates of increasing size, each with a description."""
    for name, kilobytes in _BODIES.items():
        yield f"a body of {name}", cases.create_case({"Env": ["SETTING=" + "v" * 1012] * kilobytes})
    for count in _COUNTS:
        binds = [f"/workspace/{n}:/data/{n}" for n in range(count)]
        noun = "mount" if count == 1 else "mounts"
        yield f"{count} {noun}", cases.create_case({"HostConfig": {"Binds": binds}})


def policies(config: str, folder: Path) -> Iterator[tuple[str, str]]:
    """Yield settings with policies of increasing size, each with a description.

    Files with rules are written to ``folder``.
    """
    for count in _COUNTS[1:]:
        when = {"image": "debugger:1"}
        exceptions = [
            {
                "rule": "capabilities.add",
                "value": f"NONE_{n}",
                "when": when,
                "expires": "2099-12-31",
                "reason": "bench",
            }
            for n in range(count)
        ]
        yield f"{count} exceptions", f"{config}exceptions: {json.dumps(exceptions)}\n"
    for count in _COUNTS[1:]:
        roots = [{"path": f"/srv/{n}"} for n in range(count)] + [{"path": "/workspace"}]
        grown = config.replace("[{path: /workspace}]", json.dumps(roots))
        yield f"{count} allowed roots", grown
    for count in _RULES:
        own = folder / f"rules-{count}"
        for number in range(count):
            file = own / f"custom_n{number}" / f"custom_n{number}.rego"
            file.parent.mkdir(parents=True)
            file.write_text(_RULE.format(number=number))
        noun = "rule" if count == 1 else "rules"
        yield f"{count} {noun} of one's own", f"{config}policies: {own}\n"
