"""Options that the fields of a pydantic dataclass name, describe and check; and the options that commands share."""

from __future__ import annotations

import argparse
from collections.abc import Container, Mapping
from typing import Any, Literal, TypeVar, get_args, get_origin

from pydantic import ValidationError

from heart_disease.data.copies.published import COPIES
from heart_disease.data.remote import addresses
from heart_disease.evaluation.settings import EvaluationOptions, Promotion
from heart_disease.model.errors import UsageError
from heart_disease.training.recipe import PRESETS, RecipeOptions

T = TypeVar("T")
OPEN = {"sensitivity": "the champion's"}  # what it means that a setting is not given


def add_options(
    group: argparse._ActionsContainer, kind: type, *, base: object = None, leave_out: Container[str] = ()
) -> None:
    """Add an option for each field of a pydantic dataclass, which checks the values; `base` has the defaults."""
    for name, field in kind.__pydantic_fields__.items():  # type: ignore[attr-defined]
        if name in leave_out:
            continue
        default = getattr(base, name, field.default)
        shown = {(): "none", None: OPEN.get(name, "by the number of patients")}.get(default, default)
        if isinstance(shown, tuple):
            shown = ",".join(map(str, shown))
        what = field.description.rstrip(".")
        option: dict[str, Any] = {"help": f"{what[0].lower()}{what[1:]} (default {shown})", "metavar": "X"}
        if get_origin(field.annotation) is tuple:
            option |= {"type": _parts, "metavar": "X[,X...]"}
        elif get_origin(field.annotation) is Literal:
            option |= {"choices": get_args(field.annotation), "metavar": None}
        group.add_argument(f"--{name.replace('_', '-')}", dest=f"{kind.__name__}.{name}", **option)


def _parts(text: str) -> tuple[str, ...]:
    return () if text in ("", "none") else tuple(text.split(","))


def made(kind: type[T], options: argparse.Namespace, base: dict[str, Any]) -> T:
    """A `kind` made from what the command line gives, and from `base` for the rest."""
    prefix = f"{kind.__name__}."
    given = {name.removeprefix(prefix): value for name, value in vars(options).items() if name.startswith(prefix)}
    try:
        return kind(**base | {name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        raise UsageError(_in_words(error)) from error


def _in_words(error: ValidationError) -> str:
    """``--epochs 0: input should be greater than or equal to 1``."""
    lines = []
    for problem in error.errors():
        message = problem["msg"].removeprefix("Value error, ")
        where = problem["loc"]
        name = f"--{str(where[0]).replace('_', '-')} {problem['input']}: " if where else ""
        lines.append(f"{name}{message[0].lower()}{message[1:]}")
    return "; ".join(lines)


def add_device(parser: argparse.ArgumentParser) -> None:
    """Add --device; None, if it is not given, means auto."""
    parser.add_argument(
        "--device", choices=("auto", "cpu", "gpu"), help="auto, the default, takes the GPU if there is one"
    )


def add_source(parser: argparse.ArgumentParser) -> None:
    """Add --source, the patients; None, if it is not given, means the bundled ones."""
    parser.add_argument(
        "--source", metavar="SOURCE", type=not_empty,
        help="patients: a file (CSV, Parquet, Excel, JSON lines), a folder or pattern of files, or an address "
        "(https://, s3://, gs://, az://, postgresql:// and other databases); default: the bundled 303",
    )  # fmt: skip
    add_selection(parser)


def add_selection(parser: argparse.ArgumentParser) -> None:
    """Add --table and --query, for a source that is a database or a workbook."""
    parser.add_argument(
        "--table", metavar="NAME", help="table to read, if the source is a database; sheet, if it is a workbook"
    )
    parser.add_argument("--query", metavar="SQL", help="query to read instead of a table")


def select(options: argparse.Namespace) -> None:
    """Make --table or --query part of the source, which is one text from here on.

    Raises:
        UsageError: the source is neither a database nor, for --table, a workbook.
    """
    table, query = getattr(options, "table", None), getattr(options, "query", None)
    if table is not None or query is not None:
        options.source = addresses.with_selection(options.source, table, query)


def add_copy(parser: argparse.ArgumentParser) -> None:
    """Add --copy, what the source's codes mean; None, if it is not given, means what the patients tell."""
    names = [copy.name for copy in COPIES if not copy.lost]
    parser.add_argument(
        "--copy", choices=names, metavar="NAME",
        help=f"read the source as this copy of the data ({', '.join(names)}); it must fit what is found",
    )  # fmt: skip


def not_empty(text: str) -> str:
    """A source that is not empty, as that of an unset variable would be: what is then read would be a surprise."""
    if not text:
        raise argparse.ArgumentTypeError("is empty; expected a file or an address, or no such option")
    return text


def add_training(parser: argparse.ArgumentParser) -> None:
    """Options: what is trained on which patients, and how it is judged."""
    add_source(parser)
    add_copy(parser)
    add_device(parser)
    add_options(parser.add_argument_group("evaluation"), EvaluationOptions)
    add_options(parser.add_argument_group("promotion", "When the new model becomes champion."), Promotion)
    recipe = parser.add_argument_group("recipe", "A preset, and what to change in it.")
    recipe.add_argument("--preset", choices=sorted(PRESETS), help="lecture: the course's 300 epochs")
    add_options(recipe, RecipeOptions)


def training(options: argparse.Namespace, base: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The training flow's parameters: what the command line gives, and the rest from `base` or the flow's defaults."""
    base = base or {}
    preset = PRESETS[options.preset].as_dict() if options.preset else base.get("recipe", {})
    return {
        "source": base.get("source") if options.source is None else options.source,
        "recipe": made(RecipeOptions, options, preset),
        "evaluation": made(EvaluationOptions, options, base.get("evaluation", {})),
        "promotion": made(Promotion, options, base.get("promotion", {})),
        "device": options.device or base.get("device", "auto"),
        "read_as": options.copy or base.get("read_as"),
        # `heart schedule` has no option for these two; Prefect's page has.
        **{name: getattr(options, name, False) or base.get(name, False) for name in ("force", "landscape")},
    }
