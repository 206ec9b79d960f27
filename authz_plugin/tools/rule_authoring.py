"""Tools for authors of rules: templates, checks, tests with coverage and benchmarks.

Nothing here changes a running plugin.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from authz_plugin import policy
from authz_plugin.engine.binary import Opa
from authz_plugin.errors import PolicyError

_NAME: Final = re.compile(r"[a-z][a-z0-9_]*")
_DECISION: Final = "data.docker.authz.decision"
_BENCHMARKED: Final = (
    "container_list",
    "container_create_bind",
    "container_create_full",
    "service_create",
)

_RULE: Final = """\
# METADATA
# title: Own rules, {name}
# description: Say here what these rules are for.
package docker.authz.rules.custom_{name}

import data.docker.authz.denial

# METADATA
# title: A container must have a name
# description: Say here why. This rule is an example, put yours in its place.
# custom:
#   id: custom.{id}
denials contains denial.of(
	"custom.{id}", "query.name", null,
	"a container without a name is not allowed",
	"docker run --name NAME",
) if {{
	input.operation.id == "container.create"
	not _named
}}

_named if input.request.query.name[0] != ""
"""

_TEST: Final = """\
package docker.authz.rules.custom_{name}_test

import data.docker.authz.examples
import data.docker.authz.rules.custom_{name}

test_denied[description] if {{
	some description, query in {{
		"no name": {{}},
		"an empty name": {{"name": [""]}},
	}}
	found := custom_{name}.denials with input as _create(query)
	{{denial.rule | some denial in found}} == {{"custom.{id}"}}
}}

test_allowed[description] if {{
	some description, request in {{
		"a name": _create({{"name": ["web"]}}),
		"something else": examples.container_list,
	}}
	found := custom_{name}.denials with input as request
	count(found) == 0
}}

_create(query) := json.patch(
	examples.container_create,
	[{{"op": "replace", "path": "/request/query", "value": query}}],
)
"""


@dataclass(frozen=True, slots=True)
class TestReport:
    """The result of the tests in a folder.

    ``passed`` is a number of test cases, ``failed`` are the names of test cases and ``uncovered``
    are the lines that no test evaluates, as ``FILE:LINE``.
    """

    passed: int
    failed: tuple[str, ...]
    uncovered: tuple[str, ...]


def new(folder: Path, name: str) -> list[Path]:
    """Write a rule and its test from templates, and return their paths.

    They are written to the folder ``custom_NAME``. Raises ``PolicyError`` if the name is not valid
    or if that folder exists.
    """
    if not _NAME.fullmatch(name):
        raise PolicyError(f"{name} is not a name: lower-case letters, digits and _")
    target = folder / f"custom_{name}"
    if target.exists():
        raise PolicyError(f"{target} is there already")
    target.mkdir(parents=True)
    words = {"name": name, "id": name.replace("_", "-")}
    files = {f"custom_{name}.rego": _RULE, f"custom_{name}_test.rego": _TEST}
    for file, template in files.items():
        (target / file).write_text(template.format_map(words))
    return [target / file for file in files]


def check(opa: Opa, folder: Path) -> list[str]:
    """Check the rules in a folder, and return one sentence for each fault.

    The checks are those of the shipped rules: format, a test file for each rule file, and the
    metadata of each denial. Raises ``PolicyError`` if the rules do not compile.
    """
    policy.rule_packages(folder, opa)
    opa.check(policy.SHIPPED / "schemas", [policy.SHIPPED / policy.ROOT, folder])
    unformatted = opa.run("fmt", "--list", "--fail", str(folder)).stdout.split()
    return [
        *(f"{file}: not formatted: `opa fmt --write {folder}`" for file in unformatted),
        *_files_without_tests(folder),
        *_annotation_faults(opa, folder),
    ]


def test(opa: Opa, folder: Path) -> TestReport:
    """Run the tests of a folder together with the shipped policies.

    Coverage is measured if no test fails. Raises ``PolicyError`` if the rules do not compile or
    the example requests are missing.
    """
    sources = [f"docker:{policy.SHIPPED / 'docker'}", str(folder), "--run", "custom_"]
    _examples()  # without them, OPA passes a test whose cases draw on them
    run = opa.run("test", *sources, "--format", "json")
    try:
        results: Sequence[Mapping[str, Any]] = json.loads(run.stdout)
    except json.JSONDecodeError:
        raise PolicyError((run.stderr or run.stdout).strip()) from None
    failed = tuple(name for result in results for name in _failures(result))
    uncovered: tuple[str, ...] = ()
    if not failed:
        coverage = opa.run("test", *sources, "--coverage", "--format", "json").stdout
        uncovered = tuple(_uncovered(json.loads(coverage), folder))
    return TestReport(sum(map(_cases, results)) - len(failed), failed, uncovered)


def bench(opa: Opa, bundle: Path) -> dict[str, float]:
    """Return the microseconds that OPA evaluates one decision, by the name of the example request.

    ``bundle`` is the folder of an assembled bundle. Raises ``PolicyError`` if OPA fails, or if the
    example requests are missing.
    """
    examples = _examples()
    costs = {}
    for name in _BENCHMARKED:
        document = bundle / "question.json"
        document.write_text(json.dumps(examples[name]))
        options = ["--bundle", str(bundle), "--input", str(document), "--format", "json"]
        run = opa.run("bench", *options, "--metrics=false", _DECISION)
        document.unlink()
        if run.returncode != 0:
            raise PolicyError((run.stderr or run.stdout).strip())
        measured = json.loads(run.stdout)
        costs[name] = measured["T"] / measured["N"] / 1000
    return costs


def _examples() -> dict[str, Any]:
    """Return the input documents of the example requests by name.

    Raises ``PolicyError`` if the file is missing: in a checkout, the build makes it.
    """
    file = policy.SHIPPED / policy.ROOT / "examples/data.json"
    try:
        examples: dict[str, Any] = json.loads(file.read_text())
    except FileNotFoundError:
        raise PolicyError(f"{file} is missing: run `make generate` in the checkout") from None
    return examples


def _cases(result: Mapping[str, Any]) -> int:
    return len(result.get("sub_results") or [None])


def _failures(result: Mapping[str, Any]) -> list[str]:
    """Return the names of the failed cases of a test."""
    if not (result.get("fail") or result.get("error")):
        return []
    name = f"{result['package'].removeprefix('data.')}.{result['name']}"
    cases = result.get("sub_results") or {}
    return [f"{name}: {case}" for case, outcome in cases.items() if outcome.get("fail")] or [name]


def _files_without_tests(folder: Path) -> list[str]:
    return [
        f"{file}: has no {file.stem}_test.rego beside it"
        for file in sorted(folder.rglob("*.rego"))
        if not file.name.endswith("_test.rego")
        and not file.with_name(f"{file.stem}_test.rego").exists()
    ]


def _annotation_faults(opa: Opa, folder: Path) -> list[str]:
    """Return the faults in the metadata of the denials in a folder."""
    inspected = json.loads(opa.run("inspect", "-a", "--format", "json", str(folder)).stdout)
    annotated = {}
    for entry in inspected.get("annotations") or []:
        if entry["annotations"]["scope"] == "rule":
            annotated[entry["location"]["file"], entry["location"]["row"]] = entry["annotations"]
    faults = []
    for file in sorted(folder.rglob("*.rego")):
        for row, line in enumerate(file.read_text().splitlines(), 1):
            if line.startswith("denials contains"):
                faults += _faults(f"{file}:{row}", annotated.get((str(file), row), {}), file)
    return faults


def _faults(place: str, annotations: Mapping[str, Any], file: Path) -> list[str]:
    id_ = annotations.get("custom", {}).get("id", "")
    missing = [name for name in ("title", "description") if not annotations.get(name)]
    faults = [f"{place}: the denial's metadata lacks its {name}" for name in missing]
    if not id_.startswith("custom."):
        faults.append(f"{place}: the denial's metadata lacks a custom.id that begins with custom.")
    elif f'"{id_}"' not in file.read_text():
        faults.append(f"{place}: no denial says {id_}, which is the metadata's id")
    return faults


def _uncovered(coverage: Mapping[str, Any], folder: Path) -> list[str]:
    return [
        f"{file}:{lines['start']['row']}"
        for file, report in coverage["files"].items()
        if Path(file).is_relative_to(folder)
        for lines in report.get("not_covered", [])
    ]
