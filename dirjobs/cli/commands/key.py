"""``dirjobs key``: the key with which jobs are signed."""

from __future__ import annotations

import os

import click

from dirjobs.console.errors import told_in_one_sentence
from dirjobs.console.text import show
from dirjobs.signing import KEY_FILE_VARIABLE, make_key


@click.command()
@click.option("--file", "path", metavar="FILE", help="Keep it in a new file, not in the keyring.")
@told_in_one_sentence
def key(path: str | None) -> None:
    """Make the key for `dirjobs add --sign`.

    It is kept in this user's keyring, or in a file that only this user can read.  Bring it to
    each machine that adds jobs or runs `dirjobs work --signed-only`, and never to the share:
    whoever has it decides what these workers run.
    """
    make_key(path)
    if path is None:
        show("The key is in this user's keyring.")
    else:
        where = os.path.abspath(path)
        show(f"The key is in {where}: name it by --key-file or in {KEY_FILE_VARIABLE}.")
