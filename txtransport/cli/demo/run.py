"""The demo as a program: servers in a temporary folder, and what is tried on them.

The folder holds the servers' key. It exists only while `run_until_complete`
handles the signals, so that no signal but SIGKILL can leave it behind.
"""

from __future__ import annotations

import time
from pathlib import Path
from tempfile import TemporaryDirectory

from txtransport.cli.demo.mail import run_mail_examples
from txtransport.cli.demo.report import DemoReport
from txtransport.cli.demo.servers import DemoServers
from txtransport.cli.demo.table import try_forms
from txtransport.cli.reactor import run_until_complete

__all__ = ["run", "run_demo"]


async def run_demo(reactor: object) -> DemoReport:
    """Run the demo; however it ends, no file, server or connection is left.

    Args:
        reactor: Listens, connects and keeps time.
    """
    began = time.perf_counter()
    with TemporaryDirectory(prefix="txtransport-") as folder:
        servers = DemoServers(reactor, Path(folder))
        try:
            rows, mail_examples = await try_forms(servers), await run_mail_examples(servers)
        finally:
            await servers.close()
    return DemoReport(rows, mail_examples, time.perf_counter() - began)


def run() -> DemoReport:
    """Run the demo with the global reactor, which a process can run once.

    Raises:
        Interrupted: A signal came, and everything is closed and removed.
    """
    return run_until_complete(run_demo)
