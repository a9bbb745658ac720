"""Signed jobs on real servers, whose files somebody changes while workers fetch them."""

import hashlib
import io
import json
import os
import re
import subprocess
import sys
import threading
from contextlib import suppress

import pytest

from dirjobs.signing import subject
from tests.amounts import PATIENCE, amount
from tests.command_line import DIRJOBS, environment
from tests.process.backends import on_apache, on_samba

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="commands of a POSIX shell")
LAWFUL, ALTERED = b'{"lr": 1}', b'{"lr": 9}'
JOBS = [f"job{number}.json" for number in range(amount(20, 200))]
COMMAND = ("sh", "-c", 'echo "$2"; cat "$1" "$1"', "sh", "{}", "{lr}")


@pytest.fixture(params=[on_apache, on_samba], ids=["apache", "samba"])
def place(request, tmp_path):
    for place, _ in request.param(tmp_path):
        yield place


@pytest.fixture
def run(place, tmp_path):
    """Runs a command on the queue, with a key."""
    key = str(tmp_path / "key")
    more = {**place.login, "DIRJOBS_KEY_FILE": key, "DIRJOBS_SCRATCH": str(tmp_path / "scratch")}

    def run(command, *args, codes=(0,)):
        done = subprocess.run(
            [*DIRJOBS, command, *args],
            cwd=tmp_path,
            env=environment(DIRJOBS_URL=place.url, **more),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        assert done.returncode in codes, done.stdout + done.stderr
        return done.stdout

    run("key", "--file", key)
    run("init", "--mode", "verify")
    return run


def signature_of(place, job):
    queue_id = json.loads((place.root / "_queue/queue.json").read_bytes())["id"]
    what = subject(queue_id, job, io.BytesIO(LAWFUL))
    return place.root / "_queue/signatures" / hashlib.sha256(what).hexdigest()


def altering(folder, stop):
    """Alters each file and puts it right again, and again."""
    while not stop.is_set():
        for entry in os.scandir(folder):
            for content in (ALTERED, LAWFUL):
                with suppress(OSError), open(entry.path, "r+b") as file:
                    file.write(content)


def test_nothing_but_what_was_signed_is_run(place, run, tmp_path, figures):
    odd = ("altered", "longer", "cut", "empty", "signature of another", "no signature", "renamed")
    names = ["lawful.json", *(f"{kind}.json" for kind in odd), *JOBS]
    for name in names:
        (tmp_path / name).write_bytes(LAWFUL)
    run("add", "--sign", *(str(tmp_path / name) for name in names))
    waiting = place.root / "00_waiting"
    (waiting / "altered.json").write_bytes(ALTERED)
    (waiting / "longer.json").write_bytes(LAWFUL + b" ")
    (waiting / "cut.json").write_bytes(LAWFUL[:-1])
    (waiting / "empty.json").write_bytes(b"")
    other = signature_of(place, "lawful.json").read_bytes()
    signature_of(place, "signature of another.json").write_bytes(other)
    signature_of(place, "no signature.json").unlink()
    (waiting / "renamed.json").rename(waiting / "another.json")

    work = ("work", "--signed-only", "--keep-going", "--slots", "2", "--filter")
    out = run(*work, "[!j]*", "--", *COMMAND, codes=(1,))
    stop = threading.Event()
    thread = threading.Thread(target=altering, args=(place.root / "01_running", stop))
    thread.start()
    try:
        out += run(*work, "job*", "--", *COMMAND, codes=(0, 1))
    finally:
        stop.set()
        thread.join()
    done = set(re.findall(r"(?m)^\[.*?\] (.*\.json) \.\.\. done", out))
    refused = set(re.findall(r"(?m)^\[.*?\] (.*\.json) \.\.\. refused in ", out))
    assert done | refused == {*names, "another.json"} - {"renamed.json"}
    assert done - {*JOBS} == {"lawful.json"}
    assert not any((tmp_path / "scratch").iterdir())
    for path in (place.root / "logs").iterdir():
        printed = [line for line in path.read_text().split("\n") if not line.startswith("# ")]
        lawful = "1\n" + 2 * LAWFUL.decode()
        ran = path.name.partition(".json")[0] + ".json" in done
        assert "\n".join(printed).strip() == (lawful if ran else ""), path.name
    figures(f"{len(done & {*JOBS})} of {len(JOBS)} jobs that were altered all the time were run")
