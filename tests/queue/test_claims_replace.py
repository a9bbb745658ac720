"""Where the rename of a claim replaces what is there, no worker asks for a name that is."""

import pytest

from dirjobs import DirJobs
from dirjobs.backends.memory import MemoryStore
from dirjobs.layout import RUNNING, WAITING


class ReplacingClaims(MemoryStore):
    """As SFTP's posix-rename."""

    def claim(self, src, dst):
        self.read(src)
        if self.exists(dst):
            self.remove(dst)
        self.rename(src, dst)


@pytest.mark.parametrize("mode", ["trust", "verify"])
def test_a_claim_that_somebody_has_left_is_not_replaced(mode):
    with ReplacingClaims() as store:
        DirJobs(store, job_ext="", create=True).close()
        for name in ("job1", "job2"):
            store.write(f"{WAITING}/{name}", b"waiting")
        store.write(f"{RUNNING}/w1.job1", b"left behind")
        with DirJobs(store, job_ext="", mode=mode) as dj:
            for job in dj:
                assert job.read_bytes() == b"waiting"
                job.done()
        assert store.read(f"{RUNNING}/w1.job1") == b"left behind"
