"""The grammar of names: what is told apart, and what no store is asked for."""

import random

import pytest

from dirjobs import layout, names
from dirjobs.errors import ConfigurationError, InvalidName

HOSTILE = [
    *("", ".", "..", "../x", "..\\x", "/etc/passwd", "//evil/x", "a/b", "a\0b", "a\nb", "a\rb"),
    *("a\x7fb", "a\x85b", "a\u2028b", "\ud800", "a\u202eb", "x" * 200, "ä" * 100, "x" * 1000),
]
SAFE_BUT_NOT_PORTABLE = [
    *("C:x", "a?b", "a*b", "a|b", "a<b", 'a"b', "a;b", "a\\b", "a.", "a ", " a", "con", "NUL.txt"),
    *("com1", "LPT9.log", "com¹.txt", "aux.tar.gz", "q?x.txt", "file:x"),
]
PORTABLE = [
    *("job1.txt", "a", "-rf", "$(x)", "a#b", "%2e%2e", "a%00b", "a%250ab", "häß.txt", "😀", "a b"),
    *("console.txt", "com10", "nulls", "w1~ab-1.w2.job", "a~dup~b", "x" * 199, "a'b", "[a]", "{}"),
]
NOT_JOBS = [
    *(".hidden", ".nfs0000", "~job.txt", "~$job.doc", "job~", "a.part", "a.partial", "a.tmp"),
    *("a.filepart", "a.crdownload", "a.SWP", "Thumbs.db", "DESKTOP.INI", "lost+found", "@eaDir"),
    *("#recycle", "job1.sync-conflict-20250410-1.txt", "job1 (conflicted copy 2025-04-10).txt"),
    *("job1_host_Jan-03-0901_1.txt", "job1_host_Jan-03-0901_1", ".~lock.a#"),
]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_never_asked_for(name):
    assert names.unsafe_name(name)
    assert names.unportable_name(name)


@pytest.mark.parametrize("name", SAFE_BUT_NOT_PORTABLE)
def test_some_names_work_here_but_not_everywhere(name):
    assert "\\" in name or names.unsafe_name(name) is None
    assert names.unportable_name(name)


@pytest.mark.parametrize("name", PORTABLE)
def test_strange_names_may_still_be_portable(name):
    assert names.unportable_name(name) is None


@pytest.mark.parametrize("name", NOT_JOBS)
def test_what_other_programs_leave_is_no_job(name):
    assert not layout.is_job_name(name)


def test_the_short_cut_for_ordinary_names_lets_nothing_else_through():
    rng = random.Random(7)
    pieces = ["job", "_", ".txt", ".py", "~", "-", ".", " ", "#recycle", "thumbs.db", "\n"]
    pieces += ["conflicted copy", "_x_jan-01-2024_1", ".sync-conflict-", ".part", "é"]
    ordinary = 0
    for _ in range(20_000):
        name = "".join(rng.choices(pieces, k=rng.randint(1, 4)))
        if layout._ORDINARY.fullmatch(name):
            ordinary += 1
            assert not layout._NOT_A_JOB.fullmatch(name), name
    assert ordinary > 50


@pytest.mark.parametrize("name", ["job1.txt", "part", "apart", "tmp.txt", "a~b", "job_2_3.txt"])
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
    "wid", ["", ".", "w.1", "w/1", "w~1", "w 1", "w\n", "wä", "x" * 41, "x" * 300, "٣", None, 1]
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


ALPHABET = "aZ09_-~. ./\\\0\n\té😀%#?;:*\ud800\u202e"


def random_names(count=3000):
    rng = random.Random(7)
    for _ in range(count):
        yield "".join(rng.choices(ALPHABET, k=rng.randrange(12)))


def test_whatever_is_built_is_taken_apart_again():
    rng = random.Random(3)
    for job in filter(None, random_names()):
        worker = "".join(rng.choices("abzAZ09_-", k=rng.randint(1, 40)))
        life = layout.next_incarnation(worker, names.nonce())
        for who in (worker, life):
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


def test_normal_forms_are_one_name_and_case_is_not():
    assert names.same_name("h\u00e4.txt", "ha\u0308.txt")
    assert not names.same_name("Job.txt", "job.txt")
    assert not names.same_name("bigjob.txt", "job.txt")
