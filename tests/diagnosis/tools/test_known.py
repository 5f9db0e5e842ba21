"""The known lines: each as its tool prints it, and the cause that it has.

The lines of curl, Node, OpenSSL, PHP, Python, Java, git and wget were printed by these
programs; the lines of Go are as in its source code.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txtransport import errors
from txtransport.diagnosis.alerts import ALERTS
from txtransport.diagnosis.error_line import normalize
from txtransport.diagnosis.explain import ALL_ROWS, SPECIFIC, explain
from txtransport.diagnosis.openssl_errors import OF_REASON
from txtransport.errors import CAUSES, FAULTS, TransportError

_QUOTED: Final = "\N{LEFT SINGLE QUOTATION MARK}localhost\N{RIGHT SINGLE QUOTATION MARK}"

LINES: Final = {
    "Node": (
        ("wrong-name", "Error [ERR_TLS_CERT_ALTNAME_INVALID]: Hostname/IP does not match "
         "certificate's altnames: Host: localhost. is not in the cert's altnames: "
         "DNS:other.example"),
        ("wrong-name", "code: 'ERR_TLS_CERT_ALTNAME_INVALID'"),
        ("expired", "npm ERR! code CERT_HAS_EXPIRED"),
        ("not-yet-valid", "    at TLSSocket.emit (node:events:536:35) CERT_NOT_YET_VALID"),
        ("self-signed", "npm ERR! code DEPTH_ZERO_SELF_SIGNED_CERT"),
        ("unknown-issuer", "npm ERR! code SELF_SIGNED_CERT_IN_CHAIN"),
        ("unknown-issuer", "npm ERR! code UNABLE_TO_VERIFY_LEAF_SIGNATURE"),
        ("unknown-issuer", "npm ERR! code UNABLE_TO_GET_ISSUER_CERT_LOCALLY"),
        ("unknown-issuer", "npm ERR! code INVALID_CA"),
        ("wrong-purpose", "npm ERR! code INVALID_PURPOSE"),
        ("revoked", "npm ERR! code CERT_REVOKED"),
        ("other", "npm ERR! code CERT_CHAIN_TOO_LONG"),
        ("other", "npm ERR! code UNABLE_TO_GET_CRL"),
        ("plaintext-peer", "Error: write EPROTO 80CCD1105C7F0000:error:0A00010B:SSL routines:"
         "ssl3_get_record:wrong version number:../deps/openssl/openssl/ssl/record/"
         "ssl3_record.c:350:"),
        ("no-common-cipher", "Error: write EPROTO 80CC43AAD37F0000:error:0A000410:SSL routines:"
         "ssl3_read_bytes:sslv3 alert handshake failure:../deps/openssl/openssl/ssl/record/"
         "rec_layer_s3.c:1601:SSL alert number 40"),
        ("client-certificate-required", "ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED"),
        ("closed", "Error: Client network socket disconnected before secure TLS connection was "
         "established"),
        ("closed", "Error: read ECONNRESET"),
        ("closed", "Error: socket hang up"),
        ("refused", "Error: connect ECONNREFUSED 127.0.0.1:1"),
        ("no-such-name", "Error: getaddrinfo ENOTFOUND nosuch.invalid"),
        ("bad-file", "ERR_OSSL_X509_KEY_VALUES_MISMATCH"),
        ("bad-file", "ERR_OSSL_PEM_NO_START_LINE"),
        ("bad-file", "ERR_OSSL_BAD_DECRYPT"),
        ("invalid-option", "ERR_SSL_NO_CIPHER_MATCH"),
        ("invalid-url", 'TypeError [ERR_INVALID_PROTOCOL]: Protocol "http:" not supported. '
         'Expected "https:"'),
        ("other", "Error: write EPROTO"),
    ),
    "curl": (
        ("wrong-name", "curl: (60) SSL: no alternative certificate subject name matches target "
         "host name 'localhost'"),
        ("wrong-name", "curl: (60) SSL: no alternative certificate subject name matches target "
         "ipv4 address '192.0.2.7'"),
        ("wrong-name", "curl: (51) SSL: certificate subject name 'anja.haxx.se' does not match "
         "target host name 'cool.haxx.se'"),
        ("wrong-name", "curl: (51) SSL: unable to obtain common name from peer certificate"),
        ("expired", "curl: (60) SSL certificate problem: certificate has expired"),
        ("not-yet-valid", "curl: (60) SSL certificate problem: certificate is not yet valid"),
        ("self-signed", "curl: (60) SSL certificate problem: self-signed certificate"),
        ("self-signed", "curl: (60) SSL certificate problem: self signed certificate"),
        ("unknown-issuer", "curl: (60) SSL certificate problem: self-signed certificate in "
         "certificate chain"),
        ("unknown-issuer", "curl: (60) SSL certificate problem: unable to get local issuer "
         "certificate"),
        ("wrong-purpose", "curl: (60) SSL certificate problem: unsuitable certificate purpose"),
        ("plaintext-peer", "curl: (35) OpenSSL/3.0.22: error:0A00010B:SSL routines::wrong version "
         "number"),
        ("no-common-cipher", "curl: (35) OpenSSL/3.0.22: error:0A000410:SSL routines::sslv3 alert "
         "handshake failure"),
        ("peer-alert", "curl: (35) OpenSSL/3.0.22: error:0A000458:SSL routines::tlsv1 "
         "unrecognized name"),
        ("client-certificate-required", "curl: (56) OpenSSL SSL_read: OpenSSL/3.0.22: error:"
         "0A00045C:SSL routines::tlsv13 alert certificate required, errno 0"),
        ("no-common-cipher", "curl: (35) OpenSSL/3.0.22: error:0A00014D:SSL routines::legacy "
         "sigalg disallowed or unsupported"),
        ("no-common-version", "curl: (35) CURL_SSLVERSION_MAX incompatible with CURL_SSLVERSION"),
        ("closed", "curl: (35) OpenSSL SSL_connect: SSL_ERROR_SYSCALL in connection to "
         "localhost:38285"),
        ("closed", "curl: (35) Recv failure: Connection reset by peer"),
        ("closed", "curl: (52) Empty reply from server"),
        ("timeout", "curl: (28) SSL connection timeout"),
        ("refused", "curl: (7) Failed to connect to 127.0.0.1 port 1 after 0 ms: Couldn't connect "
         "to server"),
        ("no-such-name", "curl: (6) Could not resolve host: nosuch.invalid"),
        ("bad-file", "curl: (58) unable to set private key file: 'b.key' type PEM"),
        ("bad-file", "curl: (58) could not load PEM client certificate from nosuch.pem, OpenSSL "
         "error error:80000002:system library::No such file or directory, (no key found, wrong "
         "pass phrase, or wrong file format?)"),
        ("bad-file", "curl: (77) error setting certificate file: nosuch"),
        ("bad-file", "curl: (77) error setting certificate verify locations"),
        ("bad-file", "curl: (82) error loading CRL file: nosuch"),
        ("invalid-option", "curl: (59) failed setting cipher list: NONSENSE"),
        ("fingerprint", "curl: (90) SSL: public key does not match pinned public key"),
        ("other", "curl: (91) No OCSP response received"),
        ("other", "curl: (1) Received HTTP/0.9 when not allowed"),
        ("tls-not-offered", "curl: (64) STARTTLS not supported."),
        ("other", "curl: (35) SSL connect error"),
        ("other", "cURL error 60:"),
        ("other", "curl: (51)"),
        ("bad-file", "cURL error 58: Problem with the local SSL certificate"),
        ("bad-file", "cURL error 77: Problem with the SSL CA cert (path? access rights?)"),
        ("other", "curl: (82) Failed to load CRL file (path? access rights?, format?)"),
        ("other", "curl: (91) SSL server certificate status verification FAILED"),
        ("unknown-issuer", "curl: (83) Issuer check against peer certificate failed"),
        ("fingerprint", "curl exited with 90"),
        ("client-certificate-required", "curl: (98) SSL Client Certificate required"),
        ("no-common-cipher", "curl: (59) Couldn't use specified SSL cipher"),
        ("invalid-option", "curl: (53) SSL Engine 'foo' not found"),
        ("closed", "curl: (56) response reading failed (errno: 115)"),
    ),
    "Python": (
        ("wrong-name", "ssl.SSLCertVerificationError: [SSL: CERTIFICATE_VERIFY_FAILED] certificate "
         "verify failed: Hostname mismatch, certificate is not valid for 'localhost'. "
         "(_ssl.c:1006)"),
        ("wrong-name", "ssl.CertificateError: hostname 'a.example' doesn't match 'b.example'"),
        ("expired", "ssl.SSLCertVerificationError: [SSL: CERTIFICATE_VERIFY_FAILED] certificate "
         "verify failed: certificate has expired (_ssl.c:1006)"),
        ("self-signed", "ssl.SSLCertVerificationError: [SSL: CERTIFICATE_VERIFY_FAILED] "
         "certificate verify failed: self-signed certificate (_ssl.c:1006)"),
        ("unknown-issuer", "ssl.SSLCertVerificationError: [SSL: CERTIFICATE_VERIFY_FAILED] "
         "certificate verify failed: unable to get local issuer certificate (_ssl.c:1006)"),
        ("other", "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed (_ssl.c:748)"),
        ("plaintext-peer", "ssl.SSLError: [SSL: WRONG_VERSION_NUMBER] wrong version number "
         "(_ssl.c:1006)"),
        ("plaintext-peer", "ssl.SSLError: [SSL: HTTP_REQUEST] http request (_ssl.c:1006)"),
        ("plaintext-peer", "ssl.SSLError: [SSL: RECORD_LAYER_FAILURE] record layer failure "
         "(_ssl.c:1006)"),
        ("no-common-version", "ssl.SSLError: [SSL: TLSV1_ALERT_PROTOCOL_VERSION] tlsv1 alert "
         "protocol version (_ssl.c:1006)"),
        ("no-common-version", "ssl.SSLError: [SSL: UNSUPPORTED_PROTOCOL] unsupported protocol "
         "(_ssl.c:1006)"),
        ("no-common-cipher", "ssl.SSLError: [SSL: SSLV3_ALERT_HANDSHAKE_FAILURE] sslv3 alert "
         "handshake failure (_ssl.c:1006)"),
        ("peer-alert", "ssl.SSLError: [SSL: TLSV1_ALERT_UNKNOWN_CA] tlsv1 alert unknown ca "
         "(_ssl.c:1006)"),
        ("client-certificate-required", "ssl.SSLError: [SSL: PEER_DID_NOT_RETURN_A_CERTIFICATE] "
         "peer did not return a certificate (_ssl.c:1006)"),
        ("closed", "ssl.SSLEOFError: [SSL: UNEXPECTED_EOF_WHILE_READING] EOF occurred in violation "
         "of protocol (_ssl.c:1006)"),
        ("closed", "ssl.SSLEOFError: EOF occurred in violation of protocol (_ssl.c:2427)"),
        ("closed", "ssl.SSLZeroReturnError: TLS/SSL connection has been closed (EOF) "
         "(_ssl.c:992)"),
        ("timeout", "socket.timeout: _ssl.c:1112: The handshake operation timed out"),
        ("no-such-name", "socket.gaierror: [Errno -2] Name or service not known"),
        ("bad-file", "ssl.SSLError: [X509: KEY_VALUES_MISMATCH] key values mismatch "
         "(_ssl.c:3926)"),
        ("bad-file", "ssl.SSLError: [SSL] PEM lib (_ssl.c:3905)"),
        ("bad-file", "ssl.SSLError: [X509: NO_CERTIFICATE_OR_CRL_FOUND] no certificate or crl "
         "found (_ssl.c:4154)"),
        ("invalid-option", "ssl.SSLError: ('No cipher can be selected.',)"),
        ("invalid-option", "ValueError: check_hostname requires server_hostname"),
        ("invalid-option", "ValueError: Cannot set verify_mode to CERT_NONE when check_hostname "
         "is enabled."),
        ("tls-not-offered", "smtplib.SMTPNotSupportedError: STARTTLS extension not supported by "
         "server."),
        ("other", "ssl.SSLError: unknown error (_ssl.c:4154)"),
    ),
    "PHP": (
        ("wrong-name", "PHP Warning:  stream_socket_client(): Peer certificate subjectAltName did "
         "not match expected name `localhost' in a.php on line 1"),
        ("wrong-name", "PHP Warning:  stream_socket_client(): Peer certificate CN=`other.example' "
         "did not match expected CN=`localhost' in a.php on line 1"),
        ("wrong-name", "Warning: stream_socket_client(): Unable to locate peer certificate CN in "
         "a.php on line 1"),
        ("fingerprint", "Warning: stream_socket_client(): peer_fingerprint match failure"),
        ("plaintext-peer", "PHP Warning:  stream_socket_client(): SSL operation failed with code "
         "1. OpenSSL Error messages:\nerror:0A00010B:SSL routines::wrong version number in "
         "Command line code on line 1"),
        ("other", "PHP Warning:  stream_socket_client(): SSL operation failed with code 1. "
         "OpenSSL Error messages:\nerror:0A000086:SSL routines::certificate verify failed in "
         "Command line code on line 1"),
        ("other", "Warning: stream_socket_client(): Failed to enable crypto in a.php on line 3"),
        ("closed", "Warning: fwrite(): SSL: Connection reset by peer in a.php on line 3"),
        ("timeout", "Warning: stream_socket_client(): SSL: Handshake timed out in a.php on line 3"),
        ("timeout", "Warning: stream_socket_accept(): Accept failed: Connection timed out"),
        ("unavailable", 'Unable to connect to TLS://localhost:1 (Unable to find the socket '
         'transport "TLS" - did you forget to enable it when you configured PHP?)'),
        ("invalid-url", 'Unable to connect to tcp://[::1:80 (Failed to parse IPv6 address '
         '"[::1:80")'),
        ("invalid-url", 'Unable to connect to tcp://localhost (Failed to parse address '
         '"localhost")'),
        ("invalid-url", "fsockopen(): The hostname must not contain null bytes"),
        ("no-such-name", "stream_socket_client(): php_network_getaddresses: getaddrinfo for fe80 "
         "failed: Name or service not known"),
        ("upgrade", "stream_socket_enable_crypto(): SSL/TLS already set-up for this stream"),
        ("unavailable", "stream_socket_enable_crypto(): This stream does not support SSL/crypto"),
        ("invalid-option", "stream_socket_enable_crypto(): Argument #3 ($crypto_method) must be "
         "specified when enabling encryption"),
        ("bad-file", "Unable to set private key file `/etc/b.key' in a.php on line 4"),
        ("bad-file", "stream_socket_enable_crypto(): Unable to set local cert chain file "
         "`junk.pem'; Check that your cafile/capath settings include details of your certificate "
         "and its issuer"),
        ("bad-file", "Failed setting local cert chain file `nosuch.pem'"),
        ("bad-file", "failed loading cafile stream: `nosuch.pem'"),
        ("bad-file", "SSL: failed loading CA names from cafile"),
        ("bad-file", "no valid certs found cafile stream: `nosuch.pem'"),
    ),
    "Go": (
        ("wrong-name", "x509: certificate is valid for a.example, b.example, not c.example"),
        ("wrong-name", "x509: certificate is not valid for any names, but wanted to match "
         "c.example"),
        ("wrong-name", "x509: cannot validate certificate for 192.0.2.7 because it doesn't contain "
         "any IP SANs"),
        ("wrong-name", "x509: certificate relies on legacy Common Name field, use SANs instead"),
        ("expired", "x509: certificate has expired or is not yet valid: current time "
         "2026-11-24T07:00:00Z is after 2026-11-01T00:00:00Z"),
        ("not-yet-valid", "x509: certificate has expired or is not yet valid: current time "
         "1970-01-01T00:00:00Z is before 2026-11-01T00:00:00Z"),
        ("unknown-issuer", "tls: failed to verify certificate: x509: certificate signed by unknown "
         "authority"),
        ("unknown-issuer", "x509: “example” certificate is not trusted"),
        ("unknown-issuer", "x509: certificate is not authorized to sign other certificates"),
        ("bad-file", "x509: failed to load system roots and no roots provided"),
        ("wrong-purpose", "x509: certificate specifies an incompatible key usage"),
        ("other", "x509: too many intermediates for path length constraint"),
        ("malformed", "tls: failed to parse certificate from server: x509: negative serial "
         "number"),
        ("malformed", "x509: malformed certificate"),
        ("plaintext-peer", "tls: first record does not look like a TLS handshake"),
        ("plaintext-peer", "http: server gave HTTP response to HTTPS client"),
        ("plaintext-peer", "tls: oversized record received with length 20527"),
        ("plaintext-peer", "tls: oversized record received with length 21024"),
        ("plaintext-peer", "tls: unsupported SSLv2 handshake received"),
        ("plaintext-peer", "Client sent an HTTP request to an HTTPS server."),
        ("other", r'net/http: malformed HTTP response "\x15\x03\x01\x00\x02\x02"'),
        ("no-common-cipher", "remote error: tls: handshake failure"),
        ("peer-alert", "remote error: tls: bad certificate"),
        ("peer-alert", "remote error: tls: unknown certificate authority"),
        ("no-common-version", "remote error: tls: protocol version not supported"),
        ("client-certificate-required", "remote error: tls: certificate required"),
        ("no-common-version", "tls: server selected unsupported protocol version 301"),
        ("no-common-version", "tls: client offered only unsupported versions: [302 301]"),
        ("no-common-version", "tls: no supported versions satisfy MinVersion and MaxVersion"),
        ("no-common-cipher", "tls: no cipher suite supported by both client and server"),
        ("no-common-protocol", "tls: client requested unsupported application protocols ([h2])"),
        ("client-certificate-required", "http: TLS handshake error from 192.0.2.7:52882: tls: "
         "client didn't provide a certificate"),
        ("other", "local error: tls: bad record MAC"),
        ("bad-file", "tls: private key does not match public key"),
        ("bad-file", "tls: failed to find any PEM data in certificate input"),
        ("invalid-option", "tls: either ServerName or InsecureSkipVerify must be specified in the "
         "tls.Config"),
        ("closed", "http: TLS handshake error from 192.0.2.7:52882: EOF"),
        ("timeout", "net/http: TLS handshake timeout"),
        ("no-such-name", "dial tcp: lookup nosuch.invalid: no such host"),
        ("other", "http: TLS handshake error from 192.0.2.7:52882: something else"),
    ),
    "OpenSSL": (
        ("wrong-name", "verify error:num=62:hostname mismatch"),
        ("wrong-name", "Verify return code: 64 (IP address mismatch)"),
        ("expired", "verify error:num=10:certificate has expired"),
        ("not-yet-valid", "verify error:num=9:certificate is not yet valid"),
        ("self-signed", "Verify return code: 18 (self-signed certificate)"),
        ("unknown-issuer", "Verify return code: 19 (self-signed certificate in certificate chain)"),
        ("unknown-issuer", "Verify return code: 20 (unable to get local issuer certificate)"),
        ("unknown-issuer", "Verify return code: 21 (unable to verify the first certificate)"),
        ("unknown-issuer", "Verify return code: 2 (unable to get issuer certificate)"),
        ("unknown-issuer", "Verify return code: 79 (invalid CA certificate)"),
        ("wrong-purpose", "Verify return code: 26 (unsuitable certificate purpose)"),
        ("revoked", "Verify return code: 23 (certificate revoked)"),
        ("malformed", "Verify return code: 41 (invalid or inconsistent certificate extension)"),
        ("malformed", "Verify return code: 53 (unsupported or invalid name syntax)"),
        ("malformed", "verify error:num=14:format error in certificate's notAfter field"),
        ("other", "Verify return code: 22 (certificate chain too long)"),
        ("other", "Verify return code: 3 (unable to get certificate CRL)"),
        ("other", "Verify return code: 12 (CRL has expired)"),
        ("other", "Verify return code: 66 (EE certificate key too weak)"),
        ("other", "Verify return code: 68 (CA signature digest algorithm too weak)"),
        ("plaintext-peer", "4097502CA07F0000:error:0A00010B:SSL routines:ssl3_get_record:wrong "
         "version number:../ssl/record/ssl3_record.c:350:"),
        ("plaintext-peer", "140735:error:1408F10B:SSL routines:ssl3_get_record:wrong version "
         "number:ssl3_record.c:332:"),
        ("plaintext-peer", "error:140770FC:SSL routines:SSL23_GET_SERVER_HELLO:unknown protocol"),
        ("plaintext-peer", "error:0A00009C:SSL routines::http request"),
        ("plaintext-peer", "error:0A00009B:SSL routines::https proxy request"),
        ("other", "error:0A000119:SSL routines::decryption failed or bad record mac"),
        ("closed", "4087A5E5EE7F0000:error:0A000126:SSL routines:ssl3_read_n:unexpected eof while "
         "reading:../ssl/record/rec_layer_s3.c:318:"),
        ("closed", "no peer certificate available"),
        ("closed", "write:errno=104"),
        ("refused", "40:error:8000006F:system library:BIO_connect:Connection refused:"),
        ("bad-file", "error:05800074:x509 certificate routines:X509_check_private_key:key values "
         "mismatch:"),
        ("bad-file", "error:0480006C:PEM routines::no start line"),
        ("bad-file", "Could not read client certificate private key from junk.pem"),
        ("bad-file", "error:1C800064:Provider routines::bad decrypt"),
        ("invalid-option", "error:0A0000B9:SSL routines::no cipher match"),
        ("other", "error:0A000086:SSL routines:tls_post_process_server_certificate:certificate "
         "verify failed:../ssl/statem/statem_clnt.c:1889:"),
        ("other", "SSL handshake failure"),
    ),
    "Twisted": (
        ("wrong-name", "service_identity.exceptions.VerificationError: VerificationError(errors=["
         "DNSMismatch(mismatched_id=DNS_ID(hostname=b'other.example'))])"),
        ("wrong-name", "VerificationError(errors=[IPAddressMismatch(mismatched_id=IPAddress_ID("
         "ip=IPv4Address('127.0.0.2')))])"),
        ("wrong-name", "<class 'service_identity.exceptions.VerificationError'>"),
        ("other", "OpenSSL.SSL.Error: [('SSL routines', '', 'certificate verify failed')]"),
        ("plaintext-peer", "[('SSL routines', '', 'wrong version number')]"),
        ("plaintext-peer", "[('SSL routines', '', 'http request')]"),
        ("no-common-cipher", "[('SSL routines', '', 'tls alert handshake failure')]"),
        ("no-common-cipher", "[('SSL routines', '', 'no shared cipher')]"),
        ("peer-alert", "[('SSL routines', '', 'tlsv1 alert unknown ca')]"),
        ("closed", "twisted.internet.error.ConnectionLost: Connection to the other side was lost "
         "in a non-clean fashion."),
        ("closed", "ConnectionLost('Connection lost')"),
        ("refused", "twisted.internet.error.ConnectionRefusedError: Connection was refused by "
         "other side: 111: Connection refused."),
        ("timeout", "twisted.internet.error.TimeoutError: User timeout caused connection failure."),
        ("no-such-name", "twisted.internet.error.DNSLookupError: DNS lookup failed: no results "
         "for hostname lookup: nosuch.invalid."),
    ),
    "Java": (
        ("unknown-issuer", "javax.net.ssl.SSLHandshakeException: PKIX path building failed: "
         "sun.security.provider.certpath.SunCertPathBuilderException: unable to find valid "
         "certification path to requested target"),
        ("expired", "java.security.cert.CertificateExpiredException: NotAfter: Mon Nov 23 06:57:35 "
         "UTC 2026"),
        ("not-yet-valid", "java.security.cert.CertificateNotYetValidException: NotBefore: Wed Nov "
         "25 06:57:35 UTC 2026"),
        ("wrong-name", "javax.net.ssl.SSLHandshakeException: No subject alternative DNS name "
         "matching localhost found."),
        ("wrong-name", "java.security.cert.CertificateException: No name matching localhost found"),
        ("wrong-name", "java.security.cert.CertificateException: No subject alternative names "
         "present"),
        ("wrong-purpose", "javax.net.ssl.SSLHandshakeException: Extended key usage does not permit "
         "use for TLS server authentication"),
        ("revoked", "java.security.cert.CertPathValidatorException: Certificate has been revoked"),
        ("bad-file", "java.security.InvalidAlgorithmParameterException: the trustAnchors parameter "
         "must be non-empty"),
        ("plaintext-peer", "javax.net.ssl.SSLException: Unsupported or unrecognized SSL message"),
        ("plaintext-peer", "javax.net.ssl.SSLException: Unrecognized SSL message, plaintext "
         "connection?"),
        ("no-common-cipher", "javax.net.ssl.SSLHandshakeException: Received fatal alert: "
         "handshake_failure"),
        ("no-common-version", "javax.net.ssl.SSLHandshakeException: Received fatal alert: "
         "protocol_version"),
        ("peer-alert", "javax.net.ssl.SSLHandshakeException: Received fatal alert: "
         "unrecognized_name"),
        ("no-common-version", "javax.net.ssl.SSLHandshakeException: No appropriate protocol "
         "(protocol is disabled or cipher suites are inappropriate)"),
        ("no-common-cipher", "javax.net.ssl.SSLHandshakeException: no cipher suites in common"),
        ("closed", "javax.net.ssl.SSLHandshakeException: Remote host terminated the handshake"),
        ("closed", "java.io.EOFException: SSL peer shut down incorrectly"),
        ("closed", "java.net.SocketException: Connection reset"),
        ("no-such-name", "java.net.UnknownHostException: nosuch.invalid"),
        ("other", "javax.net.ssl.SSLHandshakeException: General SSLEngine problem"),
    ),
    "GnuTLS": (
        ("unknown-issuer", "fatal: unable to access 'https://localhost:37569/': server certificate "
         "verification failed. CAfile: /etc/ssl/certs/ca-certificates.crt CRLfile: none"),
        ("unknown-issuer", f"ERROR: The certificate of {_QUOTED} doesn't have a known issuer."),
        ("expired", f"ERROR: The certificate of {_QUOTED} has expired."),
        ("not-yet-valid", "The certificate has not yet been activated"),
        ("wrong-name", f"The certificate's owner does not match hostname {_QUOTED}"),
        ("plaintext-peer", "fatal: unable to access 'https://localhost:37123/': gnutls_handshake() "
         "failed: An unexpected TLS packet was received."),
        ("no-common-cipher", "gnutls_handshake() failed: Handshake failed"),
        ("peer-alert", "gnutls_handshake() failed: The server name sent was not recognized"),
        ("no-common-version", "gnutls_handshake() failed: A packet with illegal or unsupported "
         "version was received."),
        ("no-common-cipher", "gnutls_handshake() failed: Could not negotiate a supported cipher "
         "suite."),
        ("closed", "gnutls_handshake() failed: The TLS connection was non-properly terminated."),
        ("closed", "gnutls_handshake() failed: Error in the pull function."),
        ("other", "GnuTLS: A TLS fatal alert has been received."),
    ),
    "nginx": (
        ("plaintext-peer", "400 The plain HTTP request was sent to HTTPS port"),
    ),
}  # fmt: skip
"""By tool: causes and lines."""


def known_lines() -> Iterator[tuple[str, str, str]]:
    """The tool, the cause and the text of each line."""
    for tool, lines in LINES.items():
        for cause, line in lines:
            yield tool, cause, line


class LineTests(SynchronousTestCase):
    """Every known line and its explanation."""

    def test_each_line_has_its_cause(self) -> None:
        """A user who pastes a known line reads the right reason."""
        for _, cause, line in known_lines():
            found = explain(line)
            self.assertEqual(found[0].diagnosis.cause if found else None, cause, line)

    def test_each_line_has_its_tool(self) -> None:
        """The tool is recognised, also where it passes OpenSSL's words on."""
        nameless = {
            "Error: read ECONNRESET", "ConnectionLost('Connection lost')", "curl: (51)",
        }  # fmt: skip
        for tool, _, line in known_lines():
            if line not in nameless:
                self.assertEqual(explain(line)[0].tool, tool, line)

    def test_more_than_60_lines_are_known(self) -> None:
        """More than 60 lines are known, and more than 10 of each of the most used tools."""
        self.assertGreater(len([*known_lines()]), 60)
        for tool in ("OpenSSL", "PHP", "Python", "Node", "Go", "curl", "Twisted"):
            self.assertGreater(len(LINES[tool]), 10, tool)

    def test_an_alert_is_known_in_every_wording(self) -> None:
        """An alert has the same explanation in each tool's words and by its number."""
        for alert in ALERTS[1:]:
            shouted = alert.name.upper().replace(" ", "_")
            lines = (
                f"[('SSL routines', '', 'tlsv1 alert {alert.name}')]",
                f"[SSL: SSLV3_ALERT_{shouted}] (_ssl.c:1006)",
                f":SSL alert number {alert.number}",
                f"error:0A{1000 + alert.number:06X}",
                f"Received fatal alert: {shouted.lower()}",
            )
            meanings = {
                line: [known.diagnosis.summary for known in explain(line)] for line in lines
            }
            for line, said in meanings.items():
                self.assertEqual(said, meanings[lines[0]], line)
                self.assertEqual(len(said), 1, line)

    def test_go_s_words_for_alerts_are_told_apart(self) -> None:
        """Go's words for one alert may begin like those for another; each has its own meaning."""
        for words, number in (
            ("unknown certificate authority", 48), ("unknown certificate", 46),
            ("bad certificate", 42), ("bad certificate status response", 113),
            ("expired certificate", 45), ("error decrypting message", 51),
        ):  # fmt: skip
            (by_words,) = explain(f"remote error: tls: {words}")
            (by_number,) = explain(f"SSL alert number {number}")
            self.assertEqual(by_words.diagnosis, by_number.diagnosis, words)


class TableTests(SynchronousTestCase):
    """The tables themselves."""

    def test_every_rule_has_a_known_line(self) -> None:
        """Each rule matches a known line, or is made from the tables of alerts and reasons."""
        lines = [normalize(" ".join(line.split())) for _, _, line in known_lines()]
        made = {rule.match.pattern for rule in SPECIFIC if _is_made(rule.match.pattern)}
        unseen = [
            rule.match.pattern
            for rule in ALL_ROWS
            if rule.match.pattern not in made
            and not any(re.search(rule.match.pattern, line) for line in lines)
        ]
        self.assertEqual(unseen, [])

    def test_each_reason_of_openssl_is_known(self) -> None:
        """What is explained for the library's own handshakes is explained for other tools too."""
        for reason, diagnosis in OF_REASON.items():
            (known,) = explain(f"error:0A000000:SSL routines::{reason}")
            if reason != "wrong version number":
                self.assertEqual(known.diagnosis.cause, diagnosis.cause, reason)
                self.assertIn(diagnosis.summary[1:], known.diagnosis.summary)

    def test_causes_and_faults_are_documented_words(self) -> None:
        """A cause is a word of the library's own errors; a fault is one of four words."""
        kinds = [kind for kind in vars(errors).values() if _is_error(kind)]
        causes = {*CAUSES, *(kind.cause for kind in kinds), "refused", "no-such-name"}
        for rule in ALL_ROWS:
            self.assertIn(rule.diagnosis.cause, causes)
            self.assertIn(rule.diagnosis.fault, FAULTS)

    def test_summaries_and_remedies_are_short_sentences(self) -> None:
        """A summary and a remedy are of one line, of 7 to 260 characters, without a full stop."""
        for rule in ALL_ROWS:
            for text in (rule.diagnosis.summary, rule.diagnosis.remedy):
                self.assertTrue(text.isprintable() and text[-1] != "." and text.strip() == text)
                self.assertTrue(7 <= len(text) <= 260, text)

    def test_no_pattern_can_take_long(self) -> None:
        """No pattern has a repetition within a repetition, or one without a bound."""
        for rule in ALL_ROWS:
            self.assertNotRegex(
                rule.match.pattern, r"[^\\][*+](?![^\[]*\])|\)[{*+]", rule.match.pattern
            )
            self.assertEqual(rule.match.pattern, rule.match.pattern.replace("_", " "))

    @given(st.sampled_from([rule.match.pattern for rule in SPECIFIC]))
    def test_patterns_have_no_capital_letters(self, pattern: str) -> None:
        """No pattern has a capital letter: normalized text has none, so it would never match."""
        self.assertNotRegex(re.sub(r"\\.|\(\?P<|_", "", pattern), "[A-Z]")


def _is_made(pattern: str) -> bool:
    alerts = (
        r"alert number|remote error: tls|received fatal alert|gnutls handshake\\\(\\\) failed: "
    )
    return re.search(rf"{alerts}|\(\?: alert\)\?|\(\?<!alert \)\w", pattern) is not None


def _is_error(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, TransportError)
