"""``dirjobs completion``: what makes a shell complete commands, options and jobs."""

from __future__ import annotations

import os

import click
from click.shell_completion import get_completion_class

from dirjobs.console.errors import told_in_one_sentence
from dirjobs.errors import ConfigurationError

SHELLS = ("bash", "fish", "zsh")


@click.command()
@click.argument("shell", required=False, type=click.Choice(SHELLS))
@told_in_one_sentence
def completion(shell: str | None) -> None:
    """Print what makes a shell complete command lines.

    Without SHELL it is yours.

    \b
      bash  dirjobs completion bash > ~/.local/share/bash-completion/completions/dirjobs
      zsh   dirjobs completion zsh > ~/.dirjobs.zsh   (and `. ~/.dirjobs.zsh` in ~/.zshrc)
      fish  dirjobs completion fish > ~/.config/fish/completions/dirjobs.fish
    """  # noqa: D301 - click wants the very character
    from dirjobs.cli import main

    name = shell or os.path.basename(os.environ.get("SHELL", ""))
    kind = get_completion_class(name)
    if kind is None:
        raise ConfigurationError(f"which shell? {name!r} is none of {', '.join(SHELLS)}: name one.")
    click.echo(kind(main, {}, "dirjobs", "_DIRJOBS_COMPLETE").source())
