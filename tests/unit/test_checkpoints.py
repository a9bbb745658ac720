"""What a job keeps for its next attempt: whole or not at all, the latest one, of this job."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import sys
import tarfile

import pytest

from dirjobs import Denied, NoSpace, NotFound, Unavailable
from dirjobs.admin.signatures import Signatures
from dirjobs.backends.memory import MemoryStore
from dirjobs.files.checkpoints import Checkpoints
from dirjobs.files.upload import Delivery
from dirjobs.layers import Layer
from dirjobs.layout import AGREEMENT, KEEP, CheckpointName, may_be_removed, parse_checkpoint
from dirjobs.protocol.folders import make_folders
from dirjobs.protocol.share import Share
from dirjobs.signing import SigningKey

BEGAN = 1_800_000_000.0


class Faulty(Layer):
    """Raises, before each call of a verb, what `faults` has for it, one after the other."""

    def __init__(self, store):
        super().__init__(store)
        self.faults, self.calls = {}, []

    def call(self, verb, paths, native):
        self.calls.append(verb)
        if self.faults.get(verb):
            raise self.faults[verb].pop(0)
        return super().call(verb, paths, native)


@pytest.fixture
def store():
    store = Faulty(MemoryStore())
    make_folders(Share(store))
    store.mkdir(KEEP)
    store.write(AGREEMENT, b'{"id": "a queue"}')
    store.calls.clear()
    return store


@pytest.fixture
def attempt(store, tmp_path):
    """Begins an attempt at job ``a``, on a machine of its own."""

    def attempt(worker, began=0.0, key=None, content=b"job"):
        place = tmp_path / f"{worker}-{len(os.listdir(tmp_path))}"
        place.mkdir()
        (place / "a").write_bytes(content)
        share = Share(store, sleep=lambda seconds: None)
        checkpoints = Checkpoints(
            share,
            Delivery(share),
            job="a",
            worker=worker,
            file=str(place / "a"),
            place=str(place),
            began=BEGAN + began,
            signatures=key and Signatures(share, SigningKey(key)),
        )
        checkpoints.told = checkpoints.fetch()
        return checkpoints

    return attempt


def write(checkpoints, **files):
    for name, text in files.items():
        path = os.path.join(checkpoints.folder, name)
        with open(path, "w") as file:
            file.write(text)


def kept(checkpoints):
    found = {}
    for folder, _, names in os.walk(checkpoints.folder):
        for name in names:
            path = os.path.join(folder, name)
            with open(path) as file:
                found[os.path.relpath(path, checkpoints.folder).replace(os.sep, "/")] = file.read()
    return found


def on_share(store):
    return sorted(entry.name for entry in store.list(f"{KEEP}/a"))


def saved(checkpoints, **files):
    write(checkpoints, **files)
    assert checkpoints.save(patient=False) == ""
    return checkpoints


def put(store, content, worker="x", began=BEGAN + 1, **more):
    """A checkpoint that whoever can write to the share has put there."""
    digest = hashlib.sha256(content).hexdigest()[:32]
    name = CheckpointName(int(began * 1000), 1, worker, **{"digest": digest, **more})
    if "a" not in {entry.name for entry in store.list(KEEP)}:
        store.mkdir(f"{KEEP}/a")
    store.write(f"{KEEP}/a/{name}", content)


def test_the_next_attempt_goes_on_with_what_this_one_kept(store, attempt):
    first = attempt("w1")
    assert (first.told, kept(first)) == ("", {})
    os.makedirs(os.path.join(first.folder, "deep/er"))
    write(first, model="x" * 100_000, **{"deep/er/state": "", "run.sh": "exit"})
    os.chmod(os.path.join(first.folder, "run.sh"), 0o755)
    assert first.save(patient=False) == ""
    second = attempt("w2", 5)
    assert second.told == "goes on from checkpoint 1 of w1"
    assert kept(second) == kept(first)
    mode = os.stat(os.path.join(second.folder, "run.sh")).st_mode
    assert os.name == "nt" or mode & 0o777 == 0o700


def test_what_has_not_changed_costs_nothing(store, attempt):
    first = attempt("w1")
    saved(first, n="1")
    store.calls.clear()
    assert not first.has_changed()
    assert first.save(patient=True) == ""
    second = attempt("w2", 5)
    assert not second.has_changed()
    write(second, n="2")
    assert second.has_changed()


def test_only_the_last_one_stays(store, attempt):
    first = attempt("w1")
    for n in range(5):
        saved(first, n=str(n))
    assert len(on_share(store)) == 1
    second = saved(attempt("w2", 5), n="9")
    assert len(on_share(store)) == 1
    assert kept(attempt("w3", 9)) == kept(second) == {"n": "9"}


def test_what_is_late_replaces_nothing_newer(store, attempt):
    """A worker that lost the job writes once more, after the next one has."""
    first = saved(attempt("w1"), n="1")
    second = attempt("w2", 5)
    saved(second, n="2")
    first_writes = first._began
    write(first, n="late")
    first._listed = list  # it has looked before the other one wrote
    first.save(patient=False)
    assert first._began == first_writes
    assert len(on_share(store)) == 2
    assert kept(attempt("w3", 9)) == {"n": "2"}


@pytest.mark.parametrize("ahead", [0.0, 3600.0, 10**9])
def test_an_attempt_whose_clock_is_behind_is_the_latest_all_the_same(store, attempt, ahead):
    saved(attempt("w1", ahead), n="1")
    for worker in ("w2", "w1", "w1"):
        following = attempt(worker)
        n = int(kept(following)["n"])
        saved(following, n=str(n + 1))
    assert kept(attempt("w3")) == {"n": "4"}


@pytest.mark.parametrize("cut", [0, 1, 1000])
def test_of_one_that_is_cut_short_the_one_before_counts(store, attempt, cut):
    saved(attempt("w1"), n="1")
    (name,) = on_share(store)
    whole = store.read(f"{KEEP}/a/{name}")
    put(store, whole[:cut], digest=hashlib.sha256(whole).hexdigest()[:32])
    second = attempt("w2", 5)
    assert kept(second) == {"n": "1"}
    assert "is left out: it was not stored whole" in second.told


def test_a_new_job_of_an_old_name_begins_anew(store, attempt):
    saved(attempt("w1"), n="1")
    other = attempt("w2", 5, content=b"another job")
    assert kept(other) == {}
    assert "it is of another job that had this name" in other.told


def of(*members, job=b"job", **more):
    """A tar file."""
    file = io.BytesIO()
    headers = {"DIRJOBS.job": f"{len(job)} {hashlib.sha256(job).hexdigest()}"}
    with tarfile.open(fileobj=file, mode="w", pax_headers=headers) as tar:
        for name, kind, more in members:
            info = tarfile.TarInfo(name)
            info.type = kind
            for field, value in more.items():
                setattr(info, field, value)
            tar.addfile(info, io.BytesIO(b"x" * info.size) if kind == tarfile.REGTYPE else None)
    return file.getvalue()


def one(name, kind=tarfile.REGTYPE, **more):
    return of(("before", tarfile.REGTYPE, {"size": 3}), (name, kind, more))


HOSTILE = {
    "absolute": one("/tmp/dirjobs-was-here"),
    "above": one("../above"),
    "above, in the middle": one("a/../../above"),
    "no name": one(""),
    "a dot": one("./x"),
    "a name with a line break": one("x\ny"),
    "the same twice": one("before"),
    "link": one("link", tarfile.SYMTYPE, linkname="/etc/passwd"),
    "hard link": one("link", tarfile.LNKTYPE, linkname="/etc/passwd"),
    "FIFO": one("fifo", tarfile.FIFOTYPE),
    "device": one("device", tarfile.CHRTYPE, devmajor=1, devminor=3),
    "folder": one("folder", tarfile.DIRTYPE),
    "below a file": one("before/x"),
    "long path": one("/".join(["d" * 190] * 90)),
    "deep": one("/".join(["d"] * 200)),
    "sparse": one("x", pax_headers={"GNU.sparse.size": str(1 << 40), "GNU.sparse.map": "0,0"}),
    "long header": one("x", pax_headers={"comment": "x" * (2 << 20)}),
    "odd time": one("x", pax_headers={"mtime": "1e300"}),
    "garbage": b"garbage" * 1000,
    "nothing": b"",
    "cut": one("x", size=5000)[:1700],
    "compressed": b"\x1f\x8b\x08" + b"x" * 600,
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_what_a_stranger_puts_there_goes_nowhere(store, attempt, tmp_path, kind):
    saved(attempt("w1"), n="1")
    put(store, HOSTILE[kind])
    before = {entry.name for entry in os.scandir(tmp_path)}
    second = attempt("w2", 5)
    assert kept(second) == {"n": "1"}
    assert "is left out" in second.told
    new = {entry.name for entry in os.scandir(tmp_path)} - before
    assert new == {os.path.basename(os.path.dirname(second.folder))}
    assert not os.path.exists("/tmp/dirjobs-was-here")
    assert sorted(os.listdir(os.path.dirname(second.folder))) == ["a", "keep"]


@pytest.mark.parametrize("code", [123, 206])
def test_a_path_that_windows_does_not_take_keeps_no_job_from_its_start(
    store, attempt, monkeypatch, code
):
    """Python says of most of them that there is no such file, or no such argument."""
    make = os.makedirs

    def windows_makes(path, **options):
        if os.path.basename(path) == "long":
            error = OSError(errno.EINVAL, "too long", path)
            error.winerror = code
            raise error
        make(path, **options)

    saved(attempt("w1"), n="1")
    put(store, one("long/x"))
    monkeypatch.setattr(os, "makedirs", windows_makes)
    second = attempt("w2", 5)
    assert kept(second) == {"n": "1"}
    assert "is left out" in second.told


def test_only_what_is_signed_by_the_key_is_used(store, attempt):
    key = b"k" * 32
    saved(attempt("w1", key=key), n="signed")
    (name,) = on_share(store)
    assert parse_checkpoint(name).signature
    assert may_be_removed(f"{KEEP}/a/{name}")
    content = store.read(f"{KEEP}/a/{name}")
    put(store, content.replace(b"signed", b"forged"))
    put(store, content.replace(b"signed", b"forged"), "y", BEGAN + 2, signature="0" * 64)
    second = attempt("w2", 5, key=key)
    assert kept(second) == {"n": "signed"}
    assert second.told.count("it is not signed by this worker's key") == 2
    assert kept(attempt("w3", 9)) == {"n": "forged"}, "who asks for no signature takes all"
    assert kept(attempt("w4", 9, key=b"o" * 32)) == {}


def test_a_folder_that_changes_meanwhile_waits_for_the_next_time(store, attempt, monkeypatch):
    first = attempt("w1")
    write(first, n="1")
    pack = Checkpoints._pack

    def and_change(self, file):
        pack(self, file)
        write(self, n="22")

    monkeypatch.setattr(Checkpoints, "_pack", and_change)
    assert first.save(patient=False) == ""
    assert [*store.list(KEEP)] == []
    monkeypatch.setattr(Checkpoints, "_pack", pack)
    saved(first)
    assert kept(attempt("w2", 5)) == {"n": "22"}


@pytest.mark.skipif(sys.platform != "linux", reason="names of any bytes")
def test_a_name_that_could_not_be_unpacked_is_told_of_when_it_is_saved(store, attempt):
    first = saved(attempt("w1"), n="1")
    with open(os.path.join(os.fsencode(first.folder), b"\xff"), "w"):
        pass
    assert "can't be stored" in first.save(patient=True)
    assert kept(attempt("w2", 5)) == {"n": "1"}


def test_a_full_share_is_told_of_once(store, attempt):
    first = saved(attempt("w1"), n="1")
    store.faults["upload"] = [NoSpace("the disk is full.") for _ in range(3)]
    write(first, n="2")
    assert first.save(patient=False) == "the disk is full."
    assert first.save(patient=False) == ""
    assert first.save(patient=True) == ""
    assert kept(attempt("w2", 5)) == {"n": "1"}, "the one before stays until a newer one is there"
    saved(first)
    assert kept(attempt("w3", 9)) == {"n": "2"}


def test_an_outage_is_waited_for(store, attempt):
    saved(attempt("w1"), n="1")
    store.faults["list"] = [Unavailable("away.")] * 2
    store.faults["download"] = [Unavailable("away.")] * 2
    second = attempt("w2", 5)
    assert kept(second) == {"n": "1"}
    store.faults["upload"] = [Unavailable("away.")] * 2
    write(second, n="2")
    assert second.save(patient=True) == ""
    store.faults["upload"] = [Unavailable("away.")]
    write(second, n="33")
    with pytest.raises(Unavailable):
        second.save(patient=False)


def test_one_that_is_not_found_for_a_moment_is_asked_for_again(store, attempt):
    saved(attempt("w1"), n="1")
    store.faults["download"] = [NotFound("gone.")] * 2
    assert kept(attempt("w2", 5)) == {"n": "1"}
    store.faults["download"] = [NotFound("gone.")] * 99
    third = attempt("w3", 9)
    assert "is left out" in third.told


def test_one_that_can_not_be_read_keeps_no_job_from_running(store, attempt):
    saved(attempt("w1"), n="1")
    store.faults["download"] = [Denied("not yours.")]
    second = attempt("w2", 5)
    assert "is left out: not yours." in second.told
    store.faults["list"] = [Denied("not yours.")]
    assert "no checkpoint can be looked for: not yours." in attempt("w3", 9).told


def test_they_go_when_the_job_is_done(store, attempt):
    saved(attempt("w1"), n="1")
    second = saved(attempt("w2", 5), n="2")
    second.discard()
    assert [*store.list(KEEP)] == []


def test_a_job_that_never_kept_anything_costs_one_request(store, attempt):
    first = attempt("w1")
    first.save(patient=True)
    first.discard()
    assert store.calls == ["list"]


def test_what_is_none_of_ours_stays(store, attempt):
    saved(attempt("w1"), n="1")
    store.write(f"{KEEP}/a/notes.txt", b"a person's")
    attempt("w2", 5).discard()
    assert on_share(store) == ["notes.txt"]


def test_a_queue_whose_jobs_never_kept_anything_says_so(store, attempt):
    store.rmdir(KEEP)
    attempt("w1")
    store.calls.clear()
    attempt("w2")
    assert store.calls == ["list"]
