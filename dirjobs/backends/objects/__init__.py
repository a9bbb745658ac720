"""Object storage by URL: S3 and what speaks it, Google's and Azure's.

What fsspec's s3fs, gcsfs and adlfs give here is their configuration: the names of their
options, their configuration files and their ``FSSPEC_*`` environment.  The requests are made by
obstore (the Rust library object_store): one wheel for all three, and creates under a condition.
Its own retries are off: a create that it sent a second time would be told as "exists" though
the first one had succeeded.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dirjobs.backends.objects.config import read
from dirjobs.backends.objects.library import require
from dirjobs.backends.objects.store import ObjectStore

__all__ = ["ObjectStore", "open_store"]


def open_store(
    url: str, options: Mapping[str, Any], *, timeout: float | None = None
) -> ObjectStore:
    """The objects under `url` as a store; nothing is sent yet.

    Args:
        url: ``s3://bucket/prefix``, ``gs://bucket/prefix`` (or ``gcs://``),
            ``az://container/prefix`` (or ``abfs://``, ``abfss://``, also with
            ``container@account.dfs.core.windows.net``).
        options: those of s3fs (``endpoint_url``, ``key``, ``secret``, ``token``, ``profile``,
            ``anon``, ``client_kwargs``, ``config_kwargs``, ``use_ssl``), gcsfs (``token``,
            ``endpoint_url``) and adlfs (``account_name``, ``account_key``,
            ``connection_string``, ``sas_token``, ``tenant_id``, ``client_id``,
            ``client_secret``, ``anon``); besides ``region``, ``addressing_style`` (``path`` or
            ``virtual``), ``ca`` (a file of certificates), ``verify``, ``timeout`` (30, seconds
            for one request) and ``guarantees``.  They win over fsspec's configuration, and that
            over the variables and files of the vendor (``AWS_*``, ``~/.aws``, ``AZURE_*``).
        timeout: the same, for who has no wish of his own in the options.

    Raises:
        ConfigurationError: the URL or an option can't be.
        ImportError: obstore is not installed.
    """
    require()
    return ObjectStore(read(url, options, timeout))
