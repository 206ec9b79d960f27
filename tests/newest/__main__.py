"""``make engines``: what the newest Docker has that the plugin and the ledger do not know."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Final

from tests import newest
from tests.harness import engines
from tests.harness.client import call
from tests.harness.dockerd import scratch_dockerd
from tests.harness.namespace import hide_run
from tests.harness.plugin import running_plugin
from tests.ledger import walk
from tests.real.conftest import guard_with

MOBY: Final = walk.SOURCES[walk.NEWEST].module.partition("@")[0]
PLUGIN: Final = f"opa-authz-engines-{os.getpid()}"


def main() -> int:
    """Print the differences; return 1 if there are any, or if the newest dockerd does not start."""
    parser = argparse.ArgumentParser(prog="make engines", description=__doc__)
    parser.add_argument("--moby", help=f"version of {MOBY} (the newest)")
    parser.add_argument("--api", help=f"version of {walk.NEWEST_API} (the newest)")
    parser.add_argument("--no-start", action="store_true", help="do not build and start dockerd")
    chosen = parser.parse_args()
    moby, api = (chosen.moby or _newest(MOBY)), (chosen.api or _newest(walk.NEWEST_API))
    pinned = walk.SOURCES[walk.NEWEST].module.partition("@")[2]
    print(f"{MOBY} {moby} (known: {pinned}), {walk.NEWEST_API} {api}")
    found = newest.compare(walk.source(walk.NEWEST), _folder(MOBY, moby))
    found += newest.compare_fields(_folder(walk.NEWEST_API, api))
    print(newest.report(sorted(found)) or "nothing is new")
    if found:
        print("CONTRIBUTING.md (A new Docker) says in which order to go on.")
    if chosen.no_start or os.geteuid() != 0:
        print("Whether this dockerd starts was left out; that needs root.")
        return 1 if found else 0
    return 1 if not _starts(moby) or found else 0


def _newest(module: str) -> str:
    """Return the newest version in the module proxy; pre-releases count."""
    versions = json.loads(walk.go("list", "-m", "-versions", "-json", module))["Versions"]
    return str(versions[-1])


def _folder(module: str, version: str) -> Path:
    return Path(walk.download(f"{module}@{version}")["Dir"])


def _starts(version: str) -> bool:
    """Build a dockerd, have it ask the plugin, and say whether it answers."""
    hide_run()
    engine = engines.prepare_dockerd(version)
    with tempfile.TemporaryDirectory(prefix="opa-authz-engines-") as name:
        folder = Path(name)
        config = folder / "config.yaml"
        config.write_text("profile: production\n")
        socket = Path(f"/run/docker/plugins/{PLUGIN}.sock")
        try:
            with (
                running_plugin(folder, f"--config={config}", socket_=socket),
                scratch_dockerd(engine) as dockerd,
            ):
                guard_with(dockerd, PLUGIN)
                answer = call(dockerd.socket, "GET", "/version")
        except RuntimeError as error:
            print(f"dockerd of {version} does not start under the plugin: {error}")
            return False
    api = json.loads(answer.text)["ApiVersion"]
    print(f"dockerd of {version} starts, asks the plugin and answers /version: API {api}")
    return True


if __name__ == "__main__":
    sys.exit(main())
