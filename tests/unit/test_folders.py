"""The queue's folders are made by whoever comes first."""

import pytest

from dirjobs.errors import AlreadyExists, Denied, NotFound
from dirjobs.layout import FOLDERS, QUEUE
from dirjobs.protocol.folders import make_folders
from tests.simulation.requests import List, Mkdir
from tests.unit.script import SHARE, mkdir, play

MISSING = [(List(""), NotFound)]
EMPTY = [(List(""), []), (List(QUEUE), NotFound)]


def made(answer=None):
    """What is asked for if somebody else makes the same folders, or nobody does."""
    parts = ["/".join(f.split("/")[:n]) for f in FOLDERS for n in range(1, f.count("/") + 2)]
    return [mkdir(part, answer) for part in parts]


@pytest.mark.parametrize("answer", [None, AlreadyExists])
def test_several_may_begin_a_queue_at_once(answer):
    script = [*MISSING, (Mkdir(""), answer), (List(QUEUE), NotFound), *made(answer)]
    assert play(lambda: make_folders(SHARE), *script) is None


@pytest.mark.parametrize("answer", [None, AlreadyExists])
def test_an_empty_folder_becomes_a_queue(answer):
    assert play(lambda: make_folders(SHARE), *EMPTY, *made(answer)) is None


def test_who_may_not_make_it_is_told():
    assert isinstance(play(lambda: make_folders(SHARE), *MISSING, (Mkdir(""), Denied)), Denied)
