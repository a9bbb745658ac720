"""Broken connections, frozen servers, false answers: nothing hangs, and what is said is true."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from dirjobs.backends.sftp import SftpStore, open_store
from dirjobs.errors import (
    AlreadyExists,
    AmbiguousResult,
    Denied,
    NoSpace,
    StoreError,
    Unavailable,
    Unsupported,
)
from dirjobs.store import MAX_ENTRIES
from tests.amounts import PATIENCE, amount
from tests.servers import asyncssh_server as sftp
from tests.servers.asyncssh_server import AsyncSsh, Fault, Personality
from tests.servers.child import free_port, running_in_new_folder
from tests.servers.sshd import OpenSsh, SshServer, make_key

TIMEOUT = 2.0


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenSsh]:
    with OpenSsh(tmp_path_factory.mktemp("sshd")) as server:
        yield server


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AsyncSsh]:
    with AsyncSsh(tmp_path_factory.mktemp("faulty")) as server:
        yield server


def emptied(root: Path) -> None:
    for path in root.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def opened(server: SshServer | AsyncSsh, **options: object) -> SftpStore:
    return open_store(server.url, {**server.options, "timeout": TIMEOUT, **options})


@pytest.fixture
def store(sshd: OpenSsh) -> Iterator[SftpStore]:
    emptied(sshd.root)
    with opened(sshd) as store:
        store.write("job", b"x")
        yield store
    sshd.thaw()


@pytest.fixture
def on_faulty(faulty: AsyncSsh) -> Iterator[SftpStore]:
    emptied(faulty.root)
    with opened(faulty) as store:
        store.write("job", b"x")
        store.write("other", b"y")
        store.rename("other", "another")  # now it is known how this server renames
        yield store
    faulty.thaw()
    faulty.disarm()


def names(server: SshServer | AsyncSsh) -> list[str]:
    return sorted(os.listdir(server.root))


CHANGES: dict[str, Callable[[SftpStore], None]] = {
    "claim": lambda store: store.claim("job", "w1.job"),
    "rename": lambda store: store.rename("job", "w1.job"),
    "remove": lambda store: store.remove("job"),
    "mkdir": lambda store: store.mkdir("folder"),
    "write": lambda store: store.write("new", b"x"),
    "upload": lambda store: store.upload("new", io.BytesIO(b"x")),
}
LOOKS: dict[str, Callable[[SftpStore], object]] = {
    "list": lambda store: store.list(""),
    "exists": lambda store: store.exists("job"),
    "mtime": lambda store: store.mtime("job"),
    "read": lambda store: store.read("job"),
    "download": lambda store: store.download("job", io.BytesIO()),
}
DONE: dict[str, Callable[[Path], bool]] = {
    "claim": lambda root: (root / "w1.job").exists() and not (root / "job").exists(),
    "rename": lambda root: (root / "w1.job").exists() and not (root / "job").exists(),
    "remove": lambda root: not (root / "job").exists(),
    "mkdir": lambda root: (root / "folder").is_dir(),
    "write": lambda root: (root / "new").exists(),
    "upload": lambda root: (root / "new").exists() and (root / "new").read_bytes() == b"x",
}


# -- a real server that dies, freezes, comes back -----------------------------------------


def test_killed_serving_processes_are_made_good_by_the_next_call(
    sshd: OpenSsh, store: SftpStore
) -> None:
    for _ in range(3):
        assert sshd.kill_serving() >= 1
        with contextlib.suppress(Unavailable):
            store.exists("job")  # the end of the connection may not have reached us yet
        assert store.read("job") == b"x"


def test_a_restarted_server_is_made_good_by_the_next_call(tmp_path: Path) -> None:
    with OpenSsh(tmp_path) as server, opened(server) as store:
        store.write("job", b"x")
        server.stop()
        with pytest.raises(Unavailable):
            store.exists("job")  # the end of the connection may not have reached us yet
        with pytest.raises(Unavailable, match="can't be reached"):
            store.rename("job", "never")
        server.start()
        store.rename("job", "w1.job")
        assert store.read("w1.job") == b"x"
        assert names(server) == ["w1.job"]


@pytest.mark.parametrize("verb", [*CHANGES, *LOOKS])
def test_a_frozen_server(sshd: OpenSsh, store: SftpStore, verb: str) -> None:
    error: type[StoreError] = AmbiguousResult if verb in CHANGES else Unavailable
    sshd.freeze()
    with pytest.raises(error, match="no answer within 2 s") as raised:
        (CHANGES | LOOKS)[verb](store)  # returns while the server is still frozen
    assert type(raised.value) is error
    sshd.thaw()
    assert store.exists("") is True


def test_logging_on_to_a_frozen_server_ends_for_all_who_wait(tmp_path: Path) -> None:
    """They don't wait one after the other."""
    with OpenSsh(tmp_path) as server, opened(server, connect_timeout=TIMEOUT) as store:
        server.freeze()
        others = [store.another() for _ in range(16)]
        with ThreadPoolExecutor(16) as threads:
            outcomes = list(threads.map(lambda one: unavailable(one), others))
        server.thaw()
        assert all("can't be reached" in each for each in outcomes), outcomes
        assert store.exists("")
        # One login is tried for all who were there when it began, and one for who came later.
        assert len({id(each) for each in outcomes}) <= 4


def unavailable(store: SftpStore) -> StoreError | str:
    try:
        store.exists("")
    except Unavailable as error:
        return str(error)
    return "it answers"


def test_a_big_upload_to_a_frozen_server_ends_too(sshd: OpenSsh, store: SftpStore) -> None:
    """More than the buffers between hold: here sending itself waits."""

    class Endless(io.RawIOBase):
        def read(self, size: int = -1) -> bytes:
            sshd.freeze()
            return bytes(size)

    with pytest.raises(AmbiguousResult):
        store.upload("big", Endless())  # type: ignore[arg-type]
    sshd.thaw()
    assert store.exists("job")


def test_what_the_source_of_an_upload_raises_is_not_hidden(sshd: OpenSsh, store: SftpStore) -> None:
    class Interruption(BaseException):
        """As KeyboardInterrupt, which pytest would take for its own."""

    class Interrupted(io.RawIOBase):
        def read(self, size: int = -1) -> bytes:
            sshd.freeze()
            raise Interruption

    with pytest.raises(Interruption):
        store.upload("new", Interrupted())  # type: ignore[arg-type]
    sshd.thaw()


def test_what_the_target_of_a_download_raises_is_not_hidden(
    sshd: OpenSsh, store: SftpStore
) -> None:
    class Full(io.BytesIO):
        def write(self, _: object) -> int:
            sshd.freeze()
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        store.download("job", Full())
    sshd.thaw()


def test_the_key_of_a_server_that_is_set_up_anew(tmp_path: Path) -> None:
    with OpenSsh(tmp_path) as server, opened(server) as store:
        store.write("job", b"x")
        known = (server.home / "known_hosts").read_bytes()
        server.stop()
        for path in (server.home / "host_key", server.home / "host_key.pub"):
            path.unlink()
        make_key(server.home / "host_key")
        server.start()
        (server.home / "known_hosts").write_bytes(known)
        with pytest.raises(StoreError):
            store.exists("job")  # the end of the connection may not have reached us yet
        with pytest.raises(Denied, match="its host key is not the one that is known") as raised:
            store.exists("job")
        assert f"ssh-keygen -R '[127.0.0.1]:{server.port}'" in str(raised.value)


def test_a_host_that_is_down(tmp_path: Path) -> None:
    with open_store(f"sftp://127.0.0.1:{free_port()}/tmp", {"ssh_config": []}) as store:
        for _ in range(2):
            with pytest.raises(Unavailable, match="can't be reached"):
                store.rename("a", "b")
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_lets_few_knock_at_once(tmp_path: Path) -> None:
    """MaxStartups and MaxSessions are 10 where nobody has set them; 16 slots and their threads
    come through all the same."""
    with (
        OpenSsh(tmp_path, extra="MaxStartups 10:30:100\nMaxSessions 10") as server,
        opened(server, timeout=PATIENCE, connect_timeout=PATIENCE) as store,
    ):
        others = [store.another() for _ in range(16)]

        def work(number: int) -> int:
            mine = others[number % 16] if number < 16 else store
            for turn in range(5):
                mine.write(f"{number}-{turn}", b"x")
                mine.rename(f"{number}-{turn}", f"w{number}-{turn}")
            return len(list(mine.list("")))

        with ThreadPoolExecutor(32) as threads:
            assert all(threads.map(work, range(32)))
        assert len(names(server)) == 160
        assert len(server.serving()) <= 17 + 2 * 3  # one for each channel, two for each login
        for other in others:
            other.close()


@pytest.mark.parametrize("lines", ["MaxSessions 1", "MaxSessions 3"])
def test_a_server_that_lets_few_channels_be_opened(tmp_path: Path, lines: str) -> None:
    with OpenSsh(tmp_path, extra=lines) as server, opened(server) as store:
        others = [store.another() for _ in range(8)]
        with ThreadPoolExecutor(8) as threads:
            assert all(threads.map(lambda one: one.exists(""), others))
        for other in others:
            other.close()


# -- one fault at one request ---------------------------------------------------------------


@pytest.mark.parametrize("verb", [*CHANGES, *LOOKS])
@pytest.mark.parametrize("fault", [Fault.CUT_BEFORE, Fault.CUT_AFTER])
def test_a_lost_answer_is_ambiguous_where_it_matters(
    faulty: AsyncSsh, on_faulty: SftpStore, verb: str, fault: Fault
) -> None:
    error: type[StoreError] = AmbiguousResult if verb in CHANGES else Unavailable
    faulty.arm(fault, of=sftp.LOOKS | sftp.CHANGES)
    with pytest.raises(error) as raised:
        (CHANGES | LOOKS)[verb](on_faulty)
    assert type(raised.value) is error
    assert faulty.disarm()
    assert on_faulty.exists("") is True


@pytest.mark.parametrize("verb", CHANGES)
@pytest.mark.parametrize("fault", [f for f in Fault if f is not Fault.FREEZE])
def test_what_is_said_is_true(
    faulty: AsyncSsh, on_faulty: SftpStore, verb: str, fault: Fault
) -> None:
    """At each request of each verb that changes something."""
    for number in range(1, 10):
        emptied(faulty.root)
        (faulty.root / "job").write_bytes(b"x")
        faulty.arm(fault, number)
        said: StoreError | None = None
        try:
            CHANGES[verb](on_faulty)
        except StoreError as error:
            said = error
        if not faulty.disarm():
            assert said is None
            break
        done = DONE[verb](faulty.root)
        if said is None:
            assert done
        elif not isinstance(said, AmbiguousResult):
            # Version 3 has one code for "exists" and "failed": a folder of ours looks like others'.
            untold = verb == "mkdir" and isinstance(said, AlreadyExists)
            # A file that was begun may be there, as said in the contract of `upload`.
            begun = verb == "upload" and isinstance(said, Denied)
            assert not done or untold or begun, said
        contents = [path.read_bytes() for path in faulty.root.iterdir() if path.is_file()]
        assert b"x" in contents or verb == "remove", f"lost at {number}: {said}"
    assert number > 1


@pytest.mark.parametrize("fault", [f for f in Fault if f is not Fault.FREEZE])
@pytest.mark.parametrize("unknown", [(), (sftp.POSIX_RENAME,), (sftp.POSIX_RENAME, sftp.LINK)])
@pytest.mark.parametrize("replacing", [False, True])
def test_replacing_a_file_never_loses_both(
    tmp_path: Path, fault: Fault, unknown: tuple[str, ...], replacing: bool
) -> None:
    personality = Personality(unknown=unknown, replacing=replacing)
    with AsyncSsh(tmp_path, personality) as server, opened(server) as store:
        for number in range(1, 12):
            emptied(server.root)
            (server.root / "file").write_bytes(b"old")
            server.arm(fault, number)
            said: StoreError | None = None
            try:
                store.write("file", b"new")
            except StoreError as error:
                said = error
            fired = server.disarm()
            there = {path.name: path.read_bytes() for path in server.root.iterdir()}
            if said is None:
                assert there["file"] == b"new"
            elif isinstance(said, AmbiguousResult):
                assert {b"old", b"new"} & set(there.values()), (number, there)
            else:
                assert there == {"file": b"old"}, (number, said, there)
            if not fired:
                assert said is None
                break


@pytest.mark.parametrize("fault", [f for f in Fault if f is not Fault.FREEZE])
@pytest.mark.parametrize(
    "personality",
    [
        Personality(),
        Personality(replacing=True),
        Personality(replacing=True, unknown=[sftp.POSIX_RENAME, sftp.LINK]),
        Personality(unknown=[sftp.POSIX_RENAME, sftp.LINK]),
        Personality(replacing=True, idle_link=True),
    ],
    ids=["asyncssh", "replacing", "MySecureShell", "old", "rclone"],
)
def test_renaming_never_loses_a_file(
    tmp_path: Path, personality: Personality, fault: Fault
) -> None:
    """From the first rename on, which also finds out how this server renames: whatever fails
    there, nothing is replaced and nothing lost."""
    with AsyncSsh(tmp_path, personality) as server:
        for number in range(1, 40):
            with opened(server) as store:
                emptied(server.root)
                for name in ("a", "b", "c"):
                    (server.root / name).write_bytes(name.encode())
                server.arm(fault, number)
                told = [outcome(store, name, "target") for name in ("a", "b", "c")]
                fired = server.disarm()
                said = [each for each in told if each is None or isinstance(each, AmbiguousResult)]
                kept = {path.read_bytes() for path in server.root.iterdir()}
                assert kept >= {b"a", b"b", b"c"}, (number, told)
                assert sum(each is None for each in told) <= 1, (number, told)
                left = {path.name for path in server.root.iterdir()} & {"a", "b", "c"}
                for name, each in zip("abc", told, strict=True):
                    if each is None:
                        assert (server.root / "target").read_bytes() == name.encode()
                        assert name not in left
                    elif not isinstance(each, AmbiguousResult):
                        assert name in left, (number, told)
                        assert (server.root / "target").exists() is (said != []) or said
            if not fired:
                assert told[0] is None
                assert all(isinstance(each, AlreadyExists) for each in told[1:])
                return
        raise AssertionError("so many requests?")


def outcome(store: SftpStore, source: str, target: str) -> StoreError | None:
    try:
        store.rename(source, target)
    except StoreError as error:
        return error
    return None


def test_a_frozen_claim_may_still_happen_and_later_calls_work(
    faulty: AsyncSsh, on_faulty: SftpStore
) -> None:
    faulty.arm(Fault.FREEZE, of=sftp.POSIX_RENAME)
    with pytest.raises(AmbiguousResult, match=r"rename 'job' to 'w1\.job' \(no answer within"):
        on_faulty.claim("job", "w1.job")
    faulty.thaw()
    assert on_faulty.exists("job") is not on_faulty.exists("w1.job")


def test_a_claim_cut_before_the_request_is_not_done(faulty: AsyncSsh, on_faulty: SftpStore) -> None:
    faulty.arm(Fault.CUT_BEFORE, of=sftp.POSIX_RENAME)
    with pytest.raises(AmbiguousResult):
        on_faulty.claim("job", "w1.job")
    assert not on_faulty.exists("w1.job")
    on_faulty.claim("job", "w1.job")
    assert names(faulty) == ["another", "w1.job"]


def test_a_claim_cut_after_the_request_is_done(faulty: AsyncSsh, on_faulty: SftpStore) -> None:
    faulty.arm(Fault.CUT_AFTER, of=sftp.POSIX_RENAME)
    with pytest.raises(AmbiguousResult):
        on_faulty.claim("job", "w1.job")
    assert on_faulty.exists("w1.job")
    assert names(faulty) == ["another", "w1.job"]


def test_nothing_is_ever_sent_twice(faulty: AsyncSsh, on_faulty: SftpStore) -> None:
    for fault in (Fault.CUT_BEFORE, Fault.CUT_AFTER, Fault.LIES):
        faulty.requests.clear()
        faulty.arm(fault, of=sftp.POSIX_RENAME)
        with pytest.raises(StoreError):
            on_faulty.claim("job", "w1.job")
        assert faulty.requests.count(sftp.POSIX_RENAME) == 1
        if (faulty.root / "w1.job").exists():
            (faulty.root / "w1.job").rename(faulty.root / "job")


def test_a_half_done_rename_is_finished(sshd: OpenSsh, store: SftpStore) -> None:
    """OpenSSH's RENAME links and then unlinks; killed between the two, both names are there."""
    os.link(sshd.root / "job", sshd.root / "w1.job")
    store.rename("job", "w1.job")
    assert names(sshd) == ["w1.job"]


def test_a_refused_rename_leaves_the_times_of_both_files(sshd: OpenSsh, store: SftpStore) -> None:
    """Two files of one size and second look like one that was linked: to find out costs a
    change, which is taken back."""
    for name in ("job", "w1.job"):
        (sshd.root / name).write_bytes(b"x")
        os.utime(sshd.root / name, (1_000_000_000, 1_100_000_000))
    with pytest.raises(AlreadyExists):
        store.rename("job", "w1.job")
    for name in ("job", "w1.job"):
        told = (sshd.root / name).stat()
        assert (int(told.st_atime), told.st_mtime) == (1_000_000_000, 1_100_000_000)


# -- no room, no right ----------------------------------------------------------------------


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[OpenSsh]:
    server = OpenSsh(tmp_path)
    mounting = ["mount", "-t", "tmpfs", "-o", "size=131072", "none", str(server.root)]
    if subprocess.run(mounting, capture_output=True, check=False).returncode:
        pytest.skip("a full disk needs the right to mount a tmpfs: run the tests as root")
    try:
        with server:
            yield server
    finally:
        subprocess.run(["umount", "--lazy", server.root], check=True)


def test_a_full_disk(tiny: OpenSsh) -> None:
    with opened(tiny) as store:
        store.write("job", b"x")
        with pytest.raises(NoSpace, match="no room left on the disk") as raised:
            store.upload("big", io.BytesIO(bytes(1_000_000)))
        print(raised.value)
        assert store.read("job") == b"x"
        store.remove("big")
        (tiny.root / "filler").write_bytes(bytes(os.statvfs(tiny.root).f_bavail * 4096))
        with pytest.raises(NoSpace):
            store.write("job", b"longer" * 1000)
        with pytest.raises(NoSpace):
            store.write("new", b"new")
        assert store.read("job") == b"x"
        assert names(tiny) == ["filler", "job"]
        store.rename("job", "w1.job")
        assert names(tiny) == ["filler", "w1.job"]


@pytest.mark.parametrize("verb", CHANGES)
def test_a_read_only_server(tmp_path: Path, verb: str) -> None:
    with OpenSsh(tmp_path, subsystem="internal-sftp -R") as server, opened(server) as store:
        (server.root / "job").write_bytes(b"x")
        with pytest.raises(Denied) as raised:
            CHANGES[verb](store)
        print(raised.value)
        assert names(server) == ["job"]
        assert store.read("job") == b"x"


@pytest.mark.parametrize("verb", CHANGES)
def test_another_user_s_folder(verb: str) -> None:
    if os.geteuid():
        pytest.skip("another user's login needs root")
    with running_in_new_folder("sshd", OpenSsh) as server:
        server.home.chmod(0o755)
        (server.root / "job").write_bytes(b"x")
        server.user = "nobody"
        with opened(server) as store:
            with pytest.raises(Denied) as raised:
                CHANGES[verb](store)
            print(raised.value)
            assert names(server) == ["job"]
            assert store.read("job") == b"x"


# -- false listings ---------------------------------------------------------------------------


def test_hostile_names_lead_nowhere(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    hostile = [b"../x", b"a/b", b"/etc/passwd", b"", b"a\0b", b".", b".."]
    odd = [b"a\nb", b"\x1b[31mred", b"caf\xe9", b"good", b"a\\b"]
    with AsyncSsh(tmp_path, Personality(names=hostile + odd)) as server, opened(server) as store:
        found = {entry.name for entry in store.list("")}
        assert found == {name.decode(errors="surrogateescape") for name in odd}
        assert {name for name in found if not store.name_problem(name)} == {"good"}
    assert not any("\x1b" in record.getMessage() for record in caplog.records)


@pytest.mark.parametrize("more", [0, 1])
def test_too_many_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: int) -> None:
    most = amount(3_000, MAX_ENTRIES)
    monkeypatch.setattr("dirjobs.backends.sftp.directory.MAX_ENTRIES", most)
    many = [b"%06d" % number for number in range(most + more)]
    with (
        AsyncSsh(tmp_path, Personality(names=many)) as server,
        opened(server, timeout=PATIENCE) as store,
    ):
        if not more:
            assert len(list(store.list(""))) == most
            return
        with pytest.raises(Unsupported, match=f"more than {most:,} names"):
            store.list("")
        assert store.exists("")


# -- threads, forks, ends -----------------------------------------------------------------------


def test_closing_while_others_send(sshd: OpenSsh, store: SftpStore) -> None:
    """They are told the truth, and the next call connects again."""
    stop = threading.Event()
    wrong: list[BaseException] = []

    def send(number: int) -> None:
        turn = 0
        try:
            while not stop.is_set():
                turn += 1
                with contextlib.suppress(Unavailable, AmbiguousResult):
                    store.write(f"{number}", b"x" * 10)
                with contextlib.suppress(Unavailable):
                    store.list("")
        except BaseException as error:  # noqa: BLE001 - told to the test
            wrong.append(error)

    senders = [threading.Thread(target=send, args=(number,)) for number in range(4)]
    for sender in senders:
        sender.start()
    for _ in range(10):
        store.close()
        with contextlib.suppress(Unavailable):
            store.exists("job")
    stop.set()
    for sender in senders:
        sender.join(PATIENCE)
    assert not wrong
    assert store.exists("job")
    store.close()
    wait_for_no_connection(sshd)


def wait_for_no_connection(server: SshServer) -> None:
    """The other side may take a moment to see that we have hung up."""
    for process in server.serving():
        process.wait(PATIENCE)


def test_closed_stores_leave_no_connection(sshd: OpenSsh, store: SftpStore) -> None:
    others = [store.another() for _ in range(12)]
    for other in others:
        assert other.exists("")
    for each in (*others, store):
        each.close()
        each.close()
    wait_for_no_connection(sshd)
    assert store.exists("job")


def test_a_fork_while_requests_are_under_way(sshd: OpenSsh, store: SftpStore) -> None:
    """The child starts afresh, and the parent's threads go on as if nothing was."""
    stop = threading.Event()
    wrong: list[BaseException] = []

    def look() -> None:
        try:
            while not stop.is_set():
                assert store.read("job") == b"x"
        except BaseException as error:  # noqa: BLE001 - told to the test
            wrong.append(error)

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for number in range(3):
            pid = os.fork()
            if pid == 0:
                try:
                    store.write(f"child{number}", b"x")
                    store.close()
                    os._exit(0)
                finally:
                    os._exit(1)
            assert os.waitpid(pid, 0)[1] == 0
    finally:
        stop.set()
        for thread in threads:
            thread.join(PATIENCE)
    assert not wrong
    assert names(sshd) == ["child0", "child1", "child2", "job"]
