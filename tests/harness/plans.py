"""The plans that OPA compiles policies to, for tests."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from authz_plugin.engine import binary


def plan_of(opa: binary.Opa, policies: Path, entrypoints: Sequence[str], bundle: Path) -> Any:
    """The plan of the policies in a folder; ``bundle`` is the file that OPA writes it to."""
    asked = [f"--entrypoint={entrypoint}" for entrypoint in entrypoints]
    left_out = ["--ignore=*_test.rego", "--ignore=data.json"]
    done = opa.run("build", "--target=plan", *asked, *left_out, f"--output={bundle}", str(policies))
    assert done.returncode == 0, done.stdout + done.stderr
    with tarfile.open(bundle) as archive:
        plan = archive.extractfile("/plan.json")
        assert plan is not None
        return json.load(plan)
