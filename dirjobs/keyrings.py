"""Secrets in this user's keyring, by the package `keyring`, which is an extra."""

from __future__ import annotations

from typing import Any


class NoKeyring(Exception):
    """Why there is none that can be used.

    Attributes:
        is_installed: the package is there.
    """

    def __init__(self, why: str, *, is_installed: bool = True) -> None:
        super().__init__(why)
        self.is_installed = is_installed


def get(service: str, user: str) -> str | None:
    """A secret; None if there is none.

    Raises:
        NoKeyring: it can't be found out.
    """
    keyring = _keyring()
    try:
        found: str | None = keyring.get_password(service, user)
    except Exception as error:  # of a backend that somebody else wrote, or that is none
        raise NoKeyring(str(error) or type(error).__name__) from error
    return found


def put(service: str, user: str, secret: str) -> None:
    """Keep a secret.

    Raises:
        NoKeyring: it is not kept.
    """
    keyring = _keyring()
    try:
        keyring.set_password(service, user, secret)
    except Exception as error:  # of a backend that somebody else wrote, or that is none
        raise NoKeyring(str(error) or type(error).__name__) from error
    if get(service, user) != secret:  # such as the backend "null"
        raise NoKeyring("what it takes is not in it afterwards")


def forget(service: str, user: str) -> None:
    """Keep a secret no longer.

    Raises:
        NoKeyring: it may still be kept.
    """
    if get(service, user) is None:
        return
    try:
        _keyring().delete_password(service, user)
    except Exception as error:  # of a backend that somebody else wrote, or that is none
        raise NoKeyring(str(error) or type(error).__name__) from error


def _keyring() -> Any:
    """The module, which need not be there."""
    try:
        import keyring
    except ImportError as error:
        raise NoKeyring("it needs `pip install keyring`", is_installed=False) from error
    return keyring
