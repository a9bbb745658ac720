"""A job queue made of plain folders, on a disk, a WebDAV cloud or an SMB share.

>>> from dirjobs import DirJobs
>>> for job in DirJobs("jobs/"):  # doctest: +SKIP
...     with job:
...         print(job.path())
"""

from typing import TYPE_CHECKING, Any

from dirjobs.admin.inspect import Status
from dirjobs.errors import (
    AlreadyExists,
    AmbiguousResult,
    Busy,
    ClaimLost,
    ConfigurationError,
    Denied,
    DirJobsError,
    FilesRefused,
    InvalidName,
    JobClosed,
    JobExists,
    JobsRefused,
    LogonRefused,
    NoSpace,
    NotFound,
    StoreError,
    Unavailable,
    Unsupported,
    WorkerIdInUse,
)
from dirjobs.functions import joblib_hook
from dirjobs.job import Job
from dirjobs.queue import DirJobs
from dirjobs.registry import open_store
from dirjobs.store import Entry, FileKind, Guarantees, Store
from dirjobs.table import Table
from dirjobs.version import __version__

joblib_hook.install()

if TYPE_CHECKING:
    from dirjobs.functions.executor import Executor
    from dirjobs.functions.future import CallFailed, Future

__all__ = [
    "AlreadyExists",
    "AmbiguousResult",
    "Busy",
    "CallFailed",
    "ClaimLost",
    "ConfigurationError",
    "Denied",
    "DirJobs",
    "DirJobsError",
    "Entry",
    "Executor",
    "FileKind",
    "FilesRefused",
    "Future",
    "Guarantees",
    "InvalidName",
    "Job",
    "JobClosed",
    "JobExists",
    "JobsRefused",
    "LogonRefused",
    "NoSpace",
    "NotFound",
    "Status",
    "Store",
    "StoreError",
    "Table",
    "Unavailable",
    "Unsupported",
    "WorkerIdInUse",
    "__version__",
    "open_store",
]

_LATER = {
    "CallFailed": "dirjobs.functions.future",
    "Executor": "dirjobs.functions.executor",
    "Future": "dirjobs.functions.future",
}
"""What is imported when somebody asks for it."""


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LATER[name]), name)
