"""$DIRJOBS_KEEP in `dirjobs work`: it follows a job from attempt to attempt."""

import os

from click.testing import CliRunner

from dirjobs.cli import main
from dirjobs.layout import KEEP
from tests.command_line import a_job
from tests.fake_webdav import Fault

COUNT = a_job("""
kept = Path(os.environ["DIRJOBS_KEEP"], "n")
n = int(kept.read_text()) if kept.exists() else 0
print("began at", n)
kept.write_bytes(b"%d\\n" % (n + 1))
sys.exit(n < 2)
""")
WORK = ("work", "--wid", "w1", "--keep-going")


def test_what_failed_is_there_for_the_next_try_and_goes_with_the_job(queue):
    queue.put("00_waiting", "a")
    queue.run(*WORK, "--", *COUNT, code=1)
    assert len(queue.names(f"{KEEP}/a")) == 1
    queue.run("retry", "a")
    queue.run(*WORK, "--", *COUNT, code=1)
    queue.run("retry", "a")
    queue.run(*WORK, "--", *COUNT)
    assert "began at 2" in queue.run("logs", "a")
    assert "goes on from checkpoint 1 of w1" in queue.run("logs", "a")
    assert queue.names(KEEP) == []


def test_tries_of_one_worker_share_it(queue):
    queue.put("00_waiting", "a")
    queue.run(*WORK, "--retries", "2", "--", *COUNT)
    log = queue.run("logs", "a")
    assert [f"began at {n}" in log for n in range(4)] == [True, True, True, False]
    assert queue.names(KEEP) == []


def test_a_job_that_keeps_nothing_leaves_nothing(queue):
    queue.put("00_waiting", "a", "b")
    queue.run(*WORK, "--", *a_job("sys.exit(os.environ['DIRJOBS_NAME'] != 'a')"), code=1)
    assert queue.names(KEEP) == []


def test_a_full_share_costs_a_checkpoint_and_not_the_result(far, server):
    far.put("00_waiting", "a")
    server.faults.add(Fault("status", "PUT", f"jobs/{KEEP}/a/*", status=507, times=None))
    far.run(*WORK, "--", *COUNT, code=1)
    assert "(507)" in far.run("logs", "a")
    assert far.jobs() == {"99_failed": ["a"]}


def test_signed_only_takes_nothing_else(local, tmp_path, monkeypatch):
    monkeypatch.setenv("DIRJOBS_KEY_FILE", str(tmp_path / "key"))
    local.run("init")
    assert CliRunner().invoke(main, ["key", "--file", str(tmp_path / "key")]).exit_code == 0
    (tmp_path / "a").write_text("job")
    local.run("add", "--sign", tmp_path / "a")
    local.run(*WORK, "--signed-only", "--", *COUNT, code=1)
    (name,) = local.names(f"{KEEP}/a")
    path = os.path.join(local.url, KEEP, "a", name)
    local.run("retry", "a")
    with open(path, "r+b") as file:
        data = file.read()
        file.seek(0)
        file.write(data.replace(b"1\n", b"7\n"))
    local.run(*WORK, "--signed-only", "--", *COUNT, code=1)
    assert "began at 0" in local.run("logs", "a")
