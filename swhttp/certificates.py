"""The certificates that TLS clients are shown, and what they must show themselves: read, checked and read anew.

It owns what an SSL context is made of. Loaded in the master, before it becomes another user and before there are
threads; again for each reload, as whoever the master is then. What was loaded never changes: connections keep what they
have begun with.

TLS 1.2 and up, without renegotiation and compression; http/1.1 is the one protocol that is offered (ALPN).
"""

from __future__ import annotations

import binascii
import os
import re
import ssl
import sys
from typing import Any, Final

from swhttp import limits
from swhttp.errors import BadValue
from swhttp.ipc.tlsfacts import Facts, pack
from swhttp.tlssettings import Pair, TlsSettings

_VERSIONS: Final = {"TLSv1.2": ssl.TLSVersion.TLSv1_2, "TLSv1.3": ssl.TLSVersion.TLSv1_3}
_NUMBERS: Final = {"TLSv1.2": 0x0303, "TLSv1.3": 0x0304}
_KEY: Final = b"PRIVATE KEY-----"
_IN_OPENSSL: Final = re.compile(r" \(_ssl\.c:\d+\)")  # where in CPython's source an error comes from
_PEM: Final = re.compile(
    rb"^-----BEGIN ((?:X509 |TRUSTED )?CERTIFICATE)-----[ \t]*\r?\n([A-Za-z0-9+/=\s]*?)^-----END \1-----", re.MULTILINE)
"""What OpenSSL takes for a certificate. A line that has something before its dashes is a comment."""
_REQUIREMENTS: Final = {"none": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}


class Certificates:
    """Those of one loading. `context`: for new connections. Raises BadValue for what cannot be loaded."""

    def __init__(self, settings: TlsSettings) -> None:
        loaded = [(pair, *_context(settings, pair)) for pair in settings.pairs]
        self.context = loaded[0][1]
        self._named = {pair.name: context for pair, context, _ in loaded[1:]}
        self._shown = {context: leaf for _, context, leaf in loaded}
        self._ciphers = {one["name"]: one["id"] & 0xFFFF for one in self.context.get_ciphers()}
        if self._named:
            self.context.sni_callback = self._choose

    def forget(self) -> None:
        """In a child: OpenSSL overwrites the keys when it frees them. No session may be left."""
        self.context.sni_callback = None  # it refers back to this
        self._named.clear()
        self._shown.clear()
        del self.context

    def _choose(self, session: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        """The client has said which server it wants."""
        name = (name or "").lower().rstrip(".")
        found = self._named.get(name) or self._named.get("*." + name.partition(".")[2])
        if found is not None:
            session.context = found

    def facts(self, session: Any) -> bytes:
        """What the app is told of a connection, once its handshake is complete: an ssl.SSLObject's."""
        name = session.cipher()[0]
        clients, room = [], limits.MAX_CLIENT_CHAIN_BYTES
        for certificate in _chain(session):
            room -= len(certificate)
            if room < 0:
                break
            clients.append(certificate)
        return pack(Facts(
            _NUMBERS.get(session.version(), 0), self._ciphers.get(name, 0), name, self._shown[session.context],
            tuple(clients)))


def _chain(session: Any) -> list[bytes]:
    """What the client has sent, its own certificate first. Of a session that is taken up again OpenSSL knows no more
    than that one."""
    own = session.getpeercert(True)
    if own is None:
        return []
    if hasattr(session, "get_unverified_chain"):  # Python 3.13
        return list(session.get_unverified_chain() or [own])
    inner: Any = getattr(session, "_sslobj", None)
    chain = inner.get_unverified_chain() if hasattr(inner, "get_unverified_chain") else None
    return [one.public_bytes(2) for one in chain] if chain else [own]  # 2: DER


def _context(settings: TlsSettings, pair: Pair) -> tuple[ssl.SSLContext, bytes]:
    """What shows this pair, and its certificate, DER."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _VERSIONS[settings.min_version]
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.set_alpn_protocols(["http/1.1"])
    if settings.ciphers:
        try:
            context.set_ciphers(settings.ciphers)
        except ssl.SSLError:
            raise BadValue("--ssl-ciphers", f"OpenSSL knows no cipher in {settings.ciphers!r}") from None
    if settings.ca_certs:
        try:
            context.load_verify_locations(settings.ca_certs)
        except ssl.SSLError:
            raise BadValue("--ssl-ca-certs", f"there is no certificate in {settings.ca_certs!r}") from None
        except OSError as error:
            raise BadValue("--ssl-ca-certs", f"{settings.ca_certs!r}: {error.strerror}") from None
    context.verify_mode = _REQUIREMENTS[settings.cert_reqs]
    return context, _load(context, pair, settings.password)


def _load(context: ssl.SSLContext, pair: Pair, password: str) -> bytes:
    """Have OpenSSL read them. Returns the certificate itself, DER."""
    asked = False

    def answer() -> str:  # without it OpenSSL would ask at the terminal
        nonlocal asked
        asked = True
        return password

    before = _read(pair.flag, pair.certfile)
    flag = pair.flag if pair.name else "--ssl-keyfile"
    if pair.keyfile:
        try:
            os.close(os.open(pair.keyfile, os.O_RDONLY | os.O_CLOEXEC))  # OpenSSL does not say which of the two it was
        except OSError as error:
            raise BadValue(flag, f"{pair.keyfile!r}: {error.strerror}") from None
    try:
        context.load_cert_chain(pair.certfile, pair.keyfile or None, answer)
    except ssl.SSLError as error:
        where = repr(pair.keyfile or pair.certfile)
        if asked and not password:
            raise BadValue("--ssl-keyfile-password", f"the key in {where} is encrypted, and none is given") from None
        if asked:
            raise BadValue("--ssl-keyfile-password", f"it is not that of the key in {where}") from None
        if error.reason == "KEY_VALUES_MISMATCH":
            why = f"the key in {where} is not that of the certificate in {pair.certfile!r}"
            raise BadValue(pair.flag, why) from None
        if _PEM.search(before) is None:
            raise BadValue(pair.flag, f"there is no certificate in {pair.certfile!r}") from None
        if not pair.keyfile and _KEY not in before:
            say = f"{pair.name}={pair.certfile},KEYFILE" if pair.name else "--ssl-keyfile"
            raise BadValue(pair.flag, f"there is no key in {where}: say {say}") from None
        if pair.keyfile and _KEY not in _read(flag, pair.keyfile):
            raise BadValue(flag, f"there is no key in {where}") from None
        why = error.reason or _IN_OPENSSL.sub("", str(error))
        raise BadValue(pair.flag, f"no certificate in {pair.certfile!r}, or no key in {where}, in PEM that OpenSSL "
                       f"takes: {why}") from None
    except (OSError, ValueError) as error:  # the password is too long, for one
        raise BadValue(pair.flag, f"{pair.certfile!r}: {error}") from None
    if _read(pair.flag, pair.certfile) != before:  # what OpenSSL has is the one or the other
        raise BadValue(pair.flag, f"{pair.certfile!r} was replaced while it was read")
    try:
        return leaf_of(before)
    except ValueError as error:
        raise BadValue(pair.flag, f"{pair.certfile!r}: its certificate is not clear: {error}") from None


def _read(flag: str, path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise BadValue(flag, f"{path!r}: {error.strerror}") from None


def leaf_of(pem: bytes) -> bytes:
    """The first certificate in a file, DER. Raises ValueError."""
    found = _PEM.search(pem)
    if found is None:
        raise ValueError("no block of PEM is one")
    der = binascii.a2b_base64(found[2])
    size = 2
    if len(der) > 1 and der[1] >= 0x80:  # the length of the sequence takes so many bytes itself (X.690 §8.1.3)
        size += der[1] & 0x7F
        size += int.from_bytes(der[2:size])
    elif len(der) > 1:
        size += der[1]
    if len(der) < size:
        raise ValueError("it ends too soon")
    return der[:size]  # behind a TRUSTED one stands what OpenSSL trusts it for


def tolerate_odd_names() -> None:
    """A client may ask for a server name that is no ASCII. Python refuses the handshake, as it should, and complains
    with a traceback each time, which is no way to treat a log."""
    sys.unraisablehook = _but_odd_names


def tolerate_no_more() -> None:
    """In a child, where apps run: what they cannot raise is theirs to see."""
    sys.unraisablehook = sys.__unraisablehook__


def _but_odd_names(what: sys.UnraisableHookArgs) -> None:
    if not (isinstance(what.exc_value, UnicodeDecodeError) and isinstance(what.object, bytes)):
        sys.__unraisablehook__(what)
