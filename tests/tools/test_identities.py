"""The authority for dockerd's clients: certificates that verify, and ones that are taken back."""

from __future__ import annotations

import json
import os
import ssl
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import pytest
from cryptography import x509

from authz_plugin.errors import Refused, SetupError
from authz_plugin.revocations import Revocations
from authz_plugin.tools.identities import Identities
from tests.harness.in_process import Ended, run_command

YEAR: Final = timedelta(days=365)


@pytest.fixture
def identities(tmp_path: Path) -> Identities:
    return Identities(tmp_path / "identities")


def shake_hands(server: ssl.SSLContext, client: ssl.SSLContext, host: str) -> dict[str, str]:
    """A TLS handshake in memory; the subject that the server sees."""
    ways = [ssl.MemoryBIO() for _ in range(4)]
    ends = (
        server.wrap_bio(ways[0], ways[1], server_side=True),
        client.wrap_bio(ways[1], ways[0], server_hostname=host),
    )
    done: set[ssl.SSLObject] = set()
    while len(done) < len(ends):
        for end in ends:
            try:
                end.do_handshake()
                done.add(end)
            except ssl.SSLWantReadError:
                continue
    certificate = ends[0].getpeercert()
    assert certificate
    subject: list[tuple[tuple[str, str], ...]] = certificate["subject"]  # type: ignore[assignment]
    return {name: value for ((name, value),) in subject}


def contexts(identities: Identities, client: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    server_side = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=identities.ca)
    server_side.load_cert_chain(identities.server / "cert.pem", identities.server / "key.pem")
    server_side.verify_mode = ssl.CERT_REQUIRED
    folder = identities.folder / "clients" / client
    client_side = ssl.create_default_context(cafile=folder / "ca.pem")
    client_side.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return server_side, client_side


def test_a_clients_certificate_verifies_and_says_who_it_is(identities: Identities) -> None:
    identities.add("proxy", "traefik", YEAR, ["docker.example.com", "10.0.0.5"])
    for host in ("docker.example.com", "10.0.0.5"):
        subject = shake_hands(*contexts(identities, "proxy"), host)
        assert subject == {
            "commonName": "proxy",
            "organizationName": "opa-authz",
            "organizationalUnitName": "traefik",
        }


def test_dockerds_certificate_is_for_its_hosts_alone(identities: Identities) -> None:
    identities.add("proxy", "traefik", YEAR, ["docker.example.com"])
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(*contexts(identities, "proxy"), "other.example.com")


def test_a_clients_certificate_is_no_servers(identities: Identities) -> None:
    one = identities.add("one", "role", YEAR, ["docker.example.com"])
    identities.add("two", "role", YEAR, [])
    server_side, client_side = contexts(identities, "two")
    server_side.load_cert_chain(one.folder / "cert.pem", one.folder / "key.pem")
    with pytest.raises(ssl.SSLError):
        shake_hands(server_side, client_side, "docker.example.com")


def test_a_client_cannot_sign_for_others(identities: Identities) -> None:
    made = identities.add("one", "role", YEAR, [])
    certificate = x509.load_pem_x509_certificate((made.folder / "cert.pem").read_bytes())
    with pytest.raises(x509.ExtensionNotFound):
        certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    authority = x509.load_pem_x509_certificate(identities.ca.read_bytes())
    limits = authority.extensions.get_extension_for_class(x509.BasicConstraints)
    assert limits.critical
    assert limits.value == x509.BasicConstraints(ca=True, path_length=0)


def test_the_authority_stays_the_same(identities: Identities) -> None:
    identities.add("one", "role", YEAR, [])
    before = identities.ca.read_bytes(), (identities.server / "cert.pem").read_bytes()
    identities.add("two", "role", YEAR, [])
    assert (identities.ca.read_bytes(), (identities.server / "cert.pem").read_bytes()) == before


def test_keys_are_for_root_alone(identities: Identities) -> None:
    os.umask(0)
    try:
        identities.add("one", "role", YEAR, [])
    finally:
        os.umask(0o022)
    keys = [*identities.folder.rglob("*key.pem")]
    assert len(keys) == 3
    assert {stat.S_IMODE(key.stat().st_mode) for key in keys} == {0o600}


def test_a_list_tells_how_long_each_lasts(identities: Identities) -> None:
    identities.add("long", "a", YEAR, [])
    identities.add("short", "b", timedelta(days=3), [])
    identities.add("gone", "c", YEAR, [])
    identities.revoke("gone")
    now = datetime.now(UTC)
    states = {one.name: (one.role, one.state(now)) for one in identities.list()}
    assert states == {
        "gone": ("c", "revoked"),
        "long": ("a", "valid"),
        "short": ("b", "expires soon"),
    }
    later = now + timedelta(days=4)
    assert {one.name: one.state(later) for one in identities.list()}["short"] == "expired"


def test_a_revocation_is_seen_at_once(identities: Identities) -> None:
    kept = identities.add("kept", "role", YEAR, [])
    gone = identities.add("gone", "role", YEAR, [])
    revocations = Revocations(identities.folder)
    assert revocations.current() == frozenset()
    identities.revoke("gone")
    assert revocations.current() == {gone.sha256}
    identities.revoke("kept")
    assert revocations.current() == {gone.sha256, kept.sha256}


def test_a_name_is_free_again_but_its_certificate_stays_revoked(identities: Identities) -> None:
    first = identities.add("proxy", "role", YEAR, [])
    with pytest.raises(SetupError, match="has a certificate"):
        identities.add("proxy", "role", YEAR, [])
    with pytest.raises(SetupError, match="not a revoked client"):
        identities.forget("proxy")
    identities.revoke("proxy")
    identities.forget("proxy")
    second = identities.add("proxy", "role", YEAR, [])
    assert Revocations(identities.folder).current() == {first.sha256}
    assert second.sha256 != first.sha256


def test_a_lost_list_of_revocations_is_an_error_and_not_an_empty_list(
    identities: Identities,
) -> None:
    identities.add("one", "role", YEAR, [])
    revocations = Revocations(identities.folder)
    revocations.current()
    (identities.folder / "revoked").unlink()
    with pytest.raises(Refused, match="revoked certificates cannot be read"):
        revocations.current()


@pytest.mark.parametrize("name", ["", "../x", "a/b", "-x", "a b", "é", "x" * 65])
def test_a_name_that_would_be_a_path_is_refused(identities: Identities, name: str) -> None:
    for arguments in ((name, "role"), ("client", name)):
        with pytest.raises(SetupError, match="is not a name"):
            identities.add(*arguments, YEAR, [])
    assert not identities.folder.exists()


def test_a_host_that_is_none_is_refused(identities: Identities) -> None:
    with pytest.raises(SetupError, match="neither an address"):
        identities.add("one", "role", YEAR, ["a b"])


def run(*arguments: str) -> Ended:
    return run_command(Path.cwd(), "identity", *arguments)


def test_the_commands_make_list_and_revoke(tmp_path: Path) -> None:
    folder = f"--identities={tmp_path}/identities"
    added = run("add", "proxy", "--role=traefik", folder)
    assert added.returncode == 0, added.stderr
    for part in ("OU: traefik", '"tlsverify": true', "DOCKER_CERT_PATH", f"{tmp_path}/identities"):
        assert part in added.stdout
    assert run("revoke", "proxy", folder).returncode == 0
    (listed,) = json.loads(run("list", "--json", folder).stdout)["identities"]
    assert (listed["name"], listed["role"], listed["state"]) == ("proxy", "traefik", "revoked")
    wrong = run("revoke", "prox", folder)
    assert wrong.returncode == 1
    assert wrong.stderr == "opa-authz: there is no client prox: proxy\n"
