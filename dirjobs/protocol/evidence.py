"""What one worker has found out about renames by the way."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Evidence:
    """What one worker has found out by the way; shared by its threads.

    Attributes:
        found: what only renames that copy can bring about; refutes trust for the whole queue.
        suspected: what they could have brought about, and people as well; a reason to try.
        unconfirmed: claims made on probation that no listing has shown whole yet: where
            renames are copies after all, they may be torn.
        departing: paths that we are renaming away; their absence is nothing odd.
        copying: whether renames across folders were found to copy; None if not tried.
        copying_tested: when that was, by the clock of `Share`.
        test_files: by which that was tried, and will be again: no more of them are left over than
            threads that try at once, and writes that got no answer.
    """

    found: list[str] = field(default_factory=list)
    suspected: str = ""
    unconfirmed: set[str] = field(default_factory=set)
    departing: set[str] = field(default_factory=set)
    copying: bool | None = None
    copying_tested: float = 0.0
    test_files: list[str] = field(default_factory=list)
