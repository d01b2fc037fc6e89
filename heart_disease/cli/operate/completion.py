"""`heart completion`: the script that lets a shell complete `heart` commands and their options."""

from __future__ import annotations

import argparse

from heart_disease.cli.parser import Command
from heart_disease.model.errors import ExitCode

SHELLS = ("bash", "zsh", "tcsh")
EXAMPLE = """example:
  heart completion bash > ~/.local/share/bash-completion/completions/heart
"""


def add(parser: argparse.ArgumentParser) -> None:
    """Options: which shell."""
    parser.add_argument("shell", choices=SHELLS, help="the shell that the script is for")


def run(options: argparse.Namespace) -> int:
    """Print the script."""
    import shtab

    print(shtab.complete(options.listed(), options.shell))
    return ExitCode.DONE


COMMAND = Command(
    name="completion",
    help="the script that lets your shell complete commands and options",
    description="Print a script for your shell that completes the commands of `heart` and their options with Tab.",
    add=add,
    run=run,
    epilog=EXAMPLE,
    no_facts="It prints a script.",
)
