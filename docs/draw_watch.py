"""Draw docs/watch.svg: what `dirjobs watch` shows of a real queue with real workers.

    python docs/draw_watch.py

It takes a minute and a half: the picture is of workers whose heartbeats have told how fast
they are.  One machine plays three, under their names.
"""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.text import Text

from dirjobs import open_store
from dirjobs.admin.inspect import Inspector
from dirjobs.console.dashboard import Board
from dirjobs.protocol.share import Share
from dirjobs.recovery.process import this_process

DIRJOBS = [sys.executable, "-m", "dirjobs"]
MACHINES = ("gpu1", "gpu2", "nas")
WORK = """
import sys, time
lr, seed = float(sys.argv[1]), int(sys.argv[2])
time.sleep(5 + 40 * lr + seed % 4)
if seed == 13:
    raise SystemExit("thirteen.dat is missing")
"""
SHOWN = Path(__file__).with_name("watch.svg")
LOOK_AFTER = 65.0


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        jobs = str(Path(folder) / "jobs")
        subprocess.run([*DIRJOBS, "init", jobs], check=True)
        add = ["add", jobs, "--param", "lr=0.1,0.01,0.001", "--param", "seed=1..20"]
        subprocess.run([*DIRJOBS, *add], check=True)
        work = ["--slots", "2", "--order", "random", "--", sys.executable, "-c", WORK]
        for name in MACHINES:
            command = [*DIRJOBS, "work", jobs, "--wid", name, *work, "{lr}", "{seed}"]
            worker = subprocess.Popen(command, stdout=subprocess.DEVNULL)
            stack.callback(worker.wait)
            stack.callback(worker.terminate)
        with open_store(jobs) as store:
            time.sleep(LOOK_AFTER)
            found = Inspector(this_process()).look(Share(store))
    seen = tuple(replace(worker, host=worker.id) for worker in found.workers)
    console = Console(
        record=True, width=80, file=io.StringIO(), force_terminal=True, color_system="truecolor"
    )
    console.print(Text("$ dirjobs watch", "dim"))
    board = Board(replace(found, workers=seen), "/mnt/nas/jobs", time.time(), 24)
    console.print(board)
    svg = console.export_svg(title="dirjobs watch")
    svg = re.sub(r"@font-face {.*?}\n", "", svg, flags=re.DOTALL)  # whatever the reader has
    SHOWN.write_text("".join(f"{line.strip()}\n" for line in svg.splitlines()), "utf-8")
    sys.stdout.write(f"{os.path.relpath(SHOWN)}: {SHOWN.stat().st_size:,} bytes\n")


if __name__ == "__main__":
    main()
