"""The queue's folders are made by whoever comes first."""

import pytest

from dirjobs.errors import AlreadyExists, AmbiguousResult, Busy, Denied, NotFound, Unsupported
from dirjobs.layout import FOLDERS, QUEUE
from dirjobs.protocol.folders import make_folder, make_folders
from dirjobs.store import Entry, FileKind
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


REFUSALS = [Denied, Busy, Unsupported, NotFound, AmbiguousResult]


@pytest.mark.parametrize("refusal", REFUSALS)
def test_a_refusal_counts_only_if_the_folder_is_not_there(refusal):
    """Servers say anything to whoever is second: Apache 403, nephele 500, others 409."""
    there = [Entry("logs", kind=FileKind.FOLDER)]
    script = [(Mkdir("logs"), refusal), (List(""), there)]
    assert play(lambda: make_folder(SHARE, "logs"), *script) is None
    script = [*MISSING, (Mkdir(""), refusal), (List(""), []), (List(QUEUE), NotFound), *made()]
    assert play(lambda: make_folders(SHARE), *script) is None


@pytest.mark.parametrize(("refusal", "looks"), [(Denied, 2), (NotFound, 4), (AmbiguousResult, 4)])
def test_who_may_not_make_it_is_told(refusal, looks):
    script = [(Mkdir("logs"), refusal), *[(List(""), [])] * looks]
    assert isinstance(play(lambda: make_folder(SHARE, "logs"), *script), refusal)
    script = [*MISSING, (Mkdir(""), refusal), (List(""), NotFound)]
    assert isinstance(play(lambda: make_folders(SHARE), *script), refusal)
