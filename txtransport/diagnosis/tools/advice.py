"""The options of other tools that do what a remedy says.

A remedy names an option of txtransport, such as ``cafile=FILE``. A user of curl needs
``--cacert FILE`` instead.
"""

from __future__ import annotations

from typing import Final

__all__ = ["IN_TOOL", "in_tool"]

_TRUST: Final = {
    "OpenSSL": "-CAfile FILE",
    "curl": "--cacert FILE",
    "Python": "ssl.create_default_context(cafile=FILE)",
    "Node": "NODE_EXTRA_CA_CERTS=FILE in the environment",
    "Go": "SSL_CERT_FILE=FILE in the environment, or RootCAs in tls.Config",
    "PHP": "cafile in the context's ssl options, or openssl.cafile in php.ini",
    "Twisted": "optionsForClientTLS(hostname, trustRoot=…)",
    "Java": "keytool -importcert, and -Djavax.net.ssl.trustStore=FILE",
    "GnuTLS": "git -c http.sslCAInfo=FILE, wget --ca-certificate=FILE",
}
_NAME: Final = {
    "OpenSSL": "-servername NAME -verify_hostname NAME",
    "curl": "--connect-to NAME:PORT:ADDRESS:PORT",
    "Python": "wrap_socket(…, server_hostname=NAME)",
    "Node": "servername: NAME",
    "Go": "ServerName in tls.Config",
    "PHP": "peer_name in the context's ssl options",
    "Twisted": "optionsForClientTLS(NAME)",
}
_OWN_CERTIFICATE: Final = {
    "OpenSSL": "-cert FILE -key FILE",
    "curl": "--cert FILE --key FILE",
    "Python": "load_cert_chain(FILE, KEYFILE)",
    "Node": "cert: and key:",
    "Go": "Certificates in tls.Config",
    "PHP": "local_cert and local_pk in the context's ssl options",
    "Twisted": "optionsForClientTLS(…, clientCertificate=…)",
    "Java": "-Djavax.net.ssl.keyStore=FILE",
}
_STARTTLS: Final = {
    "OpenSSL": "-starttls smtp",
    "curl": "smtp:// with --ssl-reqd, in place of smtps://",
    "Python": "SMTP(…).starttls(context=…), in place of SMTP_SSL",
    "Node": "secure: false with requireTLS: true, in nodemailer",
    "Go": "smtp.Client's StartTLS, in place of tls.Dial",
    "PHP": "tcp://, the dialogue, then stream_socket_enable_crypto()",
    "Twisted": "ESMTPSenderFactory, or transport.startTLS() after the dialogue",
}
_VERSION: Final = {
    "OpenSSL": "-tls1_2 and the like, to try each",
    "curl": "--tlsv1.2, --tls-max 1.2",
    "Python": "minimum_version of the context",
    "Node": "minVersion:",
    "Go": "MinVersion in tls.Config",
    "PHP": "crypto_method in the context's ssl options",
    "Twisted": "raiseMinimumTo=, lowerMaximumSecurityTo= of CertificateOptions",
}

IN_TOOL: Final = {
    "starttls=smtp": _STARTTLS,
    "cafile=FILE": _TRUST,
    "peer_name=NAME": _NAME,
    "local_cert=FILE": _OWN_CERTIFICATE,
    "min_version": _VERSION,
}
"""By the option that a remedy names, then by the tool."""


def in_tool(remedy: str, tool: str) -> str:
    """A tool's own option for what a remedy says.

    Args:
        remedy: The remedy of a diagnosis in this folder's tables.
        tool: The tool's name, as in `KnownWords.tool`.

    Returns:
        What to write in that tool; empty when the remedy names no option, or the tool
        has none for it.
    """
    by_tool = next((by_tool for option, by_tool in IN_TOOL.items() if option in remedy), {})
    return by_tool.get(tool, "")
