"""``dirjobs login``: a password for a server, asked for once."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import NamedTuple

import click

from dirjobs import logins
from dirjobs.backends.smb import config as smb
from dirjobs.backends.webdav import config as webdav
from dirjobs.cli.options import verbose_option
from dirjobs.console.errors import show_log, told_in_one_sentence
from dirjobs.console.text import show
from dirjobs.errors import ConfigurationError, NotFound
from dirjobs.keyrings import NoKeyring
from dirjobs.policy import DEFAULT_TIMEOUT
from dirjobs.registry import open_store, scheme_of


@click.command()
@click.argument("url")
@click.option("--user", metavar="NAME", help="Whose login.  [default: that in URL, or asked for]")
@click.option("--forget", is_flag=True, help="Keep the login of this server no longer.")
@verbose_option
@told_in_one_sentence
def login(url: str, user: str | None, forget: bool, verbose: int) -> None:
    """Keep the password for a server in the keyring.

    It is asked for once, and tried.  From then on all commands and workers of this user on this
    machine use it for that server, unless they are told another one (in the URL, by options, by
    FSSPEC_WEBDAV_USERNAME and FSSPEC_WEBDAV_PASSWORD, or FSSPEC_SMB_...).  Clouds with a second
    factor want an app password.  On a machine without a desktop there is mostly no keyring: set
    these variables there, or (WebDAV) write ~/.netrc.

    \b
      dirjobs login https://cloud.example.org/remote.php/dav/files/me/jobs
      dirjobs login smb://me@nas/share/jobs
    """  # noqa: D301 - click wants the very character
    show_log(verbose)
    server = _server_of(url)
    try:
        if forget:
            was_kept = logins.forget(server.name)
            show(f"{'Forgot the' if was_kept else 'There was no'} login for {server.name}.")
            return
        logins.check_keyring(server.name)
        user = user or server.user or _asked("User")
        password = _asked(f"Password of {user} at {server.name}", hidden=True)
        _try(url, user, password)
        logins.remember(server.name, user, password)
    except OSError as error:
        if error.filename is None:
            raise
        raise ConfigurationError(
            f"{error.filename!r} can't be written: {error.strerror}."
        ) from error
    except NoKeyring as error:
        variable = f"FSSPEC_{server.kind}"
        # Only for WebDAV is that file read.
        netrc = ", or write them into ~/.netrc," if server.kind == "WEBDAV" else ""
        raise ConfigurationError(
            f"this user's keyring can't be used ({error}), as on most machines without a desktop:"
            f" set {variable}_USERNAME and {variable}_PASSWORD{netrc} instead."
        ) from error
    show(f"The login of {user} for {server.name} is in this user's keyring.")


class Server(NamedTuple):
    """Where a login is for.

    Attributes:
        name: such as ``https://nas.example.org:8443``.
        kind: what fsspec's variables call it: ``WEBDAV`` or ``SMB``.
        user: whom the URL names; None if nobody.
    """

    name: str
    kind: str
    user: str | None


def _server_of(url: str) -> Server:
    """The server of a URL.

    Raises:
        ConfigurationError: it has none, or makes no sense.
    """
    scheme = scheme_of(url, windows=sys.platform == "win32")
    if scheme in ("http", "https", "webdav", "webdavs", "dav", "davs"):
        place = webdav.parse(url)
        return Server(webdav.origin_of(place), "WEBDAV", place.username)
    if scheme == "smb":
        share = smb.parse(url)
        return Server(smb.origin_of(share.host, share.port), "SMB", share.username)
    raise ConfigurationError(f"{url!r} is no URL of a server (https://, smb://): no login.")


def _asked(what: str, *, hidden: bool = False) -> str:
    """What a person types, or a line of what is piped in."""
    if sys.stdin.isatty():
        return str(click.prompt(what, hide_input=hidden, err=True))
    line = sys.stdin.readline().removesuffix("\n").removesuffix("\r")
    if not line:
        raise ConfigurationError(f"{what}: nothing was typed.")
    return line


def _try(url: str, user: str, password: str) -> None:
    """Use a login once.

    Raises:
        LogonRefused: it is not right.
        StoreError: it can't be tried.
    """
    options = {"username": user, "password": password}
    with open_store(url, options, timeout=DEFAULT_TIMEOUT) as store, suppress(NotFound):
        store.exists("")  # it may be that `dirjobs init` is still to make it
