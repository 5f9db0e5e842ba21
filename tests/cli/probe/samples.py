"""Reports for the tests: one of a good connection, one of a failure, one in the clear."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Final

from tests import certificates
from txtransport import Session, TransportURL
from txtransport.cli.probe.report import (
    AddressOutcome,
    AddressResult,
    FirstByte,
    ProbeReport,
    ProbeStage,
    StageTime,
    VersionResult,
)
from txtransport.errors import Diagnosis
from txtransport.tls.certificate import summarize_chain

NOW: Final = datetime(2030, 1, 1, tzinfo=timezone.utc)

_BELOW: Final = certificates.authority().intermediate("below", now=NOW)
_ISSUED: Final = _BELOW.issue("mail.example.com", "imap.example.com", now=NOW, days=90)
_SENT: Final = (_ISSUED.certificate, *_ISSUED.chain)
CHAIN: Final = summarize_chain(_SENT)

SESSION: Final = Session(
    version="TLSv1.3",
    cipher="TLS_AES_256_GCM_SHA384",
    bits=256,
    group="X25519MLKEM768",
    alpn_protocol="imap",
    server_name="mail.example.com",
    resumed=False,
    peer_certificate=_SENT[0],
    peer_chain=_SENT,
    verified=True,
)

REFUSED: Final = Diagnosis(
    "refused", "nothing listens there", "Start it", permanent=False, evidence=("seen",)
)

GOOD: Final = ProbeReport(
    TransportURL.parse("tls://mail.example.com:143?starttls=imap"),
    (
        AddressResult("2001:db8::1", AddressOutcome.FAILED, 0.25, REFUSED),
        AddressResult("192.0.2.1", AddressOutcome.CONNECTED, 11.5),
    ),
    (
        StageTime(ProbeStage.LOOK_UP, 0.0, 2.0),
        StageTime(ProbeStage.CONNECT, 2.0, 14.0),
        StageTime(ProbeStage.NEGOTIATION, 14.0, 20.0),
        StageTime(ProbeStage.HANDSHAKE, 20.0, 40.0),
    ),
    SESSION,
    CHAIN,
    FirstByte(3.5, b"* OK ready\r\n"),
    True,
    versions=(VersionResult("TLSv1.2", True), VersionResult("TLSv1.1", False, REFUSED)),
)
"""A connection that is verified."""

BAD: Final = ProbeReport(
    TransportURL.parse("tls://mail.example.com:465"),
    (AddressResult("192.0.2.1", AddressOutcome.CONNECTED, 11.5),),
    (
        StageTime(ProbeStage.LOOK_UP, 0.0, 2.0),
        StageTime(ProbeStage.CONNECT, 2.0, 14.0),
        StageTime(ProbeStage.HANDSHAKE, 14.0, 15.0),
    ),
    chain=CHAIN,
    diagnosis=Diagnosis(
        "plaintext-peer",
        "tls://mail.example.com:465: the peer speaks SMTP",
        "Use tls://mail.example.com:465?starttls=smtp on this port",
        fault="ours",
        evidence=("it sent b'220 '",),
    ),
)
"""A handshake that failed."""

CLEAR: Final = ProbeReport(
    TransportURL.parse("tcp://192.0.2.1:25"),
    (AddressResult("192.0.2.1", AddressOutcome.CONNECTED, 11.5),),
    (StageTime(ProbeStage.LOOK_UP, 0.0, 0.0), StageTime(ProbeStage.CONNECT, 0.0, 12.0)),
    first_byte=FirstByte(1.0, b"220 "),
    hint="The peer is a plain-text SMTP server. Use TLS",
)
"""A connection in the clear."""
