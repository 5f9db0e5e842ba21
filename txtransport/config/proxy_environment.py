"""Which proxy the environment names for a URL: ``proxy=env``.

The variables are those of curl, git, pip and most others, in lower or in upper case; the
lower case counts where there are both:

============================  ====================================================
``https_proxy``               the proxy for transports with TLS
``all_proxy``                 the proxy for all; with TLS, if there is no ``https_proxy``
``no_proxy``                  what is connected to without a proxy
============================  ====================================================

``http_proxy`` is for HTTP in the clear, which is no transport here. So a web server that
passes its clients' headers to programs as variables (``Proxy:`` becomes ``HTTP_PROXY``,
CVE-2016-5385) cannot choose the proxy.

Loopback and local sockets are never behind a proxy, whatever the environment says.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from typing import Final

from txtransport.config.address import find_address, without_zone
from txtransport.config.proxy_url import ProxyURL, parse_proxy
from txtransport.config.schemes import SCHEMES
from txtransport.config.url import TransportURL
from txtransport.errors import InvalidOption

__all__ = ["proxy_from_environment"]

_SEPARATORS: Final = re.compile(r"[,\s]+")
_WITH_PORT: Final = re.compile(r"(\[[^\]]*\]|[^:\[\]]*):([0-9]{1,5})").fullmatch


def proxy_from_environment(environ: Mapping[str, str], url: TransportURL) -> tuple[ProxyURL, ...]:
    """The proxy for a URL, or none.

    Args:
        environ: The environment, such as ``os.environ``.
        url: Where to connect to.

    Returns:
        One proxy, or nothing.

    Raises:
        InvalidOption: A variable that is to be used names no proxy. Its value is not shown.
    """
    if url.path or _is_loopback(url.name) or _is_excepted(_value(environ, "no_proxy"), url):
        return ()
    names = ("https_proxy", "all_proxy") if SCHEMES[url.scheme].is_secure else ("all_proxy",)
    name = next((name for name in names if _value(environ, name)), None)
    if name is None:
        return ()
    text = _value(environ, name)
    # Programs differ in what they take, and a host alone is what most people write.
    full = text if "://" in text else f"http://{text}"
    try:
        return (parse_proxy(full),)
    except ValueError as problem:
        written = name if environ.get(name, "").strip() else name.upper()
        raise InvalidOption(
            "proxy", f"proxy=env: what the variable {written} says is no proxy: {problem}"
        ) from None


def _value(environ: Mapping[str, str], name: str) -> str:
    """The value of a variable in either case; an empty one is none."""
    return environ.get(name, "").strip() or environ.get(name.upper(), "").strip()


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    address = find_address(without_zone(host))
    mapped = getattr(address, "ipv4_mapped", None)
    return address is not None and (mapped or address).is_loopback


def _is_excepted(no_proxy: str, url: TransportURL) -> bool:
    return any(_matches(each.lower(), url) for each in _SEPARATORS.split(no_proxy) if each)


def _matches(entry: str, url: TransportURL) -> bool:
    """Whether an entry of ``no_proxy`` is about the host of a URL.

    It is ``*``, a name, which stands for all names below it as well, an address or a
    network; each but ``*`` perhaps with a port behind it.
    """
    if entry == "*":
        return True
    with_port = _WITH_PORT(entry)
    if with_port is not None:
        entry = with_port[1]
        if url.port != int(with_port[2]):
            return False
    entry = entry.removeprefix("[").removesuffix("]")
    address = find_address(without_zone(url.name))
    if address is not None:
        try:
            return address in ipaddress.ip_network(entry, strict=False)
        except ValueError:
            return False
    suffix = entry.removeprefix("*").strip(".")
    return bool(suffix) and (url.name == suffix or url.name.endswith(f".{suffix}"))
