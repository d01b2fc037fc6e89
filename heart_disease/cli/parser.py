"""What a command is made of, and a parser that guesses what was meant. It imports nothing heavy: --help is quick."""

from __future__ import annotations

import argparse
import re
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from typing import Any, NoReturn

from heart_disease.cli import output
from heart_disease.model.errors import ExitCode
from heart_disease.reporting.terminal import wrapped


@dataclass(frozen=True)
class Command:
    """One command of `heart`.

    help: its line in `heart --help`. description: what `heart NAME --help` says first; epilog: what it says last.
    add: adds the options. run: does the work and returns the exit code. no_facts: why it prints no facts for programs;
    empty if it does, with --json. facts_of: which form of the command refuses --json, and where its facts are instead.
    """

    name: str
    help: str
    description: str
    add: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]
    aliases: tuple[str, ...] = ()
    epilog: str = ""
    no_facts: str = ""
    facts_of: str = ""


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Leaves words with a hyphen whole: they may be values to type."""

    def _split_lines(self, text: str, width: int) -> list[str]:
        return textwrap.wrap(" ".join(text.split()), width, break_on_hyphens=False)


class Parser(argparse.ArgumentParser):
    """Says in one line what is wrong, and which word was probably meant."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(formatter_class=_Formatter, **settings)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Refuse unknown words here, where the options that could have been meant are known."""
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}{self._meant(unknown)}")
        return found, unknown

    def error(self, message: str) -> NoReturn:
        """End with the exit code of wrong usage."""
        if choice := re.search(r"invalid choice: '(.*?)' \(choose from (.*)\)", message):
            names = [name.strip(" '") for name in choice[2].split(",")]
            message += _did_you_mean(choice[1], names)
        print(wrapped(f"{self.prog}: {message}"), f"See `{self.prog} --help`.", sep="\n", file=sys.stderr)
        sys.exit(ExitCode.WRONG_USAGE)

    def _meant(self, unknown: Sequence[str]) -> str:
        options = [word.partition("=")[0] for word in unknown if word.startswith("-")]
        return _did_you_mean(options[0], self._option_string_actions) if options else ""


def _did_you_mean(word: str, known: Sequence[str] | Mapping[str, object]) -> str:
    close = get_close_matches(word, list(known), n=1, cutoff=0.7)
    return f"; did you mean {close[0]}?" if close else ""


def make_parser(groups: Mapping[str, Sequence[Command]], description: str, *, listed: bool = False) -> Parser:
    """The parser of `heart` with these commands, by group; `run` of the parsed options is the command's action.

    listed: argparse lists the commands itself, in one group; programs that look into a parser need that, and get such
    a one by calling `listed` of the parsed options.
    """
    lines = [description]
    width = max(len(command.name) for commands in groups.values() for command in commands)
    for title, commands in groups.items():
        lines += ["", f"{title}:", *(f"  {command.name:{width}}  {command.help}" for command in commands)]
    parser = Parser(prog="heart", description="\n".join(lines), epilog=exit_codes())
    parser.set_defaults(listed=partial(make_parser, groups, description, listed=True))
    found = parser.add_subparsers(metavar="COMMAND", help="`heart COMMAND --help` says more", required=True)
    for commands in groups.values():
        for command in commands:
            listing: Any = {"help": command.help} if listed else {}
            one = found.add_parser(
                command.name,
                aliases=command.aliases,
                description=wrapped(command.description, indent=""),
                epilog=command.epilog,
                **listing,
            )
            one.set_defaults(run=command.run)
            command.add(one)
            output.add(one, facts=not command.no_facts, which=command.facts_of)
    return parser


def exit_codes() -> str:
    """The list of exit codes, as --help shows it."""
    lines = [wrapped(f"{code.value:5}  {code.meaning}", indent=" " * 7) for code in ExitCode]
    return "\n".join(["exit codes:", *lines])
