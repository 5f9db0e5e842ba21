"""The demo as a program: a folder that goes.

The folder with the servers' key exists only while the reactor runs and the
signals are in our hands, so that nothing but SIGKILL leaves it behind.
"""

from __future__ import annotations

import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from txtransport.cli.demo.mail import story
from txtransport.cli.demo.report import DemoReport
from txtransport.cli.demo.servers import DemoServers
from txtransport.cli.demo.table import table
from txtransport.cli.reactor import run_until_complete


async def played(reactor: Any) -> DemoReport:
    """The whole demo; when it ends, however it ends, nothing is left of it.

    Args:
        reactor: Runs.
    """
    began = time.perf_counter()
    with TemporaryDirectory(prefix="txtransport-") as folder:
        stage = DemoServers(reactor, Path(folder))
        try:
            rows, scenes = await table(stage), await story(stage)
        finally:
            await stage.close()
    return DemoReport(rows, scenes, time.perf_counter() - began)


def run() -> DemoReport:
    """The whole demo with the global reactor, which a process can run once.

    Raises:
        Interrupted: A signal came; what there was to clean up is cleaned up.
    """
    return run_until_complete(lambda reactor: played(reactor))
