"""Which job a file is that was renamed as another listing showed it.

A listing is a hint: whoever saves a job anew, or uses a name again, has put another file
there by the time of the rename.  That file is a job like any other.
"""

from __future__ import annotations

from dirjobs import names
from dirjobs.layout import DONE, FAILED, PARKED, RUNNING, WAITING
from dirjobs.protocol.copying import CopyingTest
from dirjobs.protocol.growth import GrowthWatch
from dirjobs.protocol.look import Look, differ, is_older
from dirjobs.protocol.me import Me
from dirjobs.protocol.share import Share
from dirjobs.store import Entry

_GROWING_LOOKS = 2
"""Looks at a file of a wrong size before it is tried whether renames copy at all."""


class Identity:
    """Tells a new job from a torn or a second copy of the one that was listed.

    Args:
        share: where.
        me: whose rules are counted.
        look: finds out what is finished.
        copying: tells whether a rename gives a file a new time.
    """

    def __init__(self, share: Share, me: Me, look: Look, copying: CopyingTest) -> None:
        self.share = share
        self.me = me
        self.look = look
        self.copying = copying

    def of(self, path: str, found: Entry | None, job: Entry) -> Entry | None:
        """Which job a file of ours is that has another size than its job as it was listed,
        or whose job, as it was listed, is finished.

        Where a rename keeps times the file has its own: it is a job of its own if that one
        is not finished.  A copying rename gives each copy a new time, so that a second copy
        of a finished job looks like a newer job: it is none of its own unless it has another
        size, and no other file is as large: whole is the largest one.

        Args:
            path: where the file is.
            found: the file as it is listed there; whatever its name.
            job: the job as it was listed in ``00_waiting``.

        Returns:
            the job with the file's own time and size; None if the file is a copy that must
            not run, or can't be told from one.

        Raises:
            StoreError: not known yet; ask again.
        """
        if found is None:
            return None
        resized = differ(job.size, found.size)
        if not resized and (found.mtime is None or found.mtime == job.mtime):
            return None
        own = Entry(job.name, found.mtime, found.size)
        copies = self.copying.copies()
        if copies is not False and not (resized and self._is_largest(path, own, job)):
            return None
        if self.look.is_finished(own):
            return None
        self.me.count("not the file that was listed: a job of its own")
        return own

    def may_still_grow(self, growth: GrowthWatch, size: int | None) -> bool:
        """Whether a file that has another size than its job may be an unfinished copy.

        A rename that doesn't copy brings the whole file at once; that is tried only after
        some looks, since most copies are finished by then.
        """
        still = growth.stands_still(size, self.share.now())
        return growth.looks <= _GROWING_LOOKS or (not still and self.copying.copies() is not False)

    def is_over(self, path: str, job: Entry, found: Entry | None = None) -> bool:
        """Whether `job` is finished, and the file of it at `path`, listed as `found`, is no
        newer job."""
        if not self.look.is_finished(self.as_dated(job, found)):
            return False
        return self.of(path, self.look.entry_at(path), job) is None

    def as_dated(self, job: Entry, found: Entry | None) -> Entry:
        """`job` as its end is to be looked for, by what its file is listed as now.

        A file is never older than its job as it was listed, unless the share's clock was set
        back since that was written.  Then a job of its name that looks older may have ended
        later, so it is known by its size alone: a second copy of it must not run.
        """
        if found is None or not is_older(found, job):
            return job
        self.me.count("claim older than its job: the clock was set back")
        return Entry(job.name, None, job.size)

    def _is_largest(self, path: str, own: Entry, job: Entry) -> bool:
        """Whether no other file can be the whole one that `own` is a part of, or a second copy
        of, on its way or finished.  Between claims as large as each other the looks decide."""
        # Twice, for a file on its way back is in none of the two if it moves between the looks.
        for folder in (WAITING, RUNNING, WAITING, PARKED):
            for file in self.share.jobs_in(folder):
                is_claim = folder == RUNNING and not file.staged
                if file.path != path and _may_be_whole(file.job, own, or_equal=not is_claim):
                    return False
        return not any(
            _may_be_whole(entry, own)
            and (entry.mtime is None or job.mtime is None or entry.mtime >= job.mtime)
            for folder in (DONE, FAILED)
            for entry in self.share.listed(folder)
        )


def _may_be_whole(file: Entry, own: Entry, *, or_equal: bool = True) -> bool:
    """Whether a file has the name of `own`, and may be larger, or at least as large."""
    if not names.same_name(file.name, own.name):
        return False
    if file.size is None or own.size is None:
        return True
    return file.size > own.size or (or_equal and file.size == own.size)
