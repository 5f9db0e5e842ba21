"""SSL 2.0 and SSL 3.0, which OpenSSL no longer has, for devices that speak nothing else.

Both are broken (RFC 6176, RFC 7568). Nothing here is used, or imported, unless a URL
names the version and allows it.
"""
