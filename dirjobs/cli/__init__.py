"""The command line, one module per command.

Nothing here is imported by ``import dirjobs``, and a command's module only when that
command (or the list of all) is asked for.
"""

from __future__ import annotations

import difflib
import importlib
import os
import sys
from collections.abc import Sequence
from functools import partial
from typing import Any

import click

from dirjobs import __version__
from dirjobs.console.errors import exit_with

__all__ = ["main"]

SECTIONS: dict[str, dict[str, str]] = {
    "Begin": {
        "init": "init:init",
        "add": "add:add",
        "submit": "submit:submit",
        "demo": "demo:demo",
    },
    "Work": {
        "work": "work:work",
        "deliver": "deliver:deliver",
    },
    "Look": {
        "status": "status:status",
        "watch": "watch:watch",
        "list": "list:list_jobs",
        "show": "show:show_job",
        "logs": "logs:logs",
        "results": "results:results",
        "download": "download:download",
        "wait": "wait:wait",
        "check": "check:check_command",
    },
    "Intervene": {
        "retry": "retry:retry",
        "requeue": "requeue:requeue",
        "cancel": "cancel:cancel",
        "remove": "remove:remove",
        "clean": "clean:clean",
        "pause": "pause:pause",
        "resume": "resume:resume",
        "drain": "drain:drain",
    },
    "More": {
        "login": "login:login",
        "key": "key:key",
        "completion": "completion:completion",
    },
}
"""Every command, as ``module:attribute``, under the headline that ``--help`` has for it."""


def _forget_the_scripts_folder() -> None:
    """Import nothing from beside an installed script: the ``smbclient.py`` that impacket puts
    there is not smbprotocol's `smbclient`."""
    try:
        folder, name = os.path.split(os.path.realpath(sys.argv[0]))
    except OSError:  # somebody removed the current folder, in which it would be looked for
        return
    if name.startswith("dirjobs") and sys.path and os.path.realpath(sys.path[0]) == folder:
        del sys.path[0]


class Commands(click.Group):
    """The commands of `SECTIONS`, imported when they are asked for."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        _forget_the_scripts_folder()
        # click would put names of files for * in any argument, on Windows, and values for %NAME%.
        extra.setdefault("windows_expand_args", False)
        program = partial(super().main, args, prog_name, complete_var, False, **extra)
        if standalone_mode:
            exit_with(program)
        return program()

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return [name for section in SECTIONS.values() for name in section]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        for section in SECTIONS.values():
            if cmd_name in section:
                module, _, attribute = section[cmd_name].partition(":")
                command = getattr(
                    importlib.import_module(f"dirjobs.cli.commands.{module}"), attribute
                )
                assert isinstance(command, click.Command)
                return command
        return None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        known = self.list_commands(ctx)
        if args[0] not in known and not args[0].startswith("-"):
            near = difflib.get_close_matches(args[0], known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise click.UsageError(f"there is no command {args[0]!r}{hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        width = max(map(len, self.list_commands(ctx)))
        room = formatter.width - 6 - width
        for title, section in SECTIONS.items():
            commands = {name: self.get_command(ctx, name) for name in section}
            rows = [
                (name.ljust(width), command.get_short_help_str(room))
                for name, command in commands.items()
                if command is not None
            ]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 96},
    epilog="`dirjobs COMMAND --help` tells more.  Exit codes: 0 all went well, 1 some jobs"
    " failed, 2 something in the command line or the folder is not right.",
)
@click.version_option(__version__, prog_name="dirjobs", message="%(prog)s %(version)s")
def main() -> None:
    """A job queue made of plain folders, on a disk, a WebDAV cloud or an SMB share.

    A job is a file in jobs/00_waiting.  A worker claims it by moving it to 01_running;
    it ends in 02_done or 99_failed.  Start as many workers as you like, on as many
    machines as you like:

    \b
      mkdir -p jobs/00_waiting
      cp parameters/*.json jobs/00_waiting/
      dirjobs work jobs/ -- python simulate.py {}

    JOBS, the first argument of every command (or -q JOBS), is a folder or a URL.  Left out,
    it is what DIRJOBS_URL says, or the queue in which the current folder is.  New here?
    `dirjobs demo` shows it all in a few seconds.
    """  # noqa: D301 - click wants the very character
