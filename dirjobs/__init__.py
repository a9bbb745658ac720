"""A job queue made of plain folders, on a disk, a WebDAV cloud or an SMB share.

>>> from dirjobs import DirJobs
>>> for job in DirJobs("jobs/"):  # doctest: +SKIP
...     with job:
...         print(job.path())
"""

from dirjobs.admin.inspect import Status
from dirjobs.errors import (
    AlreadyExists,
    AmbiguousResult,
    Busy,
    ClaimLost,
    ConfigurationError,
    Denied,
    DirJobsError,
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
from dirjobs.job import Job
from dirjobs.queue import DirJobs
from dirjobs.registry import open_store
from dirjobs.store import Entry, FileKind, Guarantees, Store
from dirjobs.version import __version__

__all__ = [
    "AlreadyExists",
    "AmbiguousResult",
    "Busy",
    "ClaimLost",
    "ConfigurationError",
    "Denied",
    "DirJobs",
    "DirJobsError",
    "Entry",
    "FileKind",
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
    "Unavailable",
    "Unsupported",
    "WorkerIdInUse",
    "__version__",
    "open_store",
]
