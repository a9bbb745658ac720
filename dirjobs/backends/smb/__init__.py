r"""SMB: Windows shares and NAS boxes by URL or UNC path, without mounting anything.

``DirJobs("smb://user@nas/share/jobs")`` or ``DirJobs(r"\\nas\share\jobs")``.  A claim is
one round trip: a related compound that opens the job *denying everybody else a delete
sharing*, renames what it has opened, and closes it.  Of several workers one gets the
handle; the others are told that somebody has it open, or that it is gone.

What fsspec's SMBFileSystem gives here is its configuration: the names of its options,
its configuration files and its ``FSSPEC_SMB_*`` environment.  Its transfers are not used:
they go through smbclient's one connection cache, which mixes up users, does not survive
a fork, runs out of credits when threads share it, knows no deadline, and its ``mv`` lets
several workers have one job.  So all requests are our own, over smbprotocol.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dirjobs.backends.smb.config import read
from dirjobs.backends.smb.store import SmbStore

__all__ = ["SmbStore", "open_store"]


def open_store(url: str, options: Mapping[str, Any], *, timeout: float | None = None) -> SmbStore:
    r"""The store at a URL or UNC path, not connected yet.

    Args:
        url: ``smb://[domain;]user:password@host:port/share/folder`` (everything before the
            host may be left out) or ``\\host\share\folder``;
            percent-encode ``/ @ : # ?`` in user and password; IPv6 hosts in brackets.
        options: username, password, domain, port (445), encrypt (False: as the server
            demands), require_signing (True), auth_protocol (``negotiate``, ``ntlm``,
            ``kerberos``), guest (False), timeout (30, seconds that one request may take),
            connect_timeout (10).  They win over the URL, and the URL over fsspec's
            configuration.  The option `timeout` is fsspec's name with a wider meaning.
        timeout: the same, for who has no wish of his own in the options.

    Raises:
        ConfigurationError: the address or an option makes no sense.
    """
    return SmbStore(read(url, options, timeout))
