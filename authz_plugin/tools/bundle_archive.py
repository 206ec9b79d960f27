"""Bundles as files: written, signed by OPA, and pushed to a service or a registry."""

from __future__ import annotations

import json
import tarfile
import tempfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import requests

from authz_plugin import fleet_policy
from authz_plugin.engine.binary import OpaWhenNeeded
from authz_plugin.errors import SetupError
from authz_plugin.fleet_policy import FleetPolicy

_LIMIT: Final = 60.0
_LAYER: Final = "application/vnd.oci.image.layer.v1.tar+gzip"
_NO_TLS: Final = "WRONG_VERSION_NUMBER"
"""What OpenSSL says if the other side does not speak TLS."""

_CONFIG: Final = "application/vnd.oci.image.config.v1+json"


@dataclass(frozen=True, slots=True)
class Signing:
    """The PEM file of the private key that a bundle is signed by, and the algorithm (``RS256``)."""

    key: Path
    algorithm: str


@dataclass(frozen=True, slots=True)
class Access:
    """How a service is reached: PEM files, and a file with a bearer token; each may be None.

    ``plain_http`` is for a registry without TLS.
    """

    token_file: Path | None = None
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    plain_http: bool = False


def write_policy_bundle(
    folder: Path, output: Path, opa: OpaWhenNeeded, signing: Signing | None
) -> None:
    """Write the bundle in a folder, which OPA can load as it is, into a file; raises
    ``SetupError``."""
    if signing is not None:
        opa.find().sign(folder, signing.key, signing.algorithm)
    _write_archive(folder, output, None)


def write_fleet_bundle(
    policy: FleetPolicy, output: Path, opa: OpaWhenNeeded, signing: Signing
) -> None:
    """Write the policy of a fleet as a signed bundle; raises ``SetupError``.

    The same policy, built at the same time, makes the same file.
    """
    with tempfile.TemporaryDirectory(prefix="opa-authz-") as scratch:
        folder = Path(scratch)
        data = folder / fleet_policy.ROOT / "data.json"
        data.parent.mkdir(parents=True)
        data.write_text(json.dumps(policy.to_document(), sort_keys=True))
        manifest = {
            "revision": policy.revision,
            "roots": [fleet_policy.ROOT],
            "rego_version": 1,
            "metadata": {"made_by": policy.made_by, "at_least": policy.at_least},
        }
        (folder / ".manifest").write_text(json.dumps(manifest, sort_keys=True))
        opa.find().sign(folder, signing.key, signing.algorithm)
        _write_archive(folder, output, policy.built)


def push(file: Path, target: str, access: Access) -> str:
    """Send a bundle to ``https://host/path`` by PUT, or to ``oci://registry/name:tag``.

    Returns what names the pushed bundle in messages. Raises ``SetupError``.
    """
    scheme = urlsplit(target).scheme
    if scheme == "oci":
        return _push_to_registry(file, target.removeprefix("oci://"), access)
    if scheme in {"http", "https"}:
        return _put(file, target, access)
    raise SetupError(f"{target}: give https://host/path or oci://registry/name:tag")


def _write_archive(folder: Path, output: Path, time: datetime | None) -> None:
    """Write a folder's files as an archive; with ``time`` as that of each, and without owners."""

    def plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = ""
        if time is not None:
            entry.mtime = int(time.timestamp())
        return entry

    try:
        with tarfile.open(output, "w:gz") as archive:
            archive.add(folder, arcname="/", filter=plain)
    except OSError as error:
        raise SetupError(f"{output} cannot be written: {error.strerror}") from error


def _put(file: Path, url: str, access: Access) -> str:
    own, key = access.certificate, access.key
    certificate = None if own is None or key is None else (str(own), str(key))
    try:
        answer = requests.put(
            url,
            data=file.read_bytes(),
            headers={"Content-Type": "application/gzip", **_authorization(access)},
            verify=True if access.ca is None else str(access.ca),
            cert=certificate,
            timeout=_LIMIT,
            allow_redirects=False,
        )
    except requests.RequestException as error:
        raise SetupError(f"{url} cannot be reached: {type(error).__name__}") from error
    if not answer.ok or answer.is_redirect:
        raise SetupError(f"{url} does not take the bundle: {answer.status_code} {answer.reason}")
    return url


def _authorization(access: Access) -> dict[str, str]:
    if access.token_file is None:
        return {}
    return {"Authorization": f"Bearer {access.token_file.read_text().strip()}"}


def _push_to_registry(file: Path, reference: str, access: Access) -> str:
    """Push a bundle as an artifact that OPA can fetch, with the credentials of `docker login`."""
    import oras.client  # type: ignore[import-untyped] # noqa: PLC0415 - for registries only

    trusted = True if access.ca is None else str(access.ca)
    client: Any = oras.client.OrasClient(insecure=access.plain_http, tls_verify=trusted)
    with tempfile.TemporaryDirectory(prefix="opa-authz-") as scratch:
        config = Path(scratch, "config.json")
        config.write_text("{}")
        try:
            answer = client.push(
                target=reference,
                files=[f"{file}:{_LAYER}"],
                manifest_config=f"{config}:{_CONFIG}",
                disable_path_validation=True,
                quiet=True,
            )
        except (requests.RequestException, ValueError, OSError) as error:
            advice = " (a registry without TLS needs --plain-http)" if _NO_TLS in str(error) else ""
            raise SetupError(f"{reference} cannot be pushed: {error}{advice}") from error
    digest = answer.headers.get("Docker-Content-Digest", "")
    return f"{reference}@{digest}" if digest else reference
