"""`heart explain`: what changed between a version and the champion before it, and what each change accounts for."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from heart_disease.cli.options import add_device, add_selection, not_empty
from heart_disease.cli.output import write_json
from heart_disease.cli.parser import Command
from heart_disease.model.errors import ExitCode, HeartError, UnavailableError, UsageError
from heart_disease.model.words import count
from heart_disease.reporting.terminal import import_tensorflow, say, wrapped

if TYPE_CHECKING:
    from heart_disease.data.sources import Table
    from heart_disease.evaluation.versions.comparison import OutOfFold
    from heart_disease.evaluation.versions.target import Retargeted
    from heart_disease.registry import Origin, Record

NOT_EXPLAINED = {"code", "versions"}  # parts of a change that cannot be brought back


def add(parser: argparse.ArgumentParser) -> None:
    """Options: which run, and where the patients are."""
    parser.add_argument(
        "which", nargs="?", metavar="RUN",
        help="a version, an alias, a run id or its beginning, or a run's name (default: the newest version)",
    )  # fmt: skip
    parser.add_argument(
        "--source", metavar="SOURCE", type=not_empty, help="the run's patients (default: those that it recorded)"
    )
    add_selection(parser)
    parser.add_argument(
        "--before", metavar="SOURCE", type=not_empty,
        help="the champion's patients (default: those that it recorded); a database's with #table=NAME or #query=SQL",
    )  # fmt: skip
    add_device(parser)


def run(options: argparse.Namespace) -> int:
    """Print what changed, and what each change does to the log loss.

    Raises:
        UsageError: the run is no training, or its patients do not fit into memory.
        UnavailableError: there is no such run, no champion before it, or its patients are gone.
        DataError: a file cannot be read.
    """
    from heart_disease import registry
    from heart_disease.evaluation import cost
    from heart_disease.evaluation.versions import explanation
    from heart_disease.reporting import tables

    record = registry.find_record(options.which or _newest())
    if "epochs" not in record.params:
        raise UsageError(
            f"{record.label} ('{record.name}') in {registry.uri()} recorded no recipe; expected the run of a training. "
            "Name a version: `heart history` lists those that were champion."
        )
    champion, how = _champion(record)
    ours, theirs = (registry.origin_in(one.params, one.tags, one.label) for one in (record, champion))
    tell: Callable[[str], None] = (lambda text: None) if options.json else print
    tell(wrapped(f"{record.label} against {champion.label}, {how}"))
    if decision := record.tags.get("decision"):
        tell(wrapped(f"{record.label}: {decision}"))
    changed = theirs.differences(ours)
    unknown: list[str] = []
    facts: dict[str, object] = {
        "run": record.run_id, "champion": champion.run_id, "decision": decision, "changed": changed, "effects": [],
        "answers": None, "rest": None, "unknown": unknown,
    }  # fmt: skip
    if not changed:
        if options.json:
            write_json(facts)
        tell("Nothing changed: data, recipe, evaluation, code and libraries are the same.")
        return ExitCode.DONE
    after = _patients(record, ours, options.source, "--source")
    before = None
    if theirs.data != ours.data:
        try:
            before = _patients(champion, theirs, options.before, "--before")
        except HeartError as error:
            unknown.append(f"What the new data accounts for cannot be said: {error}")
    tell(_what_changed(changed, after, before))
    for lost in unknown:
        tell("\n" + wrapped(lost))

    evaluation = registry.evaluation_of(record.label, ours)
    seed = ours.recipe.seed
    old, new = (replace(one.asked, seed=seed) for one in (theirs, ours))
    trials = explanation.Trials(before, after, old, new, evaluation, seed)
    import_tensorflow()
    device = options.device or "auto"
    if before is not None or old != new:
        expected = cost.check(len(trials.frame), [*trials.trained.values()], evaluation, fixed=True)
        say(f"training {count(len(trials.jobs), 'network')} to tell the changes apart{expected.remark}")
        found = trials.effects(trials.train(device))
        rows = [(one.change, one.difference.signed) for one in found]
        facts["effects"] = found
        tell("\n" + tables.aligned([("what it accounts for", "log loss"), *rows]))
        whom = f"{count(len(trials.judged), 'patient')} of {record.label}"
        tell(wrapped(f"Below 0 is better; 95 % intervals; judged on {whom}."))
    if ours.sensitivity != theirs.sensitivity:
        answers = _target(record, ours, champion, theirs)
        if isinstance(answers, str):
            unknown.append(answers)
            tell("\n" + wrapped(answers))
        else:
            facts["answers"] = answers
            tell("\n" + wrapped(answers.words(champion.label, record.label)))
    if NOT_EXPLAINED & set(changed):
        learned = after if theirs.data == ours.data else before
        facts["rest"] = _rest(champion, theirs, learned, device)
        tell("\n" + wrapped(f"code, libraries and device: {facts['rest']}"))
    if options.json:
        write_json(facts)
    return ExitCode.DONE


def _newest() -> str:
    from heart_disease import registry

    registry.check_embedded_store()
    found = registry.versions()
    if not found:
        raise UnavailableError(f"'{registry.MODEL}' in {registry.uri()} has no version; run `heart train` first.")
    return found[0]


def _champion(record: Record) -> tuple[Record, str]:
    """The version that the run was compared with, or else the present champion; and which of the two it is."""
    from heart_disease import registry

    if then := record.tags.get(registry.RIVAL, "").removeprefix("version "):
        found = registry.find_record(then)
        if found.run_id == record.tags.get(registry.RIVAL_RUN, found.run_id):  # otherwise it has the number by now
            return found, "the champion that it was compared with"
        raise UnavailableError(
            f"version {then} in {registry.uri()} is another one by now; expected the champion that {record.label} was "
            f"compared with, of run {record.tags[registry.RIVAL_RUN][:8]}, which was deleted. `heart compare` puts "
            f"{record.label} beside any version that is there."
        )
    now = registry.find_champion()
    if now is None or now.run_id == record.run_id:
        raise UnavailableError(
            f"{record.label} was compared with no champion, so nothing changed against one; expected a run that was. "
            f"What `heart train` makes while {registry.uri()} has a champion is compared with it; `heart compare` puts "
            "any two runs side by side."
        )
    return registry.find_record(now.version), "the champion now; it was compared with none"


def _patients(record: Record, origin: Origin, source: str | None, option: str) -> Table:
    """The patients that a run learned from.

    Raises:
        UnavailableError: the file is gone, or holds other patients by now.
        DataError: it cannot be read.
    """
    from heart_disease import registry

    then = f"name a copy of them: {option} FILE"
    table = registry.patients_of(record.label, origin, then) if source is None else registry.read_again(source, origin)
    if table.digest != origin.data:
        raise UnavailableError(
            f"the patients of {record.label} are not kept, and '{table.source}' holds others by now (digest "
            f"{table.digest[:8]}; expected {origin.data[:8]}); {then}"
        )
    return table


def _what_changed(changed: dict[str, str], after: Table, before: Table | None) -> str:
    """The parts that changed, in words, after an empty line."""
    if before is not None and "data" in changed:
        from heart_disease.data import digests
        from heart_disease.evaluation.versions import comparison

        both = len(comparison.same(digests.as_text(before.row_ids), digests.as_text(after.row_ids))[0])
        rows = f"{len(before)} -> {count(len(after), 'patient')}: {len(after) - both} new, {len(before) - both} gone"
        changed = changed | {"data": rows}
    lines = [wrapped(f"  {part}: {words}", indent="    ") for part, words in changed.items()]
    return "\n".join(["", "what changed", *lines])


def _target(record: Record, ours: Origin, champion: Record, theirs: Origin) -> Retargeted | str:
    """What another target sensitivity does to the answers, or why that cannot be said."""
    from heart_disease.evaluation.versions import target

    earlier = None
    with suppress(ValueError):
        earlier = _recorded(champion)
    try:
        recorded = _recorded(record)
    except ValueError as error:
        return f"What the other target sensitivity does cannot be said, because {error}"
    return target.retargeted(recorded, theirs.sensitivity, ours.sensitivity, ours.recipe.seed, earlier=earlier)


def _recorded(record: Record) -> OutOfFold:
    """What the networks of a run said about patients that they did not learn from.

    Raises:
        ValueError: it recorded nothing, or what it recorded cannot be used.
    """
    from heart_disease import registry
    from heart_disease.evaluation.versions import comparison
    from heart_disease.reporting import tables

    text = registry.read_text(record, f"evaluation/{tables.OUT_OF_FOLD}")
    if text is None:
        raise ValueError(f"{record.label} recorded no probabilities")
    try:
        return comparison.read_out_of_fold(text)
    except ValueError as error:
        raise ValueError(f"what {record.label} recorded cannot be used: {error}") from error


def _rest(champion: Record, origin: Origin, table: Table | None, device: str) -> str:
    """What code, libraries and device did since the champion was trained, in words."""
    from heart_disease import registry
    from heart_disease.evaluation import cost
    from heart_disease.evaluation.versions import explanation

    if table is None:
        return "what they account for cannot be said without the champion's patients"
    try:
        recorded = _recorded(champion)
    except ValueError as error:
        return f"what they account for cannot be said, because {error}"
    evaluation = registry.evaluation_of(champion.label, origin)
    cost.check(len(table), [origin.shipped], evaluation, fixed=True)
    try:
        found = explanation.the_rest(table, origin.shipped, evaluation, recorded, device)
    except ValueError as error:
        return f"what they account for cannot be said, because what {champion.label} recorded cannot be used: {error}"
    return f"{champion.label} trained again today, minus what it recorded: {found.signed}"


COMMAND = Command(
    name="explain",
    help="what changed against the champion, and what that did",
    description="Say what changed between a run and the champion that it was compared with (data, recipe, code, "
    "libraries), and what each change does to the log loss: the new recipe on the old data, and the new data with the "
    "old recipe. If the target sensitivity changed, it says what that does to the answers.",
    add=add,
    run=run,
)
