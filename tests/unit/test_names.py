"""Which names a file may have: what no store is asked for, and what not every one can carry."""

import random

import pytest

from dirjobs import names

HOSTILE = [
    *("", ".", "..", "../x", "..\\x", "/etc/passwd", "//evil/x", "a/b", "a\0b", "a\nb", "a\rb"),
    *("a\x7fb", "a\x85b", "a\u2028b", "\ud800", "a\u202eb", "x" * 200, "ä" * 100, "x" * 1000),
]
SAFE_BUT_NOT_PORTABLE = [
    *("C:x", "a?b", "a*b", "a|b", "a<b", 'a"b', "a;b", "a\\b", "a.", "a ", " a", "con", "NUL.txt"),
    *("com1", "LPT9.log", "com¹.txt", "aux.tar.gz", "q?x.txt", "file:x"),
    *("nul .txt", "CONIN$", "conout$.txt", "clock$"),
]
ONLY_WINDOWS_REFUSES = [
    *("a:b.txt", "D:train.py", "con.txt", "job.", "job ", "a*.txt", "a?b", "a|b", 'a"b', "NUL"),
]
PORTABLE = [
    *("job1.txt", "a", "-rf", "$(x)", "a#b", "%2e%2e", "a%00b", "a%250ab", "häß.txt", "😀", "a b"),
    *("console.txt", "com10", "nulls", "w1~ab-1.w2.job", "a~dup~b", "x" * 199, "a'b", "[a]", "{}"),
]
ALPHABET = "aZ09_-~. ./\\\0\n\té😀%#?;:*\ud800\u202e"


def random_names(count=3000):
    rng = random.Random(7)
    for _ in range(count):
        yield "".join(rng.choices(ALPHABET, k=rng.randrange(12)))


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


@pytest.mark.parametrize("name", ONLY_WINDOWS_REFUSES)
def test_what_is_no_file_name_on_windows_is_no_local_path_there(monkeypatch, name):
    monkeypatch.setattr(names, "_WINDOWS", False)
    assert names.local_problem(name) is None
    monkeypatch.setattr(names, "_WINDOWS", True)
    assert "Windows" in names.local_problem(name)


@pytest.mark.parametrize("name", ["a;b.txt", " a.txt", "a&b.txt", "%PATH%", *PORTABLE])
def test_windows_has_files_of_all_other_names(monkeypatch, name):
    monkeypatch.setattr(names, "_WINDOWS", True)
    assert names.local_problem(name) is None


def test_what_is_safe_nowhere_is_no_local_path():
    assert all(map(names.local_problem, HOSTILE))


def test_normal_forms_are_one_name_and_case_is_not():
    assert names.same_name("h\u00e4.txt", "ha\u0308.txt")
    assert not names.same_name("Job.txt", "job.txt")
    assert not names.same_name("bigjob.txt", "job.txt")


def test_no_name_is_unsafe_and_yet_portable():
    for name in random_names():
        assert names.unportable_name(name) or not names.unsafe_name(name)
        assert names.same_name(name, name)
