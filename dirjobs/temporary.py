"""Files without a name."""

from __future__ import annotations

import tempfile
from typing import BinaryIO, cast


def temporary_file() -> BinaryIO:
    """An empty file, which is gone once it is closed.

    `tempfile.TemporaryFile` by the type that stores ask for: on Windows its type is another.

    Raises:
        OSError: there is no room, or no folder for it.
    """
    return cast("BinaryIO", tempfile.TemporaryFile())
