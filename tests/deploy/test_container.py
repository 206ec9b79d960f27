"""The files of the container image, as the real Compose reads them."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any, Final

from tests.harness.engines import cli_plugins

ROOT: Final = Path(__file__).parents[2]
FOLDER: Final = ROOT / "deploy/container"


def service() -> dict[str, Any]:
    command = [str(cli_plugins() / "docker-compose"), "config", "--format=json"]
    done = subprocess.run(command, cwd=FOLDER, capture_output=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)["services"]["opa-authz"]
    return found


def test_the_plugin_in_a_container_has_no_rights_and_no_address_but_this_hosts() -> None:
    plugin = service()
    assert plugin["read_only"] is True
    assert plugin["cap_drop"] == ["ALL"]
    assert plugin["security_opt"] == ["no-new-privileges:true"]
    assert [(port["host_ip"], port["target"]) for port in plugin["ports"]] == [("127.0.0.1", 8443)]
    assert [volume["read_only"] for volume in plugin["volumes"]] == [True]


def test_the_image_runs_as_the_user_that_the_page_names() -> None:
    (user,) = re.findall(r"^USER (\d+):\1$", (FOLDER / "Dockerfile").read_text(), re.MULTILINE)
    assert f"user {user}" in (ROOT / "docs/how-to/container.md").read_text()
    assert f"user {user}" in (FOLDER / "compose.yaml").read_text()
