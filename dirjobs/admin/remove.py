"""Putting jobs aside that nobody wants to see any more: nothing is deleted."""

from __future__ import annotations

from collections.abc import Collection

from dirjobs.admin.locate import unchanged
from dirjobs.admin.move import move
from dirjobs.layout import TRASH, JobFile
from dirjobs.protocol import attempts
from dirjobs.protocol.folders import make_real_folder
from dirjobs.protocol.parts import Parts


def removable(parts: Parts, files: Collection[JobFile]) -> list[JobFile]:
    """Those of some files, listed before, that are no copies still growing; makes the folder to
    which they go."""
    make_real_folder(parts.share, TRASH)
    return unchanged(parts, files)


def remove(parts: Parts, file: JobFile) -> str | None:
    """Move a job that nobody has to ``_queue/trash``; its results, logs, notes and checkpoints
    stay where they are.

    Deaths of workers before this don't count against another job of its name.

    Args:
        parts: the protocol.
        file: where it is, in ``00_waiting``, ``02_done`` or ``99_failed``; see `removable`.

    Returns:
        its name in ``_queue/trash``; None if it was gone: somebody claimed it, or moved it by
        hand.

    Raises:
        StoreError: it is not known; look, then try again.
    """
    job, name = file.job.name, move(parts, file, TRASH)
    if name is not None and attempts.deaths(attempts.read(parts.share, job)):
        attempts.note(parts.share, job, "", "removed by hand", retried=True)
    return name
