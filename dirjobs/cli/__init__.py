"""The command line, one module per group of commands.

Nothing here is imported by ``import dirjobs``.
"""

from __future__ import annotations

import click

from .. import __version__
from .demo import demo
from .errors import Program
from .work import work

__all__ = ["main"]


@click.group(
    cls=Program,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 96},
    epilog="`dirjobs COMMAND --help` tells more.  Exit codes: 0 all went well, 1 some jobs"
    " failed, 2 something in the command line or the folder is not right.",
)
@click.version_option(__version__, prog_name="dirjobs", message="%(prog)s %(version)s")
def main() -> None:
    r"""A job queue made of plain folders, on a disk, a WebDAV cloud or an SMB share.

    A job is a file in jobs/00_waiting.  A worker claims it by moving it to 01_running;
    it ends in 02_done or 99_failed.  Start as many workers as you like, on as many
    machines as you like:

    \b
      mkdir -p jobs/00_waiting
      cp parameters/*.json jobs/00_waiting/
      dirjobs work jobs/ -- python simulate.py {}

    New here?  `dirjobs demo` shows it all in a few seconds.
    """


for command in (demo, work):
    main.add_command(command)
