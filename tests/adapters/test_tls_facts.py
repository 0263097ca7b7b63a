"""What apps are told of TLS, made of bytes: names as RFC 4514 writes them, and nothing that a certificate can break."""

from __future__ import annotations

import datetime
import ssl
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from swhttp import limits
from swhttp.adapters import tls
from swhttp.certificates import Certificates
from swhttp.ipc.tlsfacts import Facts, pack, unpack
from swhttp.tlssettings import Pair, TlsSettings
from tests.support.tls import usual

KEY = ec.generate_private_key(ec.SECP256R1())


def certificate(name: x509.Name) -> bytes:
    """One for that subject, DER."""
    now = datetime.datetime(2026, 1, 1)
    built = x509.CertificateBuilder(name, name, KEY.public_key(), 1, now, now + datetime.timedelta(1))
    return built.sign(KEY, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def one(oid: x509.ObjectIdentifier, text: str) -> x509.NameAttribute:
    return x509.NameAttribute(oid, text)


NAMES = [
    x509.Name([one(NameOID.COUNTRY_NAME, "DE"), one(NameOID.ORGANIZATION_NAME, "Bär & Söhne, \"Köln\""),
               one(NameOID.COMMON_NAME, "#1 <a+b>=c;\\ ")]),
    x509.Name([x509.RelativeDistinguishedName([one(NameOID.COMMON_NAME, " x"), one(NameOID.USER_ID, "7")])]),
    x509.Name([one(NameOID.DOMAIN_COMPONENT, "org"), one(NameOID.DOMAIN_COMPONENT, "example")]),
    x509.Name([]),
]


@pytest.mark.parametrize("name", NAMES, ids=str)
def test_a_subject_is_written_as_rfc_4514_has_it(name: x509.Name) -> None:
    assert tls.subject(certificate(name)) == name.rfc4514_string()


def test_an_attribute_without_a_short_name_is_its_number_and_its_encoding() -> None:
    name = x509.Name([one(NameOID.EMAIL_ADDRESS, "a@b")])
    assert tls.subject(certificate(name)) == "1.2.840.113549.1.9.1=#1603" + b"a@b".hex()


GOOD = certificate(NAMES[0])


@given(st.integers(0, len(GOOD) - 1), st.integers(0, 255), st.integers(0, len(GOOD)))
def test_no_certificate_breaks_it(at: int, byte: int, length: int) -> None:
    broken = bytearray(GOOD)
    broken[at] = byte
    for data in (bytes(broken), GOOD[:length]):
        found = tls.subject(data)
        assert found is None or isinstance(found, str)


@given(st.binary(max_size=200))
def test_no_bytes_break_it(data: bytes) -> None:
    assert tls.subject(data) is None or isinstance(tls.subject(data), str)


def test_facts_cross_as_they_are() -> None:
    facts = Facts(0x0304, 0x1302, "TLS_AES_256_GCM_SHA384", GOOD, (GOOD, b"x", b""))
    assert unpack(pack(facts)) == facts


class Session:
    """What an ssl.SSLObject says after a handshake."""

    def __init__(self, context: ssl.SSLContext, chain: list[bytes]) -> None:
        self.context, self._chain = context, chain

    def cipher(self) -> tuple[str, str, int]:
        return "TLS_AES_256_GCM_SHA384", "TLSv1.3", 256

    def version(self) -> str:
        return "TLSv1.3"

    def getpeercert(self, binary: bool) -> bytes | None:
        return self._chain[0] if self._chain else None

    def get_unverified_chain(self) -> list[bytes]:
        return self._chain


def test_of_a_long_chain_the_app_sees_what_fits() -> None:
    settings = TlsSettings((Pair(usual().cert, usual().key),), "", "", "none", "", "TLSv1.2")
    loaded = Certificates(settings)
    most = limits.MAX_CLIENT_CHAIN_BYTES
    session: Any = Session(loaded.context, [b"a" * (most - 10), b"b" * 10, b"c"])
    facts = unpack(loaded.facts(session))
    assert [len(found) for found in facts.clients] == [most - 10, 10]
    assert (facts.version, facts.cipher) == (0x0304, 0x1302)
    with open(usual().cert) as file:
        assert tls.pem(facts.server) in file.read()
