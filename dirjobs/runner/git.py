"""Which state of the code a job ran with."""

from __future__ import annotations

import logging
import subprocess

from dirjobs.protocol.journal import Git

log = logging.getLogger(__name__)

_PATIENCE = 10.0
"""Seconds; a repository on a share may take long."""
_GIT = ("git", "-c", "core.fsmonitor=false", "--no-optional-locks")


def state_of_this_folder() -> Git | None:
    """The commit that the working folder is at, and whether files that git knows differ from it;
    None if there is no repository, or no git."""
    commit = _told("rev-parse", "HEAD")
    if commit is None:
        return None
    changed = _told("status", "--porcelain", "--untracked-files=no")
    return Git(commit[:64], dirty=bool(changed))


def _told(*arguments: str) -> str | None:
    """What git prints; None if it refuses."""
    try:
        run = subprocess.run(
            [*_GIT, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_PATIENCE,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        log.info("git tells nothing of this folder (%s)", error)
        return None
    return run.stdout.strip()
