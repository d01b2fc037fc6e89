"""docs/commands.md agrees with the parsers, and every command and option has help."""

from __future__ import annotations

import pytest

from heart_disease.cli import document
from heart_disease.cli.main import GROUPS, make_parser

COMMANDS = [command for commands in GROUPS.values() for command in commands]


def test_the_page_is_up_to_date() -> None:
    assert document.PAGE.read_text(encoding="utf-8") == document.text()


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_every_command_and_option_has_help_that_says_what_it_is(command: document.Command) -> None:
    [found] = document.children(make_parser())
    shown = dict(document.options(found[command.name]))
    for text in (command.help, command.description, *shown.values()):
        assert text
        assert not text.startswith("Of ")
