"""docs/api.md has every public name, and no other, as it is in the code."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from enum import Enum
from importlib import import_module
from types import GenericAlias
from typing import Final

from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import SynchronousTestCase

import txtransport
from tests.docs.pages import PAGES
from txtransport.errors import CAUSES

NAMES: Final = {
    "txtransport.starttls.protocols": {
        "STARTTLS_PROTOCOLS",
        "StartTLSProtocol",
        "starttls_protocol",
    },
    "txtransport.starttls.mysql": {"REQUEST"},
    "txtransport.proxy.proxy_protocol.header": {"AddressKind", "ProxiedAddress", "ProxiedTLS"},
    "txtransport.proxy.proxy_protocol.reader": {"read_header", "write_header"},
    "txtransport.connection.trace": {"Event", "Step", "Trace"},
    "txtransport.endpoints.datagram": {"IDatagramEndpoint"},
    "txtransport.config.policy": {"Side", "VERSIONS", "Verify"},
}
"""The public names of modules that offer more than that to other modules of ours."""

WHOLE: Final = (
    "txtransport.errors",
    "txtransport.mail",
    "txtransport.starttls.wire",
    "txtransport.starttls.negotiation",
    "txtransport.testing.devcert",
    "txtransport.testing.proxy",
    "txtransport.web",
)
"""The modules whose ``__all__`` is public as a whole."""

MODULES: Final = {"txtransport", *NAMES, *WHOLE}


def sections() -> dict[str, list[str]]:
    """What the page has of each module: the first cell of each row."""
    found: dict[str, list[str]] = {}
    page = PAGES["api.md"].read_text(encoding="utf-8")
    for section in page.split("\n## ")[1:]:
        head, _, body = section.partition("\n")
        found[head.strip("`")] = re.findall(r"^\| `([^`]+)` \|", body, re.MULTILINE)
    return found


def public(module: str) -> set[str]:
    """A module's public names."""
    offered = {*import_module(module).__all__}
    public = NAMES.get(module, offered)
    assert public <= offered, module
    return public


def find(module: str, name: str) -> object:
    """What a name of the page stands for; a member is not bound."""
    # A method is found as a function, and a name of the package as it is first used.
    found: object = import_module(module)
    for part in name.split("."):
        found = inspect.getattr_static(found, part, None) or getattr(found, part)
    return found


def signature(made: object, is_member: bool) -> str | None:
    """How it is called, without annotations; None for what is not called."""
    function = made.__func__ if isinstance(made, classmethod | staticmethod) else made
    if not inspect.isfunction(function):
        return None
    parameters = [
        each.replace(annotation=each.empty)
        for each in inspect.signature(function).parameters.values()
    ]
    return str(inspect.Signature(parameters[1:] if is_member else parameters))


def members(made: object) -> Iterator[str]:
    """What is public in a class, and not called by Twisted alone."""
    # In Python 3.10, Generator[None, None, T] is a type as well.
    if isinstance(made, GenericAlias) or not isinstance(made, type):
        return
    if issubclass(made, Exception | Enum | tuple):
        return
    for name, member in vars(made).items():
        is_code = inspect.isfunction(member) or isinstance(member, classmethod | property)
        is_twisted_s = hasattr(Protocol, name) or hasattr(Factory, name)
        if is_code and not name.startswith("_") and not is_twisted_s:
            yield name


class APITests(SynchronousTestCase):
    """The page."""

    def test_every_public_name_is_there(self) -> None:
        """What a module offers is on the page, with its import path; what it does not is not."""
        found = sections()
        self.assertEqual({*found}, MODULES)
        for module, written in found.items():
            names = {re.split(r"[.(]", name)[0] for name in written}
            if module == "txtransport.errors":
                # The page says once that the errors of the package are here too.
                names |= {name for name in txtransport.__all__ if name in public(module)}
            self.assertEqual(names, public(module), module)

    def test_every_public_member_is_there(self) -> None:
        """So are the methods and properties of each class."""
        for module, written in sections().items():
            listed = {name.partition("(")[0] for name in written}
            for name in {name for name in listed if "." not in name}:
                wanted = {f"{name}.{member}" for member in members(find(module, name))}
                self.assertEqual(wanted - listed, set(), module)

    def test_each_is_called_as_it_is_written(self) -> None:
        """Arguments and their defaults are those of the code."""
        for module, written in sections().items():
            for text in written:
                name = text.partition("(")[0]
                called = signature(find(module, name), "." in name)
                self.assertEqual(text, f"{name}{called or ''}", module)

    def test_every_cause_of_a_failed_handshake_is_there(self) -> None:
        """A program can be written for all causes from the page alone."""
        page = PAGES["api.md"].read_text(encoding="utf-8")
        (row,) = (line for line in page.split("\n") if line.startswith("| `CAUSES` |"))
        causes = row.partition(" may be: ")[2].partition(" (")[0]
        self.assertEqual(re.findall(r"`([a-z0-9-]+)`", causes), [*CAUSES])

    def test_no_name_is_there_twice(self) -> None:
        """Each has one row."""
        for module, written in sections().items():
            self.assertEqual(len({*written}), len(written), module)

    def test_what_the_pages_import_is_public(self) -> None:
        """No page has its readers import what may change."""
        for name, page in PAGES.items():
            text = page.read_text(encoding="utf-8")
            for module, names in re.findall(r"^from (txtransport[\w.]*) import (.+)$", text, re.M):
                self.assertIn(module, MODULES, name)
                self.assertEqual({*names.split(", ")} - public(module), set(), name)
