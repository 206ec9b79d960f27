"""Who asks: what a client certificate says, read as Go reads it, or a refusal."""

from __future__ import annotations

import base64
import ipaddress
from datetime import UTC, datetime, timedelta
from typing import Final

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from authz_plugin.caller import Caller, read_caller
from authz_plugin.certificates import Certificate
from authz_plugin.errors import Refused
from authz_plugin.protocol import AuthZReq
from tests.refusals import attempt, refusal_of

KEY: Final = ec.generate_private_key(ec.SECP256R1())
END: Final = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)


def certificate(
    *names: tuple[x509.ObjectIdentifier, str], sans: list[x509.GeneralName] | None = None
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(oid, text) for oid, text in names])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority")]))
        .public_key(KEY.public_key())
        .serial_number(1)
        .not_valid_before(END - timedelta(days=1))
        .not_valid_after(END)
    )
    if sans is not None:
        builder = builder.add_extension(x509.SubjectAlternativeName(sans), critical=False)
    return builder.sign(KEY, hashes.SHA256())


def pem(made: x509.Certificate) -> str:
    return made.public_bytes(serialization.Encoding.PEM).decode()


def asked(*certificates: str, user: str = "alice", method: str = "TLS") -> AuthZReq:
    return AuthZReq(user, method, "GET", "/_ping", {}, b"", certificates)


def read(made: x509.Certificate) -> Certificate:
    (found,) = read_caller(asked(pem(made))).certificates
    return found


CN, O, OU = NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME, NameOID.ORGANIZATIONAL_UNIT_NAME  # noqa: E741
ALICE: Final = certificate((CN, "alice"), (O, "dev"), (OU, "web"), sans=[x509.DNSName("a.example")])
OTHER: Final = certificate((CN, "authority"))


def test_a_client_of_the_unix_socket_is_nobody() -> None:
    assert read_caller(asked(user="", method="")) == Caller("", "", ())


def test_a_certificate_is_read_whole() -> None:
    made = ALICE
    assert read(made) == Certificate(
        common_name="alice",
        organizations=("dev",),
        organizational_units=("web",),
        sans=("a.example",),
        sha256=made.fingerprint(hashes.SHA256()).hex(),
        not_after="2030-01-02T03:04:05+00:00",
    )


def test_the_user_is_who_dockerd_says_and_not_who_the_certificate_says() -> None:
    caller = read_caller(asked(pem(ALICE), user="mallory", method="X"))
    assert (caller.user, caller.method) == ("mallory", "X")
    assert caller.certificates[0].common_name == "alice"


def test_a_chain_keeps_its_order() -> None:
    caller = read_caller(asked(pem(ALICE), pem(OTHER)))
    assert [one.common_name for one in caller.certificates] == ["alice", "authority"]


@pytest.mark.parametrize(
    ("taken_back", "revoked"),
    [([], False), (["00"], False), ([ALICE], True), ([OTHER], True), ([ALICE, OTHER], True)],
)
def test_a_caller_is_revoked_if_any_of_its_certificates_was_taken_back(
    taken_back: list[x509.Certificate | str],
    revoked: bool,
) -> None:
    prints = frozenset(
        one if isinstance(one, str) else one.fingerprint(hashes.SHA256()).hex()
        for one in taken_back
    )
    caller = read_caller(asked(pem(ALICE), pem(OTHER)), lambda: prints)
    assert caller.revoked is revoked
    assert [one.common_name for one in caller.certificates] == ["alice", "authority"]


def test_of_several_common_names_the_last_counts_as_for_go() -> None:
    assert read(certificate((CN, "first"), (CN, "last"))).common_name == "last"


def test_organizations_and_units_are_all_kept_in_order() -> None:
    found = read(certificate((O, "b"), (CN, "x"), (O, "a"), (OU, "2"), (OU, "1")))
    assert found.organizations == ("b", "a")
    assert found.organizational_units == ("2", "1")


def test_a_certificate_without_names_has_empty_ones() -> None:
    found = read(certificate())
    assert (found.common_name, found.organizations, found.sans) == ("", (), ())
    assert found.organizational_units == ()


def test_every_sort_of_alternative_name_is_text() -> None:
    sans: list[x509.GeneralName] = [
        x509.DNSName("*.example"),
        x509.IPAddress(ipaddress.ip_address("::1")),
        x509.RFC822Name("a@example"),
        x509.UniformResourceIdentifier("spiffe://x/y"),
        x509.RegisteredID(x509.ObjectIdentifier("1.2.3")),
        x509.DirectoryName(x509.Name([x509.NameAttribute(CN, "d")])),
        x509.OtherName(x509.ObjectIdentifier("1.2.3"), b"\x05\x00"),
    ]
    found = read(certificate((CN, "x"), sans=sans)).sans
    assert found[:4] == ("*.example", "::1", "a@example", "spiffe://x/y")
    assert len(found) == 7
    assert all(isinstance(name, str) for name in found)


@pytest.mark.parametrize("name", ["é", "a\nb", "\x1b[2J", "a,CN=root", "漢字"])
def test_a_name_is_kept_as_it_is(name: str) -> None:
    assert read(certificate((CN, name), (O, name))).common_name == name
    assert read(certificate((CN, name), (O, name))).organizations == (name,)


BLOCK: Final = pem(ALICE)
DER: Final = ALICE.public_bytes(serialization.Encoding.DER)


def armoured(der: bytes, label: str = "CERTIFICATE") -> str:
    text = base64.encodebytes(der).decode()
    return f"-----BEGIN {label}-----\n{text}-----END {label}-----\n"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "alice",
        "\ufffd",
        "\x00",
        BLOCK.splitlines()[0],
        BLOCK[: len(BLOCK) // 2],
        BLOCK.replace("CERTIFICATE", "PUBLIC KEY"),
        armoured(b""),
        armoured(b"\x30\x00"),
        armoured(DER[:-1]),
        armoured(DER + b"\x00"),
        armoured(DER.replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x09")),
        armoured(DER.replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x01")),
        armoured(DER.replace(b"\x0c\x05alice", b"\x0c\x05al\xff\xfee")),
        armoured(DER.replace(b"a.example", b"a.\xff\xfeample")),
    ],
)
def test_a_certificate_that_cannot_be_read_is_refused(text: str) -> None:
    refused = refusal_of(lambda: read_caller(asked(BLOCK, text)))
    assert (refused.rule, refused.field) == ("request.certificate", "RequestPeerCertificates")
    assert "alice" not in refused.message


def test_a_refused_certificate_stays_refused() -> None:
    for _ in range(2):
        assert refusal_of(lambda: read_caller(asked(BLOCK[:200])))
    assert read_caller(asked(BLOCK)).certificates


@given(st.text() | st.text("-BEGINCRTFAD \n=", max_size=80))
def test_any_text_is_a_certificate_or_refused(text: str) -> None:
    caller = attempt(lambda: read_caller(asked(text)))
    if isinstance(caller, Refused):
        assert caller.rule == "request.certificate"


@given(st.integers(0, len(DER) - 1), st.integers(0, 3), st.binary(max_size=3))
def test_a_certificate_with_bytes_exchanged_is_read_or_refused(
    at: int, removed: int, inserted: bytes
) -> None:
    text = armoured(DER[:at] + inserted + DER[at + removed :])
    caller = attempt(lambda: read_caller(asked(text)))
    if isinstance(caller, Refused):
        assert caller.rule == "request.certificate"
    else:
        for name in (*caller.certificates[0].organizations, *caller.certificates[0].sans):
            assert name.encode()
