"""The floor plan: which room may know what, as a table and as tests.

A room is a file under ``txtransport/``. It imports from the floors beneath its
own and, on its own floor, from the rooms written before it in the table. What
`PLAN` says here, section 6 of the design says in words: change both together.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from attrs import field, frozen
from twisted.trial.unittest import SynchronousTestCase

ROOT: Final = Path(__file__).resolve().parent.parent

VALUES: Final = frozenset({"the standard library", "attrs"})
TWISTED: Final = VALUES | {"twisted", "zope", "automat", "constantly"}


@frozen
class Floor:
    """One floor.

    Attributes:
        name: For people.
        rooms: Paths below ``txtransport/``, in the order in which they may
            import one another.
        may_know: Packages from outside that its rooms may import.
    """

    name: str
    rooms: tuple[str, ...]
    may_know: frozenset[str]


PLAN: Final = (
    Floor(
        "0",
        ("errors.py", "tls/__init__.py", "starttls/__init__.py"),
        frozenset({"__future__", "typing"}),
    ),
    Floor("1 words", ("schemes.py", "tags.py", "tls/policy.py", "starttls/wire.py"), VALUES),
    Floor(
        "2 tables and machines",
        (
            "directions.py",
            "tls/alerts.py",
            "tls/banners.py",
            "tls/findings.py",
            "traces.py",
            "lines/__init__.py",
            "lines/row.py",
            "lines/certificates.py",
            "lines/plaintext.py",
            "lines/alerts.py",
            "lines/agreement.py",
            "lines/settings.py",
            "lines/ends.py",
            "lines/vague.py",
            "lines/known.py",
            "lines/in_tool.py",
            "starttls/negotiation.py",
            "starttls/replies.py",
        ),
        VALUES,
    ),
    Floor(
        "3 texts and dialogues",
        (
            "starttls/smtp.py",
            "starttls/pop3.py",
            "starttls/imap.py",
            "starttls/nntp.py",
            "starttls/sieve.py",
            "starttls/ftp.py",
            "starttls/xml.py",
            "starttls/xmpp.py",
            "starttls/ber.py",
            "starttls/ldap.py",
            "starttls/postgres.py",
            "starttls/irc.py",
            "starttls/telnet.py",
            "starttls/nats.py",
            "starttls/amqp.py",
            "starttls/nut.py",
            "starttls/nbd.py",
            "starttls/rdp.py",
            "starttls/mysql.py",
            "starttls/vnc.py",
            "starttls/catalogue.py",
            "explanations.py",
            "option_types.py",
            "options.py",
            "settings.py",
            "url.py",
        ),
        VALUES,
    ),
    Floor(
        "4 bridges",
        (
            "tls/pem.py",
            "tls/identity.py",
            "tls/session.py",
            "tls/resumption.py",
            "tls/verification.py",
            "tls/context.py",
            "tls/creator.py",
            "tls/platform.py",
            "tls/diagnosis.py",
            "tls/described.py",
            "devcert.py",
            "devfolder.py",
        ),
        VALUES | {"OpenSSL", "cryptography", "service_identity"},
    ),
    Floor(
        "5 doors",
        (
            "sockets.py",
            "lookup.py",
            "race.py",
            "passage.py",
            "limits.py",
            "faults.py",
            "steps.py",
            "watch.py",
            "gate.py",
            "prelude.py",
            "proxy_protocol.py",
            "clients.py",
            "servers.py",
            "datagrams.py",
            "dtls.py",
            "bottom.py",
            "units.py",
            "feed.py",
            "upgrade.py",
            "mixin.py",
            "guests.py",
            "guard.py",
        ),
        TWISTED,
    ),
    Floor("6 desk", ("endpoints.py", "strings.py", "__init__.py"), TWISTED),
    Floor(
        "7 products",
        (
            "relay/__init__.py",
            "relay/tap.py",
            "doctor.py",
            "commands/__init__.py",
            "commands/table.py",
            "commands/program.py",
            "demo/__init__.py",
            "demo/report.py",
            "demo/text.py",
            "demo/document.py",
            "demo/stage.py",
            "demo/table.py",
            "demo/mail.py",
            "demo/run.py",
            "probe/__init__.py",
            "probe/report.py",
            "probe/look.py",
            "probe/progress.py",
            "probe/probing.py",
            "probe/versions.py",
            "probe/survey.py",
            "probe/text.py",
            "probe/document.py",
            "commands/output.py",
            "commands/demo.py",
            "commands/probe.py",
            "commands/transports.py",
            "commands/options.py",
            "commands/devcert.py",
            "commands/doctor.py",
            "commands/explain.py",
            "__main__.py",
            "testing.py",
        ),
        TWISTED,
    ),
)

ALSO_KNOWS: Final = {"url.py": {"idna"}}
"""What one room may know beyond its floor."""

TOUCH_THE_REACTOR: Final = {"relay/tap.py", "commands/program.py"}
START_TLS: Final = {"gate.py", "upgrade.py"}
BUILD_CONTEXTS: Final = {"tls/context.py"}

_PLACES: Final = {
    room: (level, place)
    for level, floor in enumerate(PLAN)
    for place, room in enumerate(floor.rooms)
}

_STARTERS: Final = {
    "BufferingTLSTransport",
    "SSL4ClientEndpoint",
    "SSL4ServerEndpoint",
    "TLSMemoryBIOFactory",
    "TLSMemoryBIOProtocol",
    "connectSSL",
    "listenSSL",
    "wrapClientTLS",
}
_CONTEXTS: Final = {
    "CertificateOptions",
    "ClientContextFactory",
    "DefaultOpenSSLContextFactory",
    "optionsForClientTLS",
}
_FOREIGN: Final = ("twisted", "zope", "OpenSSL", "cryptography", "service_identity")


# --- reading a room ------------------------------------------------------------


@frozen
class Room:
    """A file, and what it says."""

    path: str
    source: str
    nodes: tuple[ast.AST, ...] = field(init=False, repr=False, eq=False)

    @nodes.default
    def _read(self) -> tuple[ast.AST, ...]:
        return tuple(_running(ast.parse(self.source, self.path)))

    def imported(self) -> set[str]:
        """Dotted names of everything it imports, be it at once or when called."""
        names: set[str] = set()
        for node in self.nodes:
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                module = "." * node.level + (node.module or "")
                names |= {f"{module}.{alias.name}" for alias in node.names}
        return names

    def rooms(self) -> set[str]:
        """The rooms among what it imports."""
        ours = {name for name in self.imported() if _root(name) == "txtransport"}
        return {_room(name) for name in ours}

    def packages(self) -> set[str]:
        """The packages from outside; the standard library is one."""
        roots = {_root(name) for name in self.imported()} - {"txtransport"}
        known = PLAN[_PLACES[self.path][0]].may_know
        return {
            "the standard library" if root in sys.stdlib_module_names - known else root
            for root in roots
        }

    def touches_the_reactor(self) -> bool:
        """Whether it imports the global reactor, or what imports it for one."""
        return any(
            f"{name}.".startswith("twisted.internet.reactor.")
            or name in {"twisted.internet.task.react", "twisted.internet.default.install"}
            for name in self.imported()
        )

    def starts_tls(self) -> bool:
        """Whether it puts TLS onto a transport; ``self.startTLS()`` is our mixin's, and safe."""
        return bool((_STARTERS & self._names()) - self._only_recognised()) or any(
            isinstance(node, ast.Attribute)
            and node.attr == "startTLS"
            and not (isinstance(node.value, ast.Name) and node.value.id == "self")
            for node in self.nodes
        )

    def builds_a_context(self) -> bool:
        """Whether it calls OpenSSL's constructor, or one of Twisted's that does."""
        constructors = self.imported() & {"OpenSSL.SSL.Context", "ssl.SSLContext"}
        return bool(constructors or _CONTEXTS & self._names()) or any(
            isinstance(node, ast.Call)
            and ast.unparse(node.func).endswith(("SSL.Context", "ssl.SSLContext"))
            for node in self.nodes
        )

    def private_names(self) -> set[str]:
        """Underscored names that it imports from other people's packages."""
        return {
            name
            for name in self.imported()
            if _root(name) in _FOREIGN and any(part.startswith("_") for part in name.split("."))
        }

    def _only_recognised(self) -> set[str]:
        """Names that it uses to ask what something is, and for nothing else."""
        asked = [
            node.args[1]
            for node in self.nodes
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "isinstance"
        ]
        used = [node for node in self.nodes if isinstance(node, ast.Name)]
        names = {node.id for node in asked if isinstance(node, ast.Name)}
        return names - {node.id for node in used if node not in asked}

    def _names(self) -> set[str]:
        """Every name that its code says; docstrings and comments are not code."""
        names = {name.rpartition(".")[2] for name in self.imported()}
        for node in self.nodes:
            if isinstance(node, ast.Name):
                names.add(node.id)
            elif isinstance(node, ast.Attribute):
                names.add(node.attr)
        return names


def _running(node: ast.AST) -> Iterator[ast.AST]:
    """A tree's nodes, without what only the type checker reads."""
    yield node
    for child in ast.iter_child_nodes(node):
        if isinstance(node, ast.If) and child in node.body and _is_for_types(node.test):
            continue
        yield from _running(child)


def _is_for_types(test: ast.expr) -> bool:
    return ast.unparse(test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}


def _root(name: str) -> str:
    return name.partition(".")[0]


def _module(path: str) -> str:
    """The name by which a room is imported."""
    return f"txtransport.{path[:-3].replace('/', '.')}".removesuffix(".__init__")


_MODULES: Final = {_module(path): path for path in _PLACES}


def _room(name: str) -> str:
    """The room that an import enters: a module, or the one that holds the name."""
    return _MODULES.get(name) or _MODULES.get(name.rpartition(".")[0], name)


def _house() -> list[Room]:
    below = ROOT / "txtransport"
    return [
        Room(path.relative_to(below).as_posix(), path.read_text(encoding="utf-8"))
        for path in sorted(below.rglob("*.py"))
    ]


HOUSE: Final = _house()
ON_THE_PLAN: Final = [room for room in HOUSE if room.path in _PLACES]


# --- what the plan promises ----------------------------------------------------


class FloorPlanTests(SynchronousTestCase):
    """The house stands as it is drawn."""

    def test_every_file_has_its_place(self) -> None:
        """Whoever looks for a piece of code finds its file on the plan."""
        self.assertEqual([room.path for room in HOUSE if room.path not in _PLACES], [])

    def test_no_file_has_two_places(self) -> None:
        """A file stands on one floor."""
        self.assertEqual(len(_PLACES), sum(len(floor.rooms) for floor in PLAN))

    def test_the_design_page_has_the_same_plan(self) -> None:
        """Whoever reads the page finds every room on its floor."""
        page = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
        drawn = {
            cells[1].strip(): set(re.findall("`([a-z0-9_/]+[.]py)`", cells[2]))
            for cells in (line.split("|") for line in page.splitlines() if line.count("|") == 4)
        }
        there = {room.path for room in HOUSE if not room.path.endswith("__init__.py")}
        for floor in PLAN:
            self.assertEqual(drawn[floor.name], there & set(floor.rooms), floor.name)

    def test_imports_lead_down(self) -> None:
        """A room can be understood with nothing but what lies beneath it."""
        upward = [
            f"{room.path} imports {other}"
            for room in ON_THE_PLAN
            for other in sorted(room.rooms())
            if other not in _PLACES or _PLACES[other] >= _PLACES[room.path]
        ]
        self.assertEqual(upward, [])

    def test_a_floor_knows_only_its_own(self) -> None:
        """Words know no OpenSSL, bridges no Twisted, doors no certificates."""
        strange = [
            f"{room.path} imports {package}"
            for room in ON_THE_PLAN
            for package in sorted(room.packages())
            if package not in PLAN[_PLACES[room.path][0]].may_know
            and package not in ALSO_KNOWS.get(room.path, set())
        ]
        self.assertEqual(strange, [])

    def test_the_reactor_comes_in_as_an_argument(self) -> None:
        """The library works with any reactor; only programs take the global one."""
        rooms = {room.path for room in HOUSE if room.touches_the_reactor()}
        self.assertEqual(rooms - TOUCH_THE_REACTOR, set())

    def test_tls_is_started_in_few_places(self) -> None:
        """Clear text cannot slip past the checks, since nothing else starts TLS."""
        rooms = {room.path for room in HOUSE if room.starts_tls()}
        self.assertEqual(rooms - START_TLS, set())

    def test_contexts_are_built_in_one_place(self) -> None:
        """No connection goes without the verification that the creator sets up."""
        rooms = {room.path for room in HOUSE if room.builds_a_context()}
        self.assertEqual(rooms - BUILD_CONTEXTS, set())

    def test_private_names_stay_private(self) -> None:
        """A new Twisted or pyOpenSSL breaks nothing by moving its own insides."""
        self.assertEqual(
            {room.path: room.private_names() for room in HOUSE if room.private_names()}, {}
        )


class ImportTests(SynchronousTestCase):
    """Importing does nothing."""

    def test_the_front_door_opens_nothing_else(self) -> None:
        """``import txtransport`` brings in neither a reactor nor OpenSSL."""
        self.assertEqual(_loaded("import txtransport", "twisted.internet.reactor", "OpenSSL"), "")

    def test_no_room_installs_a_reactor(self) -> None:
        """A program may install its own reactor after importing any of the library."""
        self.assertEqual(_loaded(f"import {_library()}", "twisted.internet.reactor"), "")

    def test_no_room_builds_a_context(self) -> None:
        """What TLS costs is paid by the first connection, and by no import."""
        # Twisted builds one on its own import; from then on it is our doing.
        never = "import twisted.internet.ssl; from OpenSSL import SSL; SSL.Context.__init__ = None"
        self.assertEqual(_loaded(f"{never}; import {_library()}"), "")


def _library() -> str:
    """Every room but the programs."""
    programs = TOUCH_THE_REACTOR | {"__main__.py"}
    return ", ".join(_module(room.path) for room in HOUSE if room.path not in programs)


def _loaded(statement: str, *modules: str) -> str:
    """Which of the modules a fresh interpreter has after a statement; what it complains of, too."""
    script = f"import sys; {statement}; print(*sorted({set(modules)} & set(sys.modules)))"
    run = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    return (run.stdout + run.stderr).strip()


class ReadingTests(SynchronousTestCase):
    """The plan's tests see what they are to see."""

    def test_all_ways_to_import_a_room_are_seen(self) -> None:
        """A room cannot be entered by a side door."""
        room = Room(
            "demo/run.py",
            "import txtransport\n"
            "import txtransport.tls.pem\n"
            "from txtransport import Transport, errors\n"
            "from txtransport.tls import policy\n"
            "def later():\n"
            "    from txtransport.url import Transport\n",
        )
        self.assertEqual(
            room.rooms(), {"__init__.py", "tls/pem.py", "errors.py", "tls/policy.py", "url.py"}
        )

    def test_relative_imports_are_strange(self) -> None:
        """A room is called by its full name."""
        self.assertEqual(Room("url.py", "from . import errors").packages(), {""})

    def test_types_cost_nothing(self) -> None:
        """What only the type checker reads may come from anywhere."""
        hint = "if TYPE_CHECKING:\n    import OpenSSL\nelse:\n    import idna\n"
        self.assertEqual(Room("url.py", hint).packages(), {"idna"})

    def test_packages_are_told_apart(self) -> None:
        """The standard library is one package; the lowest floor may not know all of it."""
        source = "from __future__ import annotations\nimport re, os.path\nfrom OpenSSL import SSL\n"
        self.assertEqual(Room("url.py", source).packages(), {"the standard library", "OpenSSL"})
        self.assertEqual(
            Room("errors.py", source).packages(),
            {"__future__", "the standard library", "OpenSSL"},
        )

    def test_the_reactor_is_seen(self) -> None:
        """The global reactor is noticed by whichever name it comes."""
        for source in (
            "from twisted.internet import reactor",
            "import twisted.internet.reactor",
            "from twisted.internet.reactor import callLater",
            "from twisted.internet.task import react",
        ):
            self.assertTrue(Room("gate.py", source).touches_the_reactor(), source)
        self.assertFalse(Room("gate.py", "from twisted.internet import task").touches_the_reactor())

    def test_starting_tls_is_seen(self) -> None:
        """TLS is noticed wherever it is put onto a transport, and not where it is asked of us."""
        self.assertTrue(Room("gate.py", "self.transport.startTLS(creator)").starts_tls())
        self.assertTrue(
            Room("gate.py", "from twisted.protocols.tls import TLSMemoryBIOFactory").starts_tls()
        )
        asking = "isinstance(transport, TLSMemoryBIOProtocol)"
        self.assertFalse(Room("gate.py", asking).starts_tls())
        self.assertTrue(Room("gate.py", f"{asking}; TLSMemoryBIOProtocol(x)").starts_tls())
        self.assertFalse(Room("demo/run.py", "self.startTLS(policy)  # startTLS").starts_tls())

    def test_a_context_is_seen(self) -> None:
        """Building a context is noticed; naming its type is not building one."""
        self.assertTrue(Room("gate.py", "SSL.Context(SSL.TLS_METHOD)").builds_a_context())
        self.assertTrue(Room("gate.py", "from OpenSSL.SSL import Context").builds_a_context())
        self.assertTrue(Room("gate.py", "ssl.CertificateOptions()").builds_a_context())
        self.assertFalse(Room("gate.py", "def of(c: SSL.Context) -> None: ...").builds_a_context())

    def test_private_names_are_seen(self) -> None:
        """Underscored modules and names are noticed; ours are our own."""
        source = (
            "from OpenSSL._util import lib\n"
            "from twisted.internet._sslverify import ClientTLSOptions\n"
            "from txtransport.url import _split\n"
        )
        self.assertEqual(
            Room("gate.py", source).private_names(),
            {"OpenSSL._util.lib", "twisted.internet._sslverify.ClientTLSOptions"},
        )
