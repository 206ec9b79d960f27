"""A site with a policy of its own, which it builds, signs and pushes as its operator does."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.harness.in_process import Ended, run_command

VOLUMES: Final = "volumes: none"
OPEN_VOLUMES: Final = "volumes: read"
DENY_PINGS: Final = """\
# METADATA
# title: Versions
# description: A rule of the site.
package docker.authz.rules.custom_versions

import data.docker.authz.denial

# METADATA
# title: Nobody asks for the version
# description: The site says so.
# custom:
#   id: custom.version
denials contains denial.of("custom.version", "path", null, "not at this site", "") if {
	input.operation.id == "system.version"
}
"""

_NO_VARIABLES: Final[Mapping[str, str]] = {}


@dataclass
class Site:
    """The folder of a site: its settings, its rules and its keys.

    ``environment`` is that of the commands that build its policy.
    """

    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.folder.mkdir(exist_ok=True)
        self.key = self.new_key("site")
        self.config = self.folder / "site.yaml"
        self.rules = self.folder / "rules"
        self.built = self.folder / "bundle.tar.gz"

    @property
    def public_key(self) -> Path:
        return self.folder / "site.pub.pem"

    def new_key(self, name: str) -> Path:
        """Make a pair of keys; the private one. The public one is ``NAME.pub.pem``."""
        key = rsa.generate_private_key(65537, 2048)
        private = self.folder / f"{name}.pem"
        private.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        (self.folder / f"{name}.pub.pem").write_bytes(
            key.public_key().public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            )
        )
        return private

    def write(
        self, sections: str, rule: str = "", profile: str = "devcontainer", rest: str = ""
    ) -> None:
        """Change the policy; ``rest`` has further lines of its settings."""
        self.config.write_text(f"profile: {profile}\nsections: {{{sections}}}\n{rest}")
        self.rules.mkdir(exist_ok=True)
        file = self.rules / "custom_versions" / "custom_versions.rego"
        file.parent.mkdir(exist_ok=True)
        if rule:
            file.write_text(rule)
        else:
            file.unlink(missing_ok=True)

    def registry_fleet(self, registry: str) -> dict[str, Any]:
        """The settings of a host that fetches the policy of the group ``build`` from a registry."""
        return {
            "url": f"http://{registry}",
            "type": "oci",
            "bundle": f"{registry}/docker-policy:{{group}}",
            "labels": {"group": "build"},
            "key": str(self.public_key),
        }

    def build(self, *options: str, key: Path | None = None) -> dict[str, Any]:
        """Build and sign the policy, and push it if an option says so; what the command says."""
        rules = [f"--policies={self.rules}"] if any(self.rules.rglob("*.rego")) else []
        done = run(
            "bundle",
            f"--config={self.config}",
            "--fleet",
            f"--signing-key={key or self.key}",
            f"--output={self.built}",
            "--json",
            *rules,
            *options,
            environment=self.environment,
        )
        assert done.returncode == 0, done.stderr
        made: dict[str, Any] = orjson.loads(done.stdout)
        return made


def run(*arguments: str, environment: Mapping[str, str] = _NO_VARIABLES) -> Ended:
    """Run ``opa-authz`` in this process, with some more variables in its environment.

    The program of another version, which ``PYTHONPATH`` names, is a process of its own. The tests
    of the pages' commands run the installed program.
    """
    if "PYTHONPATH" in environment:
        done = subprocess.run(
            [Path(sys.executable).with_name("opa-authz"), *arguments],
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        return Ended(done.returncode, done.stdout, done.stderr)
    return run_command(Path.cwd(), *arguments, environment=environment)


def refused_start(config: Path) -> subprocess.CompletedProcess[str]:
    """Run ``opa-authz serve`` with settings that stop it at its start."""
    return subprocess.run(
        [Path(sys.executable).with_name("opa-authz"), "serve", f"--config={config}"],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
