"""What is known of fsspec's filesystems, and what becomes of those that hang, lie and talk."""

from __future__ import annotations

import errno
import gc
import os
import subprocess
import sys
import threading
import time
import traceback

import pytest
from fsspec.asyn import AsyncFileSystem
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.registry import _registry

from dirjobs import open_store
from dirjobs.backends import fsspec as backend
from dirjobs.errors import (
    AlreadyExists,
    AmbiguousResult,
    ConfigurationError,
    Denied,
    LogonRefused,
    NoSpace,
    NotFound,
    StoreError,
    Unavailable,
    Unsupported,
)
from dirjobs.store import Guarantees
from tests.amounts import PATIENCE

CANARY = "canary-Pa55/wort"
RENAMES = Guarantees(atomic_rename=True, atomic_rename_in_folder=True)


class Proved(MemoryFileSystem):
    """Renames in one step; each test has its own files."""

    protocol = "proved"
    cachable = False

    def __init__(self, host=None, **options):
        super().__init__(**options)
        made.append((self, threading.get_ident()))

    @classmethod
    def _strip_protocol(cls, path):
        return "/" + path.removeprefix("proved://").strip("/")

    def mv(self, src, dst, **_):
        with lock:
            if src not in self.store:
                raise FileNotFoundError(src)
            self.store[dst] = self.store.pop(src)

    def close(self):
        closed.append(self)


lock = threading.Lock()
made: list[tuple[Proved, int]] = []
closed: list[Proved] = []


class Strict(Proved):
    """Takes no options."""

    def __init__(self):
        super().__init__()


class AsyncCopying(AsyncFileSystem):
    """As s3fs: ``_cp_file`` and ``_rm_file``, no ``_mv``."""

    protocol = "proved"


class AsyncRenaming(AsyncCopying):
    """As sshfs: an ``_mv``, of which its objects make an ``mv``."""

    async def _mv(self, src, dst, **_):
        """Who knows?"""


@pytest.fixture(autouse=True)
def _own_files(monkeypatch):
    monkeypatch.setattr(MemoryFileSystem, "store", {})
    monkeypatch.setattr(MemoryFileSystem, "pseudo_dirs", [""])
    monkeypatch.setitem(_registry, "proved", Proved)
    made.clear()
    closed.clear()


@pytest.fixture
def use(monkeypatch):
    """Let a class be that of ``proved://``."""

    def use(kind, **options):
        monkeypatch.setitem(_registry, "proved", kind)
        return backend.open_store(
            "proved://jobs", {"guarantees": RENAMES, **options}, timeout=PATIENCE
        )

    return use


def eventually(condition):
    until = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.005)


def all_closed():
    """Whether all filesystems of this test are; those of earlier ones may be let go only now."""
    return {id(filesystem) for filesystem, _ in made} <= set(map(id, closed))


# -- which can hold a queue ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("ftp://me:canary@host/jobs", "a rename over FTP replaces a file that is there"),
        ("s3a://lab/jobs", "an object store has no rename, only copy and delete"),
        ("oss://lab/jobs", "an object store has no rename"),
        ("github://me:repo@main/jobs", "files can only be read there"),
        ("git://jobs", "files can only be read there"),
        ("reference://x", "files can only be read there"),
        ("zip://jobs::https://me:canary@host/x.zip", "an archive is one file"),
        ("tar://jobs::/tmp/x.tar", "an archive is one file"),
        ("simplecache::https://me:canary@host/jobs", "it would be cached"),
        ("filecache::smb://me:canary@host/s/jobs", "it would be cached"),
        ("dir::file:///tmp/jobs", "it is another filesystem in disguise"),
        ("local::file:///tmp/jobs", "it is a chain of filesystems"),
        ("webhdfs://host/jobs", "fsspec takes a rename that HDFS refused for done"),
        ("hdfs://host/jobs", "nobody has tried whether of several who rename one file by hdfs://"),
        ("gdrive://jobs", "nobody has tried"),
        ("dropbox://jobs", "nobody has tried"),
        ("jupyter://host/jobs?token=canary", "nobody has tried"),
    ],
)
def test_what_can_not_hold_a_queue_is_refused_in_one_sentence(url, why):
    with pytest.raises(ConfigurationError) as caught:
        open_store(url)
    said = str(caught.value)
    assert why in said
    assert said.startswith("'") and "can't hold a queue: " in said and said.endswith(".")
    assert "\n" not in said
    assert "canary" not in said


def test_object_stores_are_refused_before_their_packages_are_asked_for():
    for scheme in ("s3a", "r2", "wasb", "oci"):
        with pytest.raises(ConfigurationError, match="has no rename, only copy and delete"):
            backend.open_store(f"{scheme}://lab/jobs", {})


def test_web_pages_below_a_chain_are_no_queue():
    with pytest.raises(ConfigurationError, match="pages can only be read"):
        backend.open_store("http::https://host/jobs", {})


def test_what_nobody_has_tried_is_refused_unless_somebody_says_that_he_has(use):
    with pytest.raises(ConfigurationError, match="nobody has tried"):
        backend.open_store("proved://jobs", {})
    with pytest.raises(ConfigurationError, match="nobody has tried"):
        backend.open_store("proved://jobs", {"guarantees": Guarantees(visible_after=0)})
    assert use(Proved).guarantees == RENAMES


@pytest.mark.parametrize("kind", [MemoryFileSystem, AsyncCopying])
def test_nobody_can_promise_that_copy_and_delete_is_a_rename(use, kind):
    with pytest.raises(ConfigurationError, match="renames by copying and deleting"):
        use(kind)


def test_an_asynchronous_rename_is_seen(use):
    use(AsyncRenaming)


def test_a_class_that_another_package_has_put_in_place_of_a_known_one_is_not_known(monkeypatch):
    """As sshfs does with sftp."""
    monkeypatch.setattr(backend, "get_filesystem_class", lambda _: AsyncRenaming)
    with pytest.raises(ConfigurationError, match=r"rename one file by .*\.AsyncRenaming only"):
        backend.open_store("local:///tmp/jobs", {})


def test_guarantees_are_checked():
    with pytest.raises(ConfigurationError, match=r"must be a dirjobs\.store\.Guarantees"):
        backend.open_store("proved://jobs", {"guarantees": True})


# -- connections -----------------------------------------------------------------------------


def test_nothing_is_connected_before_the_first_request(use):
    store = use(Proved)
    assert not made
    store.mkdir("")
    assert len(made) == 1


def test_each_filesystem_is_used_by_one_thread_only(use):
    used = set()

    class Watched(Proved):
        def info(self, path, **options):
            used.add((id(self), threading.get_ident()))
            return super().info(path, **options)

    store = use(Watched)
    store.mkdir("")
    barrier = threading.Barrier(4)

    def work():
        barrier.wait(PATIENCE)
        for _ in range(20):
            assert store.exists("")

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len({filesystem for filesystem, _ in used}) == len(used) <= 4
    assert all(thread != threading.get_ident() for _, thread in used)
    store.close()
    eventually(all_closed)
    assert store.exists("")  # it connects again


def test_a_store_that_nobody_closes_leaves_no_thread(use):
    store = use(Proved)
    store.mkdir("")
    del store
    eventually(lambda: gc.collect() >= 0 and all_closed())  # once the thread is idle


def test_after_an_answer_that_nobody_understands_it_connects_anew(use):
    class Breaking(Proved):
        def info(self, path, **options):
            if len(made) == 1:
                raise OSError("Socket is closed")
            return super().info(path, **options)

    store = use(Breaking)
    with pytest.raises(Unavailable, match=r"can't look at .*\(OSError: Socket is closed\)"):
        store.exists("x")
    assert not store.exists("x")
    assert len(made) == 2
    eventually(lambda: made[0][0] in closed)


def test_a_clear_answer_is_no_reason_to_connect_anew(use):
    store = use(Proved)
    store.mkdir("")
    for _ in range(3):
        with pytest.raises(NotFound):
            store.read("missing")
    assert len(made) == 1


# -- deadlines -------------------------------------------------------------------------------


class Hanging(Proved):
    """Answers some requests only when the test is over."""

    hangs_at: str = ""
    over = threading.Event()

    def wait(self, verb):
        if verb == self.hangs_at:
            self.over.wait(PATIENCE)

    def __init__(self, **options):
        self.wait("connect")
        super().__init__(**options)

    def ls(self, path, **options):
        self.wait("ls")
        return super().ls(path, **options)

    def mv(self, src, dst, **options):
        self.wait("mv")
        super().mv(src, dst)

    def pipe_file(self, path, value, **options):
        self.wait("pipe")
        super().pipe_file(path, value, **options)


@pytest.fixture
def hanging(monkeypatch):
    """A store with a folder and a file, on a filesystem that then hangs at one verb."""
    monkeypatch.setattr(Hanging, "over", threading.Event())
    monkeypatch.setitem(_registry, "proved", Hanging)

    def hanging(verb, seconds=0.2):
        calm = backend.open_store("proved://jobs", {"guarantees": RENAMES}, timeout=PATIENCE)
        for folder in ("", "a"):
            calm.mkdir(folder)
        calm.write("a/file", b"data")
        monkeypatch.setattr(Hanging, "hangs_at", verb)
        return backend.open_store("proved://jobs", {"guarantees": RENAMES}, timeout=seconds)

    yield hanging
    Hanging.over.set()


def test_a_read_that_is_not_answered_may_be_repeated(hanging):
    store = hanging("ls")
    with pytest.raises(Unavailable, match=r"can't list .*\(no answer within 0.2 s\)"):
        store.list("")
    assert store.read("a/file") == b"data"  # by another filesystem
    assert len(made) == 3


def test_of_a_change_that_is_not_answered_nobody_knows(hanging):
    store = hanging("mv")
    with pytest.raises(AmbiguousResult, match=r"no answer within 0.2 s\): it may have been done"):
        store.rename("a/file", "a/other")
    assert not store.exists("a/other")
    Hanging.over.set()
    eventually(lambda: store.exists("a/other"))  # as the word says


def test_what_was_never_sent_is_surely_not_done(hanging):
    store = hanging("connect")
    with pytest.raises(Unavailable):
        store._ask("write", "x", lambda fs: fs.pipe_file("/jobs/x", b""), changes=True)
    Hanging.over.set()
    eventually(lambda: len(made) == 2)
    assert not store.exists("x")


def test_a_request_that_hangs_does_not_keep_the_interpreter_from_ending():
    code = """
import threading, fsspec
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.registry import _registry
from dirjobs import Guarantees
from dirjobs.backends.fsspec import open_store
class Hanging(MemoryFileSystem):
    protocol = "hanging"
    def info(self, path, **options):
        threading.Event().wait()
    def mv(self, src, dst, **options): ...
fsspec.register_implementation("hanging", Hanging)
promised = Guarantees(atomic_rename=True, atomic_rename_in_folder=True)
store = open_store("hanging://jobs", {"guarantees": promised}, timeout=0.1)
try:
    store.exists("x")
except OSError as error:
    print(error)
store.close()
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE, check=True
    )
    assert done.stdout == "can't look at hanging://jobs/x (no answer within 0.1 s).\n"


# -- errors ----------------------------------------------------------------------------------


class Talking(Proved):
    """Ends every request with an error of the test's choice."""

    error: Exception

    def info(self, path, **options):
        raise self.error

    def ls(self, path, **options):
        raise self.error


@pytest.mark.parametrize(
    ("error", "ours"),
    [
        (FileNotFoundError(errno.ENOENT, "No such file"), NotFound),
        (FileExistsError("it is there"), AlreadyExists),
        (PermissionError("you may not"), Denied),
        (NotImplementedError("not here"), Unsupported),
        (OSError(errno.ENOSPC, "No space left on device"), NoSpace),
        (OSError(errno.EROFS, "Read-only file system"), Denied),
        (OSError("Failure"), Unavailable),
        (TimeoutError("the library's own"), Unavailable),
        (TypeError("'NoneType' object is not iterable"), Unavailable),
    ],
)
def test_an_error_says_why(use, monkeypatch, error, ours):
    monkeypatch.setattr(Talking, "error", error, raising=False)
    # Closed by hand: `error`, which outlives the test, knows the store by its traceback.
    with use(Talking) as store, pytest.raises(ours) as caught:
        store.list("")
    reason = getattr(error, "strerror", None) or str(error)
    assert str(caught.value) == f"can't list proved://jobs ({type(error).__name__}: {reason})."
    assert caught.value.__cause__ is error


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("proved://me:canary-Pa55%2Fwort@host/jobs", {}),
        ("proved://host/jobs?access_token=canary-Pa55%2Fwort", {}),
        ("proved://host/jobs", {"password": CANARY}),
        ("proved://host/jobs", {"client_kwargs": {"aws_secret_access_key": CANARY}}),
        ("proved://host/jobs", {"headers": {"Authorization": [CANARY]}}),
        ("proved://host/jobs", {"passphrase": CANARY.encode()}),
    ],
)
@pytest.mark.parametrize("at", ["connect", "ask"])
def test_no_secret_is_in_a_reason(monkeypatch, use, url, options, at):
    error = OSError(f"login failed: user=me password={CANARY} at proved://me:{CANARY}@host")

    class Refusing(Talking):
        def __init__(self, **options):
            if at == "connect":
                raise error
            super().__init__()

    use(Refusing)
    monkeypatch.setattr(Talking, "error", error, raising=False)
    store = backend.open_store(url, {"guarantees": RENAMES, **options}, timeout=PATIENCE)
    with pytest.raises(Unavailable) as caught:
        store.list("")
    shown = [*traceback.format_exception(caught.value), repr(caught.value), repr(store), store.url]
    assert "login failed: user=me password=***" in str(caught.value)
    assert not [text for text in shown if "canary" in text]


def test_a_reason_with_a_password_like_a_word_is_not_told(use, monkeypatch):
    monkeypatch.setattr(Talking, "error", OSError("no such user abc"), raising=False)
    store = use(Talking, password="abc")
    with pytest.raises(Unavailable, match=r"^can't list proved://jobs \(OSError\)\.$"):
        store.list("")


@pytest.mark.parametrize(
    ("raised", "ours", "do"),
    [
        (ConnectionRefusedError(111, "Connection refused"), Unavailable, ""),
        (PermissionError("Authentication failed."), LogonRefused, "check user and password"),
        (KeyError("host"), Unsupported, "check URL and options"),
    ],
)
def test_why_it_can_not_connect(use, raised, ours, do):
    class Unreachable(Proved):
        def __init__(self, **options):
            raise raised

    with pytest.raises(ours, match=f"since fsspec can't connect .{type(raised).__name__}.*{do}"):
        use(Unreachable).list("")


def test_an_option_that_the_class_does_not_know_is_told(use):
    with pytest.raises(Unsupported, match=r"TypeError: .*'nonsense'.*: check URL and options\.$"):
        use(Strict, nonsense=1).list("")


def test_a_folder_that_somebody_else_makes_at_the_same_time_is_there(use):
    """asyncssh's server says Failure to whoever is second."""

    class Second(Proved):
        def mkdir(self, path, create_parents=True, **options):
            super().mkdir(path, create_parents=create_parents)
            raise OSError("Failure")

    store = use(Second)
    with pytest.raises(AlreadyExists):
        store.mkdir("")


def test_a_folder_that_can_not_be_made_is_not_there(use):
    class Failing(Proved):
        def mkdir(self, path, create_parents=True, **options):
            raise OSError("Failure")

    with pytest.raises(AmbiguousResult, match=r"OSError: Failure.*it may have been done or not"):
        use(Failing).mkdir("")


def test_somebody_elses_error_is_not_told_as_the_store_s(use):
    store = use(Proved)
    store.mkdir("")
    store.write("file", b"data")

    class Full:
        def write(self, piece):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(OSError) as caught:
        store.download("file", Full())
    assert not isinstance(caught.value, StoreError)
    assert store.read("file") == b"data"
    assert len(made) == 1
