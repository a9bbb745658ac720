"""SFTP: any account with an ssh login, a cluster's for instance, by URL.

``DirJobs("sftp://me@login.cluster.example.org/scratch/me/jobs")``.  A claim is one request:
``posix-rename``, one rename(2) of the server's.

It is built on asyncssh, which reads ``~/.ssh/config`` (aliases, ProxyJump), asks the ssh agent,
knows certificates and checks host keys.  fsspec gives the names of the options, its configuration
files and its ``FSSPEC_SFTP_*`` environment; its own SFTP filesystem is not used: it believes any
host key, never connects again, hangs when threads share it, and its ``mv`` replaces files.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dirjobs.backends.sftp.config import read
from dirjobs.backends.sftp.store import SftpStore

__all__ = ["SftpStore", "open_store"]


def open_store(url: str, options: Mapping[str, Any], *, timeout: float | None = None) -> SftpStore:
    """The store at a URL, not connected yet.

    Args:
        url: ``sftp://user:password@host:port/folder`` (user, password and port may be left out;
            ``/~/folder`` begins at the user's home; the host may be an alias of
            ``~/.ssh/config``); percent-encode ``/ @ : # ?`` in user and password; IPv6 hosts in
            brackets.
        options: username, password, port, key_filename (one private key or several; those of
            ``~/.ssh`` and of the agent otherwise), passphrase, known_hosts and ssh_config (files
            to be read instead of the user's), agent (True), timeout (30, seconds that one
            request may take), connect_timeout (10, seconds for logging on), guarantees (what a
            check has found out).  They win over the URL, and the URL over fsspec's
            configuration.
        timeout: the same, for who has no wish of his own in the options.

    Raises:
        ConfigurationError: the address or an option makes no sense.
    """
    return SftpStore(read(url, options, timeout))
