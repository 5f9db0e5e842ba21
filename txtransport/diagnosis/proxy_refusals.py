"""What a proxy means by the code with which it refuses, and which proxy speaks what.

A rule's match is the kind of code and the code, as `ProxyRefused` has them. ``…`` in a
remedy stands for what the proxy was asked to connect to.

Sources: RFC 9110, section 15 (HTTP); RFC 1928, sections 3 and 6, and RFC 1929 (SOCKS);
Tor's proposal 304 (the replies from 0xF0 on).
"""

from __future__ import annotations

import re
from typing import Final

from attrs import evolve

from txtransport.diagnosis.rule import Rule, indexed
from txtransport.errors import Diagnosis, ProxyRefused
from txtransport.starttls.tls_record import is_tls

__all__ = ["PLAINTEXT_PROXY", "PROXY_REFUSALS", "explain_refusal", "remedy_of_protocol"]

_TARGET: Final = "…"
_SPELLING: Final = "Is … spelt rightly, and does it run? The proxy cannot tell more"
_LATER: Final = "Try again later, or look at the proxy's log"
_RULES: Final = (
    "Have the proxy's rules allow …, or take a port that they allow: many allow CONNECT to port "
    "443 alone"
)


def _rule(
    kind: str, code: int, cause: str, fault: str, permanent: bool, summary: str, remedy: str
) -> Rule[tuple[str, int]]:
    return Rule((kind, code), Diagnosis(cause, summary, remedy, fault=fault, permanent=permanent))


PROXY_REFUSALS: Final = (
    _rule(
        "HTTP status", 400, "proxy-refused", "ours", True,
        "the proxy does not understand the request", "Is it an HTTP proxy, and not a web server?",
    ),
    _rule(
        "HTTP status", 401, "proxy-refused", "ours", True,
        "this is a web server, which wants a login of its own",
        "Is it an HTTP proxy, and not a web server?",
    ),
    _rule(
        "HTTP status", 403, "proxy-forbidden", "peer", True,
        "the proxy's rules forbid to connect there", _RULES,
    ),
    _rule(
        "HTTP status", 404, "proxy-refused", "ours", True,
        "the proxy does not know what it is asked for, or is no proxy",
        "Is it an HTTP proxy, and not a web server?",
    ),
    _rule(
        "HTTP status", 405, "proxy-refused", "ours", True,
        "CONNECT is not allowed there", "Is it an HTTP proxy, and not a web server?",
    ),
    _rule(
        "HTTP status", 407, "proxy-login", "ours", True,
        "the proxy wants a login", "Write user and password before its host: proxy=http://USER:"
        "PASSWORD@HOST:PORT",
    ),
    _rule(
        "HTTP status", 429, "proxy-busy", "ours", False,
        "the proxy has had too many requests of ours", "Connect less often",
    ),
    _rule(
        "HTTP status", 500, "proxy-failed", "peer", False,
        "the proxy itself has failed", "Look at the proxy's log",
    ),
    _rule(
        "HTTP status", 501, "proxy-refused", "ours", True,
        "there is no CONNECT there",
        "Is it an HTTP proxy? Tor's port for SOCKS answers so: write socks5h://",
    ),
    _rule(
        "HTTP status", 502, "proxy-unreachable", "network", False,
        "the proxy could not connect to …", _SPELLING,
    ),
    _rule(
        "HTTP status", 503, "proxy-unreachable", "network", False,
        "the proxy could not connect to …, or has no time now", _SPELLING,
    ),
    _rule(
        "HTTP status", 504, "proxy-unreachable", "network", False,
        "the proxy had no answer from … in time", _SPELLING,
    ),
    _rule(
        "SOCKS method", 255, "proxy-login", "ours", True,
        "the proxy takes no login of the kind that was offered",
        "With a user, a login by name and password was offered, and without one none: write "
        "USER:PASSWORD@ before its host, or leave that out",
    ),
    _rule(
        "SOCKS reply", 1, "proxy-failed", "peer", False,
        "the proxy could not connect to …, and says no more", "Look at the proxy's log",
    ),
    _rule(
        "SOCKS reply", 2, "proxy-forbidden", "peer", True,
        "the proxy's rules forbid to connect there", _RULES,
    ),
    _rule(
        "SOCKS reply", 3, "proxy-unreachable", "network", False,
        "the proxy has no route to the network of …",
        "Does the proxy's machine have addresses of that family (IPv6, IPv4)?",
    ),
    _rule(
        "SOCKS reply", 4, "proxy-unreachable", "network", False,
        "the proxy cannot reach …, or finds no address of that name", _SPELLING,
    ),
    _rule(
        "SOCKS reply", 5, "proxy-target-refused", "peer", False,
        "nothing listens at …, which refused the proxy's connection",
        "Is the server running, and is it the right port? A firewall can refuse as well",
    ),
    _rule(
        "SOCKS reply", 6, "proxy-unreachable", "network", False,
        "the proxy had no answer from … in time", _SPELLING,
    ),
    _rule(
        "SOCKS reply", 7, "proxy-refused", "peer", True,
        "the proxy does not connect to anything", "Its kind of SOCKS is of no use here",
    ),
    _rule(
        "SOCKS reply", 8, "proxy-address-type", "ours", True,
        "the proxy does not take that kind of address",
        "If it takes no names, write socks5://, and they are looked up here; if it has no IPv6, "
        "give an address of IPv4",
    ),
    _rule(
        "SOCKS reply", 0xF0, "proxy-unreachable", "network", False,
        "Tor finds no descriptor of that onion service", "Is it spelt rightly, and does it run?",
    ),
    _rule(
        "SOCKS reply", 0xF1, "proxy-unreachable", "peer", True,
        "the descriptor of that onion service is not valid", "Tell its owner",
    ),
    _rule(
        "SOCKS reply", 0xF2, "proxy-unreachable", "network", False,
        "Tor could not be introduced to that onion service", _LATER,
    ),
    _rule(
        "SOCKS reply", 0xF3, "proxy-unreachable", "network", False,
        "Tor and that onion service did not come together", _LATER,
    ),
    _rule(
        "SOCKS reply", 0xF4, "proxy-login", "ours", True,
        "that onion service is for clients with a key", "Give Tor the key (ClientOnionAuthDir)",
    ),
    _rule(
        "SOCKS reply", 0xF5, "proxy-login", "ours", True,
        "the key for that onion service is wrong", "Give Tor the right key (ClientOnionAuthDir)",
    ),
    _rule(
        "SOCKS reply", 0xF6, "proxy-unreachable", "ours", True,
        "that is not the address of an onion service",
        "Is it spelt rightly? It has 56 letters and digits before .onion",
    ),
    _rule(
        "SOCKS reply", 0xF7, "proxy-unreachable", "network", False,
        "Tor was not introduced to that onion service in time", _LATER,
    ),
)  # fmt: skip
"""What each code means; `explain_refusal` has a word for all others as well."""

_BY_CODE: Final = indexed(PROXY_REFUSALS)

_WRONG_LOGIN: Final = Diagnosis(
    "proxy-login",
    "the proxy does not accept the user or the password",
    "Check both; in a URL, signs other than letters and digits are percent-encoded in them",
    fault="ours",
)
_REDIRECTED: Final = Diagnosis(
    "proxy-refused",
    "the proxy points elsewhere, which is not followed",
    "Is it an HTTP proxy, and not a web server or the login page of a network?",
    fault="peer",
)


def explain_refusal(error: ProxyRefused, target: str, *, has_login: bool) -> Diagnosis:
    """What a proxy's refusal means, whose fault it is, and what to do.

    Args:
        error: The refusal.
        target: What the proxy was asked to connect to, for people.
        has_login: Whether it was given a user and a password.
    """
    found = _diagnosis(error, has_login=has_login)
    summary, remedy = (text.replace(_TARGET, target) for text in (found.summary, found.remedy))
    return evolve(found, summary=summary, remedy=remedy)


def _diagnosis(error: ProxyRefused, *, has_login: bool) -> Diagnosis:
    if error.kind == "SOCKS login":
        return _WRONG_LOGIN
    if (error.kind, error.code) == ("HTTP status", 407):
        if error.schemes and "basic" not in [scheme.lower() for scheme in error.schemes]:
            offered = ", ".join(error.schemes)
            return evolve(
                _BY_CODE["HTTP status", 407],
                summary=f"the proxy takes other logins only: {offered}",
                remedy="Only Basic is spoken here: have the proxy offer that, or run a proxy "
                "between that speaks the other",
            )
        if has_login:
            return _WRONG_LOGIN
    known = _BY_CODE.get((error.kind, error.code))
    if known is not None:
        return known
    if error.kind == "HTTP status" and error.code // 100 == 3:
        return _REDIRECTED
    is_permanent = error.kind == "HTTP status" and error.code < 500
    return Diagnosis(
        "proxy-refused",
        "the proxy refused to connect us",
        "Look at the proxy's log",
        permanent=is_permanent,
    )


PLAINTEXT_PROXY: Final = (
    "Is this a port for TLS? For a proxy that speaks in the clear write http://, or socks5h:// if "
    "it speaks SOCKS"
)
"""What to do about an ``https://`` proxy that does not speak TLS."""

# What a proxy says first, the name of its protocol, and how the schemes of those that speak
# it begin.
_PROTOCOLS: Final = (
    (re.compile(rb"HTTP/|<(?i:html|!doc)").match, "HTTP", "http", "http://"),
    (re.compile(rb"\x05[\x00-\x02\xff]").match, "SOCKS 5", "socks5", "socks5h://"),
)
_SOCKS_4: Final = re.compile(rb"\x00[\x5a-\x5d]").match


def remedy_of_protocol(scheme: str, received: bytes) -> str:
    """What to write for a proxy that speaks otherwise than its URL says; often nothing.

    Args:
        scheme: Of the proxy's URL.
        received: The proxy's first bytes.
    """
    if is_tls(received) and len(received) > 1:
        return "This port speaks TLS: write https:// for the proxy"
    if _SOCKS_4(received):
        return "This port speaks SOCKS 4, which is not known here: have it speak SOCKS 5"
    for begins, name, prefix, better in _PROTOCOLS:
        if begins(received) and not scheme.startswith(prefix):
            return f"This port speaks {name}: write {better} for the proxy"
    return ""
