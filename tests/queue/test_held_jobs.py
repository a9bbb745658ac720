"""Jobs whose files another program holds open: the others don't wait for them."""

import logging
import sys

import pytest

from dirjobs import DirJobs
from dirjobs.backends.memory import MemoryStore
from dirjobs.errors import Busy, JobsRefused

HELD = [f"job{number}.txt" for number in range(20)]


class Holding(MemoryStore):
    """A store some of whose files others hold, until the last of `refusals` was told."""

    def __init__(self, refusals):
        super().__init__()
        self.refusals = refusals
        self.asked = []

    def claim(self, src, dst):
        name = src.rpartition("/")[2]
        self.asked.append(name)
        if name in HELD and self.refusals:
            self.refusals -= 1
            raise Busy(f"{src}: another program has it open")
        super().claim(src, dst)


def waiting_in(store):
    store.mkdir("00_waiting")
    for name in [*HELD, "zfree.txt"]:
        store.write(f"00_waiting/{name}", b"")
    return store


def test_a_free_job_is_taken_at_once_and_the_others_when_they_are_free():
    store = waiting_in(Holding(refusals=45))
    with DirJobs(store) as queue:
        first = queue.next_and_lock()
        assert first.name() == "zfree.txt"
        assert len(store.asked) == len(HELD) + 1
        first.done()
        taken = [job.name() for job in queue if not job.done()]
    assert sorted(taken) == sorted(HELD)


def test_a_worker_with_nothing_but_held_jobs_ends_and_says_so():
    store = waiting_in(Holding(refusals=10_000))
    with DirJobs(store) as queue:
        queue.next_and_lock().done()
        with pytest.raises(JobsRefused, match=r"20 jobs .* another program has it open"):
            queue.next_and_lock()
    assert {entry.name for entry in store.list("00_waiting")} == set(HELD)


@pytest.mark.skipif(sys.platform != "win32", reason="elsewhere an open file can be renamed")
def test_windows_passes_over_what_python_holds(tmp_path, caplog):
    with DirJobs(tmp_path / "jobs", create=True) as queue:
        for name in [*HELD, "zfree.txt"]:
            queue.add(name)
        held = [open(tmp_path / "jobs" / "00_waiting" / name, "rb") for name in HELD]  # noqa: SIM115
        try:
            with caplog.at_level(logging.ERROR, logger="dirjobs"):
                first = queue.next_and_lock()
            assert first.name() == "zfree.txt"
            first.done()
            with pytest.raises(JobsRefused, match="20 jobs"):
                queue.next_and_lock()
        finally:
            for file in held:
                file.close()
        taken = [job.name() for job in queue if not job.done()]
    assert taken == HELD
