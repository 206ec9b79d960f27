"""Tools for authors of rules: checks and benchmarks.

Nothing here changes a running plugin.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from authz_plugin import policy
from authz_plugin.engine.binary import Opa
from authz_plugin.errors import PolicyError
from authz_plugin.tools.rule_library import shipped_data

_DECISION: Final = "data.docker.authz.decision"
_BENCHMARKED: Final = (
    "container_list",
    "container_create_bind",
    "container_create_full",
    "service_create",
)
_COUNTED: Final = re.compile(r"^(?:error: )?(?:[^\n]*\d errors? occurred[^:\n]*:\s*)?")
"""The beginning of OPA's message about policies that do not compile."""


def check(opa: Opa, folder: Path) -> list[str]:
    """Check the rules in a folder, and return one sentence for each fault.

    The checks are those of the shipped rules: that they compile, format, a test file for each rule
    file, and the metadata of each denial. Whether the metadata is complete is not checked of rules
    that do not compile.
    """
    unusable = _compile_faults(opa, folder)
    unformatted = opa.run("fmt", "--list", "--fail", str(folder)).stdout.splitlines()
    return [
        *unusable,
        *(f"{file}: not formatted: `opa fmt --write {folder}`" for file in unformatted),
        *_files_without_tests(folder),
        *([] if unusable else _annotation_faults(opa, folder)),
    ]


def faults_of(error: PolicyError) -> list[str]:
    """Return the faults in a message about policies that do not compile. OPA quotes the source in
    indented lines below some of them."""
    lines = _COUNTED.sub("", str(error)).splitlines()
    return re.split(r"\n+(?!\s)", "\n".join(lines))


def _compile_faults(opa: Opa, folder: Path) -> list[str]:
    """Return the reasons for which the plugin could not load the rules in a folder."""
    try:
        policy.rule_packages(folder, opa)
        opa.check(policy.SHIPPED / "schemas", [policy.SHIPPED / policy.ROOT, folder])
    except PolicyError as error:
        return faults_of(error)
    return []


def bench(opa: Opa, bundle: Path) -> dict[str, float]:
    """Return the microseconds that OPA evaluates one decision, by the name of the example request.

    ``bundle`` is the folder of an assembled bundle. Raises ``PolicyError`` if OPA fails or a rule
    can send requests, and ``SetupError`` if the example requests are missing.
    """
    from authz_plugin.engine.compiled import network_calls  # noqa: PLC0415 - only here, 0.1 s

    examples = shipped_data("examples")
    sending = network_calls(opa, bundle)
    if sending:
        raise PolicyError(
            f"the policy calls {', '.join(sending)}, which can send requests: it is not measured"
        )
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
