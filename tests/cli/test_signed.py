"""Jobs that are signed, and workers that run no others."""

import hashlib
import io
import json
import os
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from dirjobs.cli import main
from dirjobs.files import room
from dirjobs.job import Job
from dirjobs.signing import subject, this_machines_key
from tests.cli.conftest import NOTHING
from tests.command_line import python

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="needs links, FIFOs and modes of files")
PRINTS_ITS_FILE = python("import sys; print(open(sys.argv[1]).read())")


@pytest.fixture
def invoke():
    """A command that is about no queue: what it says."""

    def invoke(*args, code=0):
        result = CliRunner().invoke(main, args)
        assert result.exit_code == code, result.output
        return result.output

    return invoke


@pytest.fixture
def key_file(tmp_path, monkeypatch):
    """A key of this machine."""
    path = tmp_path / "key"
    path.touch(mode=0o600)
    path.write_text("ab" * 32)
    monkeypatch.setenv("DIRJOBS_KEY_FILE", str(path))
    return path


@pytest.fixture
def signed(queue, key_file, tmp_path):
    """A queue with an id and one signed job."""
    queue.run("init", "--mode", "verify")
    (tmp_path / "a.txt").write_text("lawful")
    queue.run("add", tmp_path / "a.txt", "--sign")
    return queue


def work(queue, *options, code=0):
    return queue.run("work", "--signed-only", *options, "--", *PRINTS_ITS_FILE, "{}", code=code)


def signatures(queue):
    return queue.names("_queue/signatures")


def test_a_signed_job_is_run(signed):
    work(signed)
    assert signed.jobs() == {"02_done": ["a.txt"]}
    assert len(signatures(signed)) == 1


def test_a_job_without_a_signature_fails_and_is_not_started(signed):
    signed.put("00_waiting", "b.txt", data=b"lawful")
    out = work(signed, code=1)
    assert signed.jobs() == {"02_done": ["a.txt"], "99_failed": ["b.txt"]}
    assert "b.txt ... refused in 0.0 s: not signed by this worker's key" in out
    (log,) = (name for name in signed.names("logs") if name.startswith("b.txt"))
    text = signed.store.read(f"logs/{log}").decode()
    assert "not started" in text
    assert "lawful" not in text


@pytest.mark.parametrize("change", ["content", "name", "key", "queue"])
def test_a_signature_is_about_one_content_of_one_job_in_one_queue(signed, key_file, change):
    if change == "content":
        signed.put("00_waiting", "a.txt", data=b"changed")
    elif change == "name":
        signed.store.rename("00_waiting/a.txt", "00_waiting/b.txt")
    elif change == "key":
        key_file.write_text("cd" * 32)
    else:
        record = signed.store.read("_queue/queue.json").decode()
        before = record.partition('"id": "')[2].partition('"')[0]
        signed.store.write("_queue/queue.json", record.replace(before, "other").encode())
    work(signed, code=1)
    assert [*signed.jobs()] == ["99_failed"]


def test_a_job_that_is_tried_again_needs_no_new_signature(signed):
    signed.run("work", "--signed-only", "--", "false", code=1)
    assert signed.jobs() == {"99_failed": ["a.txt"]}
    signed.run("retry", "--failed")
    work(signed)
    assert signed.jobs() == {"02_done": ["a.txt"]}


def test_many_refused_jobs_do_not_end_the_worker(signed):
    for number in range(6):
        signed.put("00_waiting", f"0{number}.txt")
    work(signed, code=1)
    assert signed.jobs()["02_done"] == ["a.txt"]


def test_what_is_run_is_what_was_verified(local, key_file, tmp_path):
    """The command gets a copy: the job's file may be changed at any time."""
    local.run("init", "--mode", "verify")
    (tmp_path / "a.txt").write_text("lawful")
    local.run("add", tmp_path / "a.txt", "--sign")
    change = """if True:
        import os, pathlib, shutil, sys
        for file in pathlib.Path(sys.argv[1], "01_running").iterdir():
            file.write_bytes(b"changed")
        shutil.copy(sys.argv[2], pathlib.Path(os.environ["DIRJOBS_OUT"], "given"))
    """
    out = local.run("work", "--signed-only", "--", *python(change), local.url, "{}")
    assert "1 done" in out
    assert local.store.read(f"{local.files('a.txt')}/given") == b"lawful"
    assert local.store.read("02_done/a.txt") == b"changed"


def test_nothing_of_the_key_is_on_the_share(signed, key_file):
    work(signed)
    secret = key_file.read_text().encode()
    for folder in ("00_waiting", "02_done", "_queue", "_queue/signatures", "logs"):
        for entry in signed.store.list(folder):
            path = f"{folder}/{entry.name}"
            assert secret not in path.encode()
            if entry.kind.name == "FILE":
                assert secret not in signed.store.read(path)


ODD_FILES = {
    "a folder": os.mkdir,
    "a large file": lambda path: Path(path).write_bytes(bytes((1 << 20) + 1)),
}
if sys.platform != "win32":
    ODD_FILES |= {
        "a link": lambda path: os.symlink("/etc/hostname", path),
        "a FIFO": os.mkfifo,
        "a sparse file": lambda path: (Path(path).touch(), os.truncate(path, 1 << 36)),
    }


@pytest.mark.parametrize("kind", ODD_FILES)
def test_an_odd_signature_is_none_and_ends_no_worker(local, key_file, tmp_path, kind):
    local.run("init", "--mode", "verify")
    (tmp_path / "z.txt").write_text("lawful")
    local.run("add", tmp_path / "z.txt", "--sign")
    local.put("00_waiting", "a.txt", data=b"x")
    ODD_FILES[kind](tmp_path / "jobs" / signature_of(local, "a.txt", b"x"))
    out = work(local, code=1)
    assert "a.txt ... refused in 0.0 s: its signature can't be read" in out
    assert local.jobs() == {"02_done": ["z.txt"], "99_failed": ["a.txt"]}


@pytest.mark.parametrize("kind", ["a folder", "a large file"])
def test_an_odd_signature_on_any_store(signed, kind):
    signed.put("00_waiting", "0.txt", data=b"x")
    path = signature_of(signed, "0.txt", b"x")
    if kind == "a folder":
        signed.store.mkdir(path)
    else:
        signed.store.write(path, bytes((1 << 20) + 1))
    assert "0.txt ... refused" in work(signed, code=1)
    assert signed.jobs() == {"02_done": ["a.txt"], "99_failed": ["0.txt"]}


@POSIX
def test_a_job_larger_than_the_disk_ends_no_worker(local, key_file, tmp_path):
    local.run("init", "--mode", "verify")
    (tmp_path / "z.txt").write_text("lawful")
    local.run("add", tmp_path / "z.txt", "--sign")
    local.put("00_waiting", "a.txt", data=b"")
    os.truncate(tmp_path / "jobs/00_waiting/a.txt", 1 << 42)
    assert "a.txt ... failed in 0.0 s: its file can't be read: it has 4 TiB, and " in work(
        local, code=1
    )
    assert local.jobs() == {"02_done": ["z.txt"], "99_failed": ["a.txt"]}


@pytest.mark.parametrize("told", [50, 500])
def test_a_large_job_leaves_room_to_others(signed, scratch, monkeypatch, told):
    """Whatever size it is told to have."""
    signed.put("00_waiting", "0.txt", data=bytes(500))
    monkeypatch.setattr(room, "LARGE", 100)
    usage = type("", (), {"total": 1000, "free": 60})
    monkeypatch.setattr(room.shutil, "disk_usage", lambda _: usage)
    monkeypatch.setattr(Job, "size", lambda job: told if job.name() == "0.txt" else 6)
    assert "0.txt ... failed in 0.0 s: its file can't be read: " in work(signed, code=1)
    assert signed.jobs() == {"02_done": ["a.txt"], "99_failed": ["0.txt"]}
    assert not any(scratch.iterdir())


@POSIX
def test_signatures_that_nobody_can_read_are_about_no_job(local, key_file, tmp_path):
    """The jobs stay: somebody may put the folder right."""
    local.run("init", "--mode", "verify")
    local.run("add", "--param", "x=1,2", "--sign")
    folder = tmp_path / "jobs" / "_queue" / "signatures"
    folder.rename(tmp_path / "away")
    folder.symlink_to(tmp_path / "away")
    local.run("work", "--signed-only", "--", "true", code=2)
    assert "signatures" in local.stderr
    assert local.jobs() == {"00_waiting": ["x1.json", "x2.json"]}


@pytest.mark.parametrize("odd", ["\ud800", "a\0b", "\x1b[2J", "x" * 301, 7, None, ""])
def test_an_odd_id_of_a_queue_is_none(local, key_file, odd):
    """The next worker gives it a new one; what was signed is signed for another queue."""
    local.run("init", "--mode", "verify")
    local.run("add", "--param", "x=1", "--sign")
    record = json.loads(local.store.read("_queue/queue.json"))
    local.store.write("_queue/queue.json", json.dumps({**record, "id": odd}).encode())
    assert "has no id" in local.refused("add", "--param", "x=2", "--sign")
    local.run("work", "--", "true")
    assert queue_id(local).isalnum()
    local.store.rename("02_done/x1.json", "00_waiting/x1.json")
    assert "1 refused" in work(local, code=1)


@pytest.mark.parametrize("command", ["work", "add", "key"])
@pytest.mark.parametrize("through", ["", pytest.param("a link", marks=POSIX)])
def test_a_key_among_the_files_of_a_queue_is_refused(local, tmp_path, command, through, invoke):
    path = tmp_path / "jobs" / "_queue" / "key"
    if through and command != "key":
        (tmp_path / "link").symlink_to(path)
    path.touch(mode=0o600)
    path.write_text("ab" * 32)
    named = tmp_path / "link" if through and command != "key" else path
    if command == "key":
        path.unlink()
        line = invoke("key", "--file", str(named), code=2)
    elif command == "add":
        line = local.refused("add", "--param", "x=1", "--sign", "--key-file", named)
    else:
        line = local.refused("work", "--key-file", named, "--", "true")
    assert "is a queue" in line
    assert "ab" * 32 not in line


def signature_of(queue, job, content):
    what = subject(queue_id(queue), job, io.BytesIO(content))
    return f"_queue/signatures/{hashlib.sha256(what).hexdigest()}"


def test_nobody_without_the_key_can_sign(signed, key_file):
    """Neither with another key, nor with a signature of another job."""
    (lawful,) = signatures(signed)
    signature = signed.store.read(f"_queue/signatures/{lawful}")
    forged = {"b.txt": signature, "c.txt": b"", "d.txt": b"0" * 64}
    for name, text in forged.items():
        signed.put("00_waiting", name, data=b"x")
        signed.store.write(signature_of(signed, name, b"x"), text)
    work(signed, code=1)
    assert signed.jobs() == {"02_done": ["a.txt"], "99_failed": [*forged]}


def queue_id(queue):
    return json.loads(queue.store.read("_queue/queue.json"))["id"]


def test_a_name_may_come_back_in_another_unicode_form():
    one, other = (subject("q", name, io.BytesIO()) for name in ("\u00e4", "a\u0308"))
    assert one == other


# -- the key -------------------------------------------------------------------------------


@POSIX
def test_a_key_is_made_for_this_user_alone(local, tmp_path, invoke):
    path = tmp_path / "new key"
    told = invoke("key", "--file", str(path))
    assert "DIRJOBS_KEY_FILE" in told
    assert oct(os.stat(path).st_mode)[-3:] == "600"
    assert repr(this_machines_key(str(path))) == "<SigningKey>"
    assert path.read_text().strip() not in told
    assert "is there already" in invoke("key", "--file", str(path), code=2)


@pytest.mark.parametrize(
    ("text", "mode", "told"),
    [
        pytest.param("ab" * 32, 0o640, "others can read or change the key", marks=POSIX),
        ("short", 0o600, "64 hexadecimal digits"),
        ("\u00e4" * 64, 0o600, "64 hexadecimal digits"),
    ],
)
def test_a_key_that_is_none_or_is_known_is_refused(local, key_file, text, mode, told):
    key_file.write_text(text, encoding="utf-8")
    key_file.chmod(mode)
    line = local.refused("work", "--signed-only", "--", "true")
    assert told in line
    assert "ab" * 32 not in line


def test_a_missing_key_file_is_one_sentence(local):
    assert "can't be read" in local.refused("add", "-", "--sign", "--key-file", "none")


def test_a_queue_without_an_id_has_no_signed_jobs(local, key_file, tmp_path):
    (tmp_path / "a.txt").touch()
    assert "dirjobs init" in local.refused("add", tmp_path / "a.txt", "--sign")
    assert local.jobs() == {}


def test_the_key_is_in_the_keyring(local, keyring, tmp_path, invoke):
    local.run("init", "--mode", "verify")
    (tmp_path / "a.txt").touch()
    assert "`dirjobs key`" in local.refused("add", tmp_path / "a.txt", "--sign")
    invoke("key")
    local.run("add", tmp_path / "a.txt", "--sign")
    work(local)
    assert local.jobs() == {"02_done": ["a.txt"]}
    assert "has a key for dirjobs already" in invoke("key", code=2)


@pytest.mark.parametrize(
    "error", [RuntimeError("it is locked"), ModuleNotFoundError(), KeyError(1)]
)
def test_a_keyring_that_fails_is_one_sentence(local, keyring, error):
    """Backends are packages of other people, and raise whatever they like."""
    keyring.error = error
    line = local.refused("work", "--signed-only", "--", "true")
    assert "keyring can't be used (" in line
    assert "--key-file" in line


def test_a_keyring_that_keeps_nothing_is_none(keyring, invoke):
    keyring.kept = NOTHING
    assert "what it takes is not in it afterwards" in invoke("key", code=2)


def test_without_the_package_the_way_out_is_told(local, monkeypatch):
    monkeypatch.delenv("DIRJOBS_KEY_FILE", raising=False)
    monkeypatch.setitem(sys.modules, "keyring", None)
    line = local.refused("work", "--signed-only", "--", "true")
    assert "`pip install keyring`" in line
    assert "--key-file" in line
