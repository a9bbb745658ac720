"""Logins that `dirjobs login` keeps for this user on this machine.

Which user goes with which server is in a small file, the password in the keyring: nobody else
is asked for a password unless a login was kept for that very server.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from contextlib import suppress

from dirjobs import keyrings, local_files
from dirjobs.keyrings import NoKeyring

log = logging.getLogger(__name__)

_SERVICE = "dirjobs login"
_LARGEST = 1 << 20


def remembered(server: str, user: str | None = None) -> dict[str, str]:
    """The login that is kept for a server, as the options ``username`` and ``password``; empty
    if there is none.

    Args:
        server: such as ``https://nas.example.org:8443``.
        user: only this user's.
    """
    kept = _read().get(server)
    if kept is None or user not in (None, kept):
        return {}
    try:
        password = keyrings.get(_SERVICE, _entry(server, kept))
    except NoKeyring as error:
        log.warning("the login kept for %s can't be read from the keyring (%s)", server, error)
        return {}
    return {} if password is None else {"username": kept, "password": password}


def check_keyring(server: str) -> None:
    """Look whether a password can be kept, before anybody is asked for one.

    Raises:
        NoKeyring: this user's keyring can't be used.
    """
    keyrings.get(_SERVICE, server)


def remember(server: str, user: str, password: str) -> None:
    """Keep a login for a server, instead of another one.

    Raises:
        NoKeyring: the password can't be kept.
        OSError: the file can't be written.
    """
    keyrings.put(_SERVICE, _entry(server, user), password)
    _write({**_read(), server: user})


def forget(server: str) -> bool:
    """Keep the login for a server no longer; whether there was one.

    Raises:
        NoKeyring: the password may still be kept.
        OSError: the file can't be written.
    """
    kept = _read()
    user = kept.pop(server, None)
    if user is None:
        return False
    keyrings.forget(_SERVICE, _entry(server, user))
    _write(kept)
    return True


def _entry(server: str, user: str) -> str:
    return f"{user} at {server}"


def _path() -> str:
    if sys.platform == "win32":
        base = os.environ.get("APPDATA") or os.path.expanduser(r"~\AppData\Roaming")
    else:
        base = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    return os.path.join(base, "dirjobs", "logins.json")


def _read() -> dict[str, str]:
    try:
        with open(_path(), "rb") as file:
            found = json.loads(file.read(_LARGEST))
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {server: user for server, user in found.items() if isinstance(user, str)}


def _write(logins: dict[str, str]) -> None:
    path = _path()
    draft = f"{path}.new"
    try:
        local_files.make_private_folders(os.path.dirname(path))
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump(logins, file, indent=1)
        local_files.replace(draft, path)
    except OSError:
        with suppress(OSError):
            os.unlink(draft)
        raise
