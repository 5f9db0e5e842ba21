"""``openssl s_time``: a client of OpenSSL's own in C, which says nothing and closes.

It opens connections for a number of seconds, so that a turn is one second long
and its cost is divided by what it has counted. It sends no name (SNI), verifies
the chain, and exchanges no data; with ``-reuse`` it resumes.
"""

from __future__ import annotations

import re
import resource
import select
import subprocess
import sys
from pathlib import Path
from typing import Final

from benchmarks.lab.worker import obey, run_blocking

CAFILE: Final = str(Path(sys.argv[1], "ca.pem"))


async def connect(port: int, count: int, way: str = "") -> dict[str, float]:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    kind = "-reuse" if way == "resumed" else "-new"
    done = subprocess.run(
        ["openssl", "s_time", "-connect", f"127.0.0.1:{port}", "-CAfile", CAFILE,
         "-verify", "3", "-time", "1", kind],
        capture_output=True, text=True, check=True, timeout=30, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    found = re.search(r"(\d+) connections in (\d+) real seconds", done.stdout)
    if found is None or not int(found[1]):
        raise ValueError("openssl s_time has counted nothing")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    share = count / int(found[1])
    return {"cpu": cpu * share, "elapsed": int(found[2]) * share}


async def readable(descriptor: int) -> None:
    select.select([descriptor], [], [])


if __name__ == "__main__":
    version = subprocess.run(["openssl", "version"], capture_output=True, text=True, check=True)
    library = f"{' '.join(version.stdout.split()[:2])}, in C"
    run_blocking(obey({"connect": connect}, readable, library, has_own_work=False))
