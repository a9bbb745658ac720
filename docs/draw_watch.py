"""Draw docs/watch.svg: what `dirjobs watch` shows of a real queue with real workers.

    python docs/draw_watch.py

It takes a minute and a half: the picture is of workers whose heartbeats have told how fast
they are, right after one of them was killed.  One machine plays three, under their names.
"""

from __future__ import annotations

import io
import os
import re
import signal
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
from dirjobs.admin.report import State
from dirjobs.console.dashboard import Board
from dirjobs.protocol.share import Share
from dirjobs.recovery.process import this_process

DIRJOBS = [sys.executable, "-m", "dirjobs"]
MACHINES = ("gpu1", "gpu2", "nas")
WORK = """
import sys, time
lr, seed = float(sys.argv[1]), int(sys.argv[2])
time.sleep(3 + 40 * lr + seed % 4 + (600 if seed == 20 else 0))
if seed % 7 == 3:
    raise SystemExit("the loss is not finite")
"""
SHOWN = Path(__file__).with_name("watch.svg")
LOOK_AFTER = 75.0


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        jobs = str(Path(folder) / "jobs")
        subprocess.run([*DIRJOBS, "init", jobs], check=True)
        add = ["add", jobs, "--param", "lr=0.1,0.01,0.001", "--param", "seed=1..20"]
        subprocess.run([*DIRJOBS, *add], check=True)
        work = ["--slots", "2", "--order", "random", "--", sys.executable, "-c", WORK]
        started = []
        for name in MACHINES:
            command = [*DIRJOBS, "work", jobs, "--wid", name, *work, "{lr}", "{seed}"]
            worker = subprocess.Popen(command, stdout=subprocess.DEVNULL)
            stack.callback(worker.wait)
            stack.callback(worker.terminate)
            started.append(worker)
        with open_store(jobs) as store:
            time.sleep(LOOK_AFTER)
            started[1].send_signal(signal.SIGKILL)
            started[1].wait()
            share, inspector = Share(store), Inspector(this_process())
            found = inspector.look(share)
            while all(worker.state is not State.DEAD for worker in found.workers):
                time.sleep(0.1)  # the programs that it ran end a moment later
                found = inspector.look(share)
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
