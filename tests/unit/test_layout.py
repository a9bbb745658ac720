"""The grammar of the queue: names taken apart, and what every file in its folders is."""

import random

import pytest

from dirjobs import layout, names
from dirjobs.errors import ConfigurationError, InvalidName
from dirjobs.layout import (
    DONE,
    FAILED,
    PARKED,
    RUNNING,
    WAITING,
    JobFile,
    claim_name,
    classify,
    job_files,
    staged_claim,
    staged_return,
)
from dirjobs.store import Entry, FileKind
from tests.unit.test_names import HOSTILE, SAFE_BUT_NOT_PORTABLE, random_names

NOT_JOBS = [
    *(".hidden", ".nfs0000", "~job.txt", "~$job.doc", "job~", "a.part", "a.partial", "a.tmp"),
    *("a.filepart", "a.crdownload", "a.SWP", "Thumbs.db", "DESKTOP.INI", "lost+found", "@eaDir"),
    *("#recycle", "job1.sync-conflict-20250410-1.txt", "job1 (conflicted copy 2025-04-10).txt"),
    *("job1_host_Jan-03-0901_1.txt", "job1_host_Jan-03-0901_1", ".~lock.a#"),
    *("job1_NAS_Mar-05-163045-2024_Conflict.txt", "job1_conflict-20190101-120000.txt"),
    *("job1 (SFConflict me@uni.example 2024-01-02-10-10-10).txt", "job1 (Case Conflict).txt"),
    *("job1 (case clash from me, 2024-01-02 101010).txt", "j (Copie en conflit de PC).txt"),
    *("job1 (In Konflikt stehende Kopie von PC 2024-01-02).txt", "j (copia en conflicto de PC)"),
]


@pytest.mark.parametrize("name", NOT_JOBS)
def test_what_other_programs_leave_is_no_job(name):
    assert not layout.is_job_name(name)


def test_the_short_cut_for_ordinary_names_lets_nothing_else_through():
    rng = random.Random(7)
    pieces = ["job", "_", ".txt", ".py", "~", "-", ".", " ", "#recycle", "thumbs.db", "\n"]
    pieces += ["conflicted copy", "_x_Jan-01-2024_1", ".sync-conflict-", ".part", "é"]
    ordinary = 0
    for _ in range(20_000):
        name = "".join(rng.choices(pieces, k=rng.randint(1, 4)))
        if layout._ORDINARY.fullmatch(name):
            ordinary += 1
            assert not layout._HOUSEKEEPING.fullmatch(name), name
            assert not layout._LEFT_BEHIND.fullmatch(name), name
    assert ordinary > 50


@pytest.mark.parametrize(
    "name",
    [
        *("job1.txt", "part", "apart", "tmp.txt", "a~b", "job_2_3.txt", "conflict.json"),
        *("sweep_lr_mar-05-2024_01.json", "run_7_feb-02-2025_3", "results_exp_may-12-2024_1.txt"),
    ],
)
def test_what_only_looks_like_it_is_a_job(name):
    assert layout.is_job_name(name)


@pytest.mark.parametrize("name", [*HOSTILE, *SAFE_BUT_NOT_PORTABLE, *NOT_JOBS, None, 7, b"a"])
def test_a_refused_job_name_is_told_in_one_printable_sentence(name):
    with pytest.raises(InvalidName) as caught:
        layout.check_new_job(name)
    message = str(caught.value)
    assert message.isprintable()
    assert message.endswith(".")
    assert len(message) < 250


@pytest.mark.parametrize("wid", ["w1", "W-1_x", "0", "x" * 40])
def test_worker_ids(wid):
    assert layout.check_worker_id(wid) == wid


@pytest.mark.parametrize(
    "wid",
    ["", ".", "w.1", "w/1", "w~1", "w 1", "w\n", "wä", "x" * 41, "x" * 300, "٣", None, 1, "con"],
)
def test_bad_worker_ids_are_one_sentence(wid):
    with pytest.raises(ConfigurationError, match=r"^wid=.*: use .*[.)]$") as caught:
        layout.check_worker_id(wid)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("name", "claim"),
    [
        ("w1.job1.txt", ("w1", "job1.txt")),
        ("w1~ab3d.job1.txt", ("w1~ab3d", "job1.txt")),
        ("w1.w2.job", ("w1", "w2.job")),
        ("w1~ab-1.w2.job", None),
        ("w1~ab3de.job", None),
        ("job", None),
        ("w1.", None),
        (".job", None),
        ("~w1~abc.job", None),
        ("w 1.job", None),
        ("", None),
    ],
)
def test_a_claim_is_taken_apart(name, claim):
    assert layout.parse_claim(name) == claim


def test_whatever_is_built_is_taken_apart_again():
    rng = random.Random(3)
    for job in filter(None, random_names()):
        worker = "".join(rng.choices("abzAZ09_-", k=rng.randint(1, 40)))
        incarnation = layout.next_incarnation(worker, names.nonce())
        for who in (worker, incarnation):
            assert layout.base_id(who) == worker
            claim = layout.claim_name(who, job)
            assert layout.parse_claim(claim) == (who, job)
            assert layout.parse_staged(layout.staged_claim(who, job, names.nonce())) == (who, job)
            back = layout.staged_return(who, claim, names.nonce())
            assert layout.parse_staged(back) == (who, claim)
            assert layout.parse_claim(back) is None
            assert not layout.is_job_name(back)


@pytest.mark.parametrize("name", ["~w1~abc.job\n.txt", ".hid\nden", "a\nb.part"])
def test_a_newline_makes_no_job_of_what_is_none(name):
    assert not layout.is_job_name(name)


def test_no_name_breaks_the_grammar():
    for name in random_names():
        unsafe, unportable = names.unsafe_name(name), names.unportable_name(name)
        assert unportable or not unsafe
        assert names.same_name(name, name)
        layout.parse_claim(name)
        layout.parse_staged(name)
        try:
            accepted = layout.check_new_job(name)
        except InvalidName:
            continue
        assert accepted == name
        assert not unportable
        assert layout.is_job_name(name)
        assert not set(name) & set('/\\\0\n"<>:*?|;')
        assert len(layout.claim_name("x" * 40 + "~abcd", name).encode()) < 200


@pytest.mark.parametrize(
    ("job", "second"),
    [
        ("job1.txt", "job1~2.txt"),
        ("job1", "job1~2"),
        ("a.tar.gz", "a.tar~2.gz"),
        ("a.", "a~2."),
        ("häß.txt", "häß~2.txt"),
    ],
)
def test_a_newcomer_is_numbered_before_its_extension(job, second):
    assert layout.numbered(job, 2) == second
    assert layout.is_job_name(second)


def test_numbered_names_differ():
    assert len({layout.numbered("job1.txt", number) for number in range(2, 200)}) == 198


# -- files ---------------------------------------------------------------------------------------

FOREIGN = [
    "~k3x9q2.part",
    ".hidden",
    ".DS_Store",
    ".~lock.a#",
    "~$a.doc",
    "job~",
    "#recycle",
    "@eaDir",
]
WITH_A_DOT = [name for name in NOT_JOBS if layout.parse_claim(name)]


def listed(name, kind=FileKind.FILE):
    return Entry(name, 5.0, 7, kind)


@pytest.mark.parametrize("folder", [WAITING, DONE, FAILED])
@pytest.mark.parametrize("name", ["job.txt", "w1.job.txt", "job", "w1~ab3d.job.txt"])
def test_where_jobs_have_their_own_names_each_file_is_one(folder, name):
    file = classify(folder, listed(name))
    assert file == JobFile(folder, name, Entry(name, 5.0, 7))
    assert (file.path, file.staged) == (f"{folder}/{name}", False)
    assert file.state == {WAITING: "waiting", DONE: "done", FAILED: "failed"}[folder]


@pytest.mark.parametrize("folder", [RUNNING, PARKED])
@pytest.mark.parametrize(
    ("name", "worker", "job"),
    [
        ("w1.job.txt", "w1", "job.txt"),
        ("w1~ab3d.job.txt", "w1~ab3d", "job.txt"),
        ("w1.w2.job", "w1", "w2.job"),
        ("w1.job~2.txt", "w1", "job~2.txt"),
        ("w1..hidden", "w1", ".hidden"),  # whatever is claimed is a job
    ],
)
def test_where_jobs_are_claimed_or_parked_the_first_dot_ends_the_worker(folder, name, worker, job):
    file = classify(folder, listed(name))
    assert file == JobFile(folder, name, Entry(job, 5.0, 7), worker)
    assert (file.path, file.staged) == (f"{folder}/{name}", False)
    assert file.state == {RUNNING: "running", PARKED: "parked"}[folder]


@pytest.mark.parametrize("folder", [RUNNING, PARKED])
@pytest.mark.parametrize(
    "name", ["job", ".job", "w1.", "w 1.job.txt", "w1~ab3de.job.txt", "wä.job"]
)
def test_what_nobody_claims_is_no_job_there(folder, name):
    assert classify(folder, listed(name)) is None


@pytest.mark.parametrize("folder", [WAITING, DONE, FAILED])
@pytest.mark.parametrize("stager", ["w1", "w1~ab3d"])
def test_half_way_to_its_claim(folder, stager):
    """In 02_done and 99_failed nobody stages anything, but whatever is there is found."""
    name = staged_claim(stager, "job.txt", "k3x9q2")
    file = classify(folder, listed(name))
    assert file == JobFile(folder, name, Entry("job.txt", 5.0, 7), "", stager)
    assert (file.path, file.staged) == (f"{folder}/{name}", True)


@pytest.mark.parametrize("folder", [RUNNING, PARKED])
def test_half_way_back(folder):
    name = staged_return("w2", claim_name("w1~ab3d", "job.txt"), "k3x9q2")
    file = classify(folder, listed(name))
    assert file == JobFile(folder, name, Entry("job.txt", 5.0, 7), "w1~ab3d", "w2")
    assert file.staged


def test_half_way_from_no_claim_is_nothing():
    assert classify(RUNNING, listed("~w1~k3x9q2.job")) is None


@pytest.mark.parametrize("folder", layout.STATES)
@pytest.mark.parametrize("name", FOREIGN)
def test_unfinished_uploads_and_what_other_programs_leave_are_no_jobs(folder, name):
    assert classify(folder, listed(name)) is None


@pytest.mark.parametrize("name", sorted({*FOREIGN, *NOT_JOBS}))
@pytest.mark.parametrize("folder", [WAITING, DONE, FAILED])
def test_nor_is_anything_that_may_not_be_the_name_of_one(folder, name):
    assert classify(folder, listed(name)) is None


@pytest.mark.parametrize("folder", [RUNNING, PARKED])
@pytest.mark.parametrize("name", WITH_A_DOT)
def test_what_reads_as_a_claim_is_taken_for_one(folder, name):
    """``Thumbs.db`` may be the job db of a worker Thumbs: a claim not seen is a job lost."""
    worker, _, job = name.partition(".")
    assert classify(folder, listed(name)) == JobFile(folder, name, Entry(job, 5.0, 7), worker)


@pytest.mark.parametrize("folder", layout.STATES)
@pytest.mark.parametrize("kind", [FileKind.FOLDER, FileKind.OTHER])
@pytest.mark.parametrize(
    "name", ["job.txt", "w1.job.txt", "~w1~k3x9q2.job.txt", "~w1~k3x9q2.w1.job"]
)
def test_a_folder_or_a_link_is_never_a_job(folder, kind, name):
    assert classify(folder, listed(name, kind)) is None


def test_the_jobs_of_a_folder_are_those_that_are_jobs():
    names_there = ["a.txt", "~w1~k3x9q2.b.txt", *FOREIGN, *WITH_A_DOT]
    listing = [*map(listed, names_there), listed("c.txt", FileKind.FOLDER)]
    assert [file.job.name for file in job_files(WAITING, listing)] == ["a.txt", "b.txt"]
