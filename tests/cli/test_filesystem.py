"""A queue's folder as a filesystem of fsspec: to read what came of jobs, and never to claim any."""

import io
import os
import pickle

import pytest

from dirjobs import Denied, DirJobs, Unavailable, Unsupported
from dirjobs.backends.memory import MemoryStore
from dirjobs.protocol.folders import make_folders
from dirjobs.protocol.share import Share
from tests.fake_webdav import Fault

CURVE = b"step,loss\n0,0.5\n1,0.25\n"
PLACE = "results/a.json/w1/curve.csv"


class InMemory:
    """A queue on the store that needs nothing."""

    def __init__(self):
        self.store = MemoryStore()
        make_folders(Share(self.store))


@pytest.fixture(params=["folder", "WebDAV", "memory"])
def dj(request):
    """A queue with a job that has left a file, and one that waits."""
    if request.param == "memory":
        store = InMemory().store
    else:
        store = request.getfixturevalue("local" if request.param == "folder" else "far").store
    with DirJobs(store, job_ext="") as dj:
        dj.add("a.json", '{"lr": 0.1}')
        with dj.next_and_lock() as job:
            (job.out / "curve.csv").write_bytes(CURVE)
        dj.add("b.json", "{}")
        yield dj


def test_what_came_of_jobs_is_read(dj):
    fs = dj.fs
    assert fs.cat(PLACE) == CURVE
    assert fs.cat_file(PLACE, 5, 9) == CURVE[5:9]
    with fs.open(PLACE) as file:
        file.seek(10)
        assert file.read(3) == CURVE[10:13]
    with fs.open(f"/{PLACE}", "r") as file:
        assert file.readlines()[1] == "0,0.5\n"
    assert fs.size(PLACE) == len(CURVE)
    assert fs.modified(PLACE).year > 2000
    assert fs.read_text("00_waiting/b.json") == "{}"


def test_what_is_there(dj):
    fs = dj.fs
    assert {"00_waiting", "results"} <= set(fs.ls("", detail=False))
    assert fs.ls(PLACE, detail=False) == [PLACE]
    assert fs.find("results") == [PLACE]
    assert fs.glob("results/*/*/*.csv") == [PLACE]
    assert (fs.isdir("results"), fs.isfile(PLACE), fs.isdir("")) == (True, True, True)
    assert fs.exists(PLACE)
    assert not fs.exists("results/nothing/x")
    for look in (fs.info, fs.ls, fs.cat):
        with pytest.raises(FileNotFoundError):
            look("results/nothing")


def test_files_are_fetched_home(dj, tmp_path):
    dj.fs.get("results/", os.fspath(tmp_path / "home"), recursive=True)
    (found,) = (path for path in (tmp_path / "home").rglob("*.csv"))
    assert found.read_bytes() == CURVE


def test_files_of_ones_own_are_written_beside_the_jobs(dj):
    fs = dj.fs
    fs.pipe("figures/2018/a.bin", b"one")
    with fs.open("figures/2018/a.bin", "wb") as file:
        file.write(b"two")
    fs.copy(PLACE, "figures/curve.csv")
    fs.makedirs("more/deep", exist_ok=True)
    assert fs.cat("figures/2018/a.bin") == b"two"
    assert fs.cat("figures/curve.csv") == CURVE
    assert fs.isdir("more/deep")
    with pytest.raises(FileExistsError):
        fs.open("figures/curve.csv", "xb")
    with pytest.raises(FileExistsError):
        fs.makedirs("more/deep")
    with pytest.raises(Unsupported, match="whole"):
        fs.open("figures/curve.csv", "ab")


def test_half_a_file_is_not_stored(dj):
    with pytest.raises(ZeroDivisionError), dj.fs.open("figures/a", "wb") as file:
        file.write(b"half")
        1 / 0  # noqa: B018 - for its error
    assert not dj.fs.exists("figures/a")
    dj.fs.open("figures/a", "wb").write(b"half")
    assert not dj.fs.exists("figures/a")


CHANGES = {
    "move to claim": lambda fs: fs.mv("00_waiting/b.json", "01_running/w1.b.json"),
    "move": lambda fs: fs.move("02_done/a.json", "00_waiting/a.json", recursive=True),
    "rename": lambda fs: fs.rename(PLACE, "results/elsewhere"),
    "copy": lambda fs: fs.copy("02_done/a.json", "00_waiting/again.json"),
    "copy a file": lambda fs: fs.cp_file(PLACE, "01_running/w1.b.json"),
    "write": lambda fs: fs.pipe("00_waiting/b.json", b"other"),
    "open": lambda fs: fs.open("99_failed/b.json", "wb"),
    "touch": lambda fs: fs.touch("02_done/b.json"),
    "in other capitals": lambda fs: fs.pipe("00_WAITING/b.json", b"other"),
    "the queue's own": lambda fs: fs.pipe("_queue/queue.json", b"{}"),
    "put": lambda fs: fs.put_file(__file__, "00_waiting/test.py"),
    "a folder": lambda fs: fs.mkdir("01_running/deep"),
    "remove": lambda fs: fs.rm("00_waiting/b.json"),
    "remove all": lambda fs: fs.rm("02_done", recursive=True),
    "remove a file": lambda fs: fs.rm_file(PLACE),
    "delete": lambda fs: fs.delete(PLACE),
    "remove a folder": lambda fs: fs.rmdir("results"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_nothing_is_claimed_moved_or_removed(dj, change):
    before = {path: dj.fs.cat(path) for path in dj.fs.find("") if "_queue" not in path}
    with pytest.raises(Denied, match="by this filesystem") as caught:
        CHANGES[change](dj.fs)
    assert "\n" not in str(caught.value)
    assert before == {path: dj.fs.cat(path) for path in dj.fs.find("") if "_queue" not in path}


@pytest.mark.parametrize("path", ["../x", "results/../../x", "results//x", "results/./x", "a\0b"])
def test_nothing_outside_the_queue_is_seen(dj, path):
    for look in (dj.fs.cat_file, dj.fs.info, lambda path: dj.fs.pipe_file(path, b"x")):
        with pytest.raises(ValueError, match="not a store path"):
            look(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs POSIX")
def test_what_is_no_file_is_not_waited_for(local, tmp_path):
    os.makedirs(f"{local.url}/results/a")
    os.mkfifo(f"{local.url}/results/a/pipe")
    os.symlink("/etc/hostname", f"{local.url}/results/a/link")
    with DirJobs(local.url) as dj:
        for name in ("pipe", "link"):
            with pytest.raises(OSError, match="no regular file"):
                dj.fs.cat_file(f"results/a/{name}")


def test_the_login_is_the_queues_and_is_not_pickled(serve_fake):
    server = serve_fake(user="me", password="secret")
    options = {"username": "me", "password": "secret", "netrc": False}
    with DirJobs(f"{server.url}/jobs", storage_options=options, create=True) as dj:
        dj.fs.pipe("mine/a", b"one")
        assert dj.fs.cat("mine/a") == b"one"
        assert "secret" not in repr(dj.fs)
        with pytest.raises(TypeError, match="pickled"):
            pickle.dumps(dj.fs)


def test_an_outage_is_no_absence(far, server):
    with DirJobs(far.url) as dj:
        fs = dj.fs
        server.faults.add(Fault("status", status=503, times=None))
        with pytest.raises(Unavailable):
            fs.exists("results")
        server.faults.clear()


# -- for whom it is ---------------------------------------------------------------------------


def test_pandas_reads_and_writes(dj):
    pandas = pytest.importorskip("pandas")
    with dj.fs.open(PLACE) as file:
        frame = pandas.read_csv(file)
    assert frame["loss"].tolist() == [0.5, 0.25]
    with dj.fs.open("figures/out.csv", "w") as file:
        frame.to_csv(file, index=False)
    assert dj.fs.cat("figures/out.csv") == CURVE


def test_pyarrow_reads_and_writes(dj):
    parquet = pytest.importorskip("pyarrow.parquet")
    pyarrow = pytest.importorskip("pyarrow")
    table = pyarrow.table({"a": [1, 2]})
    data = io.BytesIO()
    parquet.write_table(table, data)
    dj.fs.pipe("figures/a.parquet", data.getvalue())
    assert parquet.read_table("figures/a.parquet", filesystem=dj.fs) == table
    parquet.write_table(table, "figures/b.parquet", filesystem=dj.fs)
    assert parquet.read_table("figures/b.parquet", filesystem=dj.fs) == table
