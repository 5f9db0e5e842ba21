"""The messages of SSL 2.0, by bytes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txtransport.tls.legacy.ssl2_messages import (
    ClientCertificate,
    ClientHello,
    ClientMasterKey,
    ErrorCode,
    RequestCertificate,
    ServerHello,
    SSL2Error,
    encode_error,
    peer_error,
)

RC4: Final = b"\x01\x00\x80"
TRIPLE_DES: Final = b"\x07\x00\xc0"
NONCE: Final = bytes(range(16))

EXAMPLES: Final[dict[str, tuple[Any, bytes]]] = {
    "CLIENT-HELLO": (
        ClientHello((RC4, TRIPLE_DES), NONCE),
        b"\x01\x00\x02\x00\x06\x00\x00\x00\x10" + RC4 + TRIPLE_DES + NONCE,
    ),
    "SERVER-HELLO": (
        ServerHello(b"cert", (RC4,), NONCE),
        b"\x04\x00\x01\x00\x02\x00\x04\x00\x03\x00\x10cert" + RC4 + NONCE,
    ),
    "CLIENT-MASTER-KEY": (
        ClientMasterKey(TRIPLE_DES, b"clear", b"encrypted", b"argument"),
        b"\x02" + TRIPLE_DES + b"\x00\x05\x00\x09\x00\x08clearencryptedargument",
    ),
    "REQUEST-CERTIFICATE": (RequestCertificate(NONCE), b"\x07\x01" + NONCE),
    "CLIENT-CERTIFICATE": (
        ClientCertificate(b"cert", b"proof"),
        b"\x08\x01\x00\x04\x00\x05certproof",
    ),
}
DECODERS: Final[dict[str, Callable[[bytes], Any]]] = {
    name: type(value).decode for name, (value, _) in EXAMPLES.items()
}


class MessageTests(SynchronousTestCase):
    """Bytes to values and back."""

    def test_messages_are_those_of_the_specification(self) -> None:
        """Each message has the bytes that the specification gives it, both ways."""
        for name, (value, data) in EXAMPLES.items():
            self.assertEqual(value.encode(), data, name)
            self.assertEqual(DECODERS[name](data), value, name)

    def test_a_message_that_is_cut_off_or_goes_on_is_refused(self) -> None:
        """Every length is held against what there is, to the byte."""
        for name, (_, data) in EXAMPLES.items():
            if name == "REQUEST-CERTIFICATE":
                continue
            wrong = [data[:size] for size in range(1, len(data))] + [data + b"\0"]
            for message in wrong:
                self.assertRaises(SSL2Error, DECODERS[name], message)

    def test_a_challenge_must_have_its_size(self) -> None:
        """16 to 32 bytes: a shorter one could be foreseen, for a longer one there is no room."""
        for size in (0, 15, 33):
            for value in (
                ClientHello((RC4,), bytes(size)),
                ServerHello(b"cert", (RC4,), bytes(size)),
                RequestCertificate(bytes(size)),
            ):
                self.assertRaises(SSL2Error, type(value).decode, value.encode())
        self.assertEqual(RequestCertificate.decode(b"\x07\x01" + bytes(32)).challenge, bytes(32))

    def test_a_cipher_kind_has_three_bytes(self) -> None:
        """A list of suites that ends within one is refused."""
        hello = b"\x01\x00\x02\x00\x04\x00\x00\x00\x10" + RC4 + b"\0" + NONCE
        self.assertRaises(SSL2Error, ClientHello.decode, hello)

    def test_a_session_id_may_be_offered_and_is_ignored(self) -> None:
        """A client that comes back begins anew; its id must have a size that ids have."""
        head = b"\x01\x00\x02\x00\x03\x00"
        hello = head + b"\x10\x00\x10" + RC4 + b"i" * 16 + NONCE
        self.assertEqual(ClientHello.decode(hello), ClientHello((RC4,), NONCE))
        wrong = head + b"\x0f\x00\x10" + RC4 + b"i" * 15 + NONCE
        self.assertRaises(SSL2Error, ClientHello.decode, wrong)

    def test_a_session_that_was_not_asked_for_is_refused(self) -> None:
        """A server that claims to resume would make do without its certificate."""
        hit = b"\x04\x01\x00\x00\x02\x00\x00\x00\x00\x00\x10" + NONCE
        error = self.assertRaises(SSL2Error, ServerHello.decode, hit)
        self.assertEqual(error.reason, "ssl session id is different")

    def test_only_certificates_of_x509_are_known(self) -> None:
        """Another type of certificate is answered with the error that there is for it."""
        hello = b"\x04\x00\x02\x00\x02\x00\x04\x00\x03\x00\x10cert" + RC4 + NONCE
        shown = b"\x08\x02\x00\x04\x00\x05certproof"
        for decode, message in ((ServerHello.decode, hello), (ClientCertificate.decode, shown)):
            error = self.assertRaises(SSL2Error, decode, message)
            self.assertEqual(error.code, ErrorCode.UNSUPPORTED_CERTIFICATE_TYPE)

    def test_other_versions_are_refused(self) -> None:
        """A hello for SSL 3.0 or TLS is named as such; version 1 and others are not known."""
        data = EXAMPLES["CLIENT-HELLO"][1]
        for version, reason in (
            (b"\x03\x00", "peer speaks ssl 3.0 or tls"),
            (b"\x03\x03", "peer speaks ssl 3.0 or tls"),
            (b"\x00\x01", "unsupported protocol"),
            (b"\x02\x00", "unsupported protocol"),
        ):
            hello = data[:1] + version + data[3:]
            error = self.assertRaises(SSL2Error, ClientHello.decode, hello)
            self.assertEqual(error.reason, reason)

    def test_errors_are_those_of_the_specification(self) -> None:
        """An ERROR message is put into OpenSSL's words; one with another number, too."""
        self.assertEqual(encode_error(ErrorCode.BAD_CERTIFICATE), b"\x00\x00\x04")
        for message, words in (
            (b"\x00\x00\x01", "peer error no cipher"),
            (b"\x00\x00\x02", "peer error no certificate"),
            (b"\x00\x00\x04", "peer error certificate"),
            (b"\x00\x00\x06", "peer error unsupported certificate type"),
            (b"\x00\x12\x34", "peer error"),
            (b"\x00\x00", ""),
            (b"\x00\x00\x01\x00", ""),
            (b"\x01\x00\x01", ""),
        ):
            self.assertEqual(peer_error(message), words)

    @given(st.sampled_from(sorted(DECODERS)), st.binary(max_size=80))
    def test_any_bytes_are_a_message_or_an_error(self, name: str, data: bytes) -> None:
        """Nothing that a peer sends raises another exception; what is read says the same."""
        first = EXAMPLES[name][1][:1]
        try:
            value = DECODERS[name](first + data)
        except SSL2Error:
            return
        again = DECODERS[name](value.encode())
        self.assertEqual(again, value)
