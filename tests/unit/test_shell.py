"""What messages show to be typed, in the shells of Windows and of others."""

from __future__ import annotations

import shlex
import sys

import pytest

from dirjobs import shell

STRANGERS = ["x&calc.txt", "a b", "a;b", "a|b", "(a)", "a,b", "@a", "#a", "it's", "a^b", "~a"]


@pytest.fixture
def windows(monkeypatch):
    monkeypatch.setattr(sys, "platform", "win32")


@pytest.mark.parametrize("word", ["a.txt", "lr0.1_seed7.json", r"C:\jobs\a", "größe", "-x", "a=b"])
def test_plain_words_need_no_quotes_on_windows(windows, word):
    assert shell.quoted(word) == word


@pytest.mark.parametrize("word", [*STRANGERS, "", "smb://me@nas/data$/jobs", "100%", "a b$"])
def test_all_others_are_in_quotes(windows, word):
    """Neither cmd nor PowerShell acts on them there."""
    assert shell.quoted(word) == f'"{word}"'


@pytest.mark.parametrize("word", ["a$(calc).txt", "$env:X", "${x}", "`a", 'a"b', "a” ; calc", "“"])
def test_what_no_quotes_make_safe_is_not_shown_to_be_pasted(windows, word):
    assert shell.quoted(word) == shell.UNTYPABLE
    assert word[0] in shell.typed([word])


@pytest.mark.parametrize(
    ("word", "shown"),
    [("a b\\", '"a b\\\\"'), ('say "a"', '"say \\"a\\""'), ('a\\"', '"a\\\\\\""')],
)
def test_backslashes_before_quotes(windows, word, shown):
    assert shell.typed(["run", word]) == f"run {shown}"


@pytest.mark.skipif(sys.platform == "win32", reason="there it is quoted for cmd and PowerShell")
@pytest.mark.parametrize("word", [*STRANGERS, "a$(calc).txt", 'a"b', "a` b"])
def test_elsewhere_all_are_quoted_for_sh(word):
    assert shlex.split(shell.quoted(word)) == [word]
