"""The main job: load -> validate -> encode -> train -> evaluate -> register."""

from __future__ import annotations

import logging
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Literal

from prefect import flow, runtime

from heart_disease import registry
from heart_disease.data import sources
from heart_disease.data.remote import addresses, snapshots
from heart_disease.evaluation import by_rows, cost
from heart_disease.evaluation.contest import Report, with_all_columns
from heart_disease.evaluation.settings import EvaluationOptions, Promotion
from heart_disease.evaluation.verdict import Decision, decide
from heart_disease.model.errors import OriginError, UnavailableError, UsageError
from heart_disease.operations import missed, parameters, reconciliation
from heart_disease.registry import ModelRef, Origin, Run
from heart_disease.reporting.landscape import cost_of_landscape
from heart_disease.reporting.terminal import import_tensorflow, progress
from heart_disease.training.recipe import PRESETS, RecipeOptions
from tasks import stages

log = logging.getLogger("heart")


@dataclass(frozen=True)
class Outcome:
    """The result of a training run."""

    run: Run
    flow_run_id: str
    model: ModelRef
    decision: Decision
    report: Report

    @property
    def end(self) -> str:
        """How the flow run ends (states.py)."""
        return "Promoted" if self.decision.promote else "NotPromoted"

    @property
    def headline(self) -> str:
        """What became of the model."""
        alias = "champion" if self.decision.promote else "NOT promoted, challenger"
        return f"{self.model.name} version {self.model.version}: {alias}"

    @property
    def message(self) -> str:
        """The message of the flow run's final state."""
        return f"{self.headline}; {self.decision.reason}"


@dataclass(frozen=True)
class Unchanged:
    """Nothing to do: the champion was made from the same data, recipe, evaluation, code and libraries."""

    champion: ModelRef
    flow_run_id: str
    end: str = "NothingToDo"
    why: str = "nothing to do (see --force)"

    @property
    def message(self) -> str:
        """The message of the flow run's final state, and what the terminal shows."""
        return f"{self.champion.name} version {self.champion.version} is champion; {self.why}"


def _run_name() -> str:
    given = parameters.completed(runtime.flow_run.get_parameters())
    source, recipe = addresses.title(given.get("source") or sources.BUNDLED), given.get("recipe", PRESETS["default"])
    try:
        return f"{source}: {parameters.checked(train, {'recipe': recipe})['recipe'].name}"
    except UsageError:
        return f"{source}: parameters that are not allowed"


@flow(
    name="heart-disease-train",
    flow_run_name=_run_name,
    description="Train, evaluate and register the network; it becomes champion if the evidence says so.",
    persist_result=False,
    validate_parameters=False,  # parameters.py does it
)
def train(
    source: str | None = None,
    recipe: RecipeOptions = PRESETS["default"],
    evaluation: EvaluationOptions = EvaluationOptions(),  # noqa: B008
    promotion: Promotion = Promotion(),  # noqa: B008
    device: Literal["auto", "cpu", "gpu"] = "auto",
    force: bool = False,
    read_as: str | None = None,
    landscape: bool = False,
) -> Outcome | Unchanged:
    """Train, evaluate and register the heart-disease network, and make it champion if the evidence says so.

    Args:
        source: File, folder or address of patients (docs/sources.md); empty for the bundled ones.
        recipe: How the network is trained; what is empty follows from the number of patients.
        evaluation: How the network is judged; likewise.
        promotion: When it becomes champion.
        device: auto is the GPU if there is one.
        force: Train even if nothing changed since the champion was trained; and believe `read_as`.
        read_as: The published copy whose codes the source has (docs/copies.md), if its patients do not tell.
        landscape: Train the network once more, and draw the loss around it with the path of its training.

    Raises:
        DataError: the source cannot be read, or validation refused it; nothing was trained.
        UsageError: the data is too small for the folds, or too large for the memory.
        UnavailableError: the MLflow store or the device is missing.
    """
    given: dict[str, Any] = {"source": source, "recipe": recipe, "evaluation": evaluation}
    given |= {"promotion": promotion, "device": device, "force": force, "read_as": read_as}
    given["landscape"] = landscape

    def work() -> Outcome | Unchanged:
        its = parameters.checked(train, parameters.completed(given))
        return pipeline(
            its["source"],
            its["recipe"],
            its["evaluation"],
            its["promotion"],
            its["device"],
            its["force"],
            its["read_as"],
            its["landscape"],
        )

    with progress() if runtime.deployment.id else nullcontext():  # otherwise the calling command shows it
        return missed.ended(work)


def _origin_of(champion: ModelRef | None) -> Origin | None:
    """What the champion was made from; None if there is no champion, or if that is gone, which is said."""
    try:
        return registry.origin_of(champion) if champion else None
    except OriginError as error:
        log.warning("          %s. Nothing is compared with the champion, and its --sensitivity is not kept.", error)
        return None


def pipeline(
    source: str | None,
    asked: RecipeOptions,
    judged: EvaluationOptions,
    promotion: Promotion,
    device: str,
    force: bool,
    read_as: str | None,
    landscape: bool,
) -> Outcome | Unchanged:
    """Do the whole job in order, within a flow run; it raises the same errors as `train`."""
    flow_run, tags = runtime.flow_run.id or "", reconciliation.check_in()
    table = stages.load(source, read_as, force)
    champion = registry.find_champion()
    theirs = _origin_of(champion)
    recipe = by_rows.recipe_for(len(table), asked)
    evaluation = by_rows.evaluation_for(len(table), judged, champion=theirs.sensitivity if theirs else None)
    log.info("plan      %s", by_rows.in_words(len(table), asked, judged))
    if judged.sensitivity is None and evaluation.sensitivity is not None:
        share = f"{100 * evaluation.sensitivity:g} %"
        log.info("          the answer is to find %s of the sick, as the champion's does (see --sensitivity)", share)
    origin = registry.origin_here(recipe, evaluation, table.digest, by_rows.left_open(asked))
    if champion and registry.finish_try(champion, flow_run):
        log.info("          %s version %s is champion: an earlier try got that far", champion.name, champion.version)
        return Unchanged(champion, flow_run, "Promoted", "an earlier try of this run got that far")
    if champion and theirs and not force and not theirs.differences(origin):
        _check_that_it_loads(champion)
        log.info("          nothing to do: %s version %s was made from exactly this", champion.name, champion.version)
        return Unchanged(champion, flow_run)

    rival = by_rows.recipe_for(len(table), theirs.asked) if theirs else None
    others = [one for one in dict.fromkeys([rival, with_all_columns(recipe)]) if one]
    picture = cost_of_landscape(len(table), recipe) if landscape else cost.NOTHING
    expected = cost.check(len(table), [recipe, *others], evaluation, landscape=picture)
    if expected.seconds > cost.SHOWN_SECONDS:
        log.info("          the training takes %s", expected)

    import_tensorflow()  # takes seconds, so it waits until there is something to train
    before = registry.find_try(flow_run, origin)
    for digest in (theirs.snapshot if theirs else "", table.snapshot.digest if table.snapshot else ""):
        snapshots.learned_from(digest)
    tags |= registry.source_tags(table, read_as)
    with registry.open_run(recipe.name, tags, resume=before) as run:
        registry.log_start(run, table, origin)
        validated = stages.validate(run, table)
        contest = stages.encode(table, recipe, evaluation, rival)
        networks = stages.train(contest, device)
        title = f"run {run.run_id[:8]}: {recipe.name}"
        report = stages.evaluate(contest, networks, title, device if landscape else None)

        model = contest.model(networks, report.members, report.threshold)
        decision = decide(
            report,
            promotion,
            champion=f"champion version {champion.version}" if champion else None,
            data_changed=theirs is not None and theirs.data != table.digest,
        )
        registry.log_tags(run, {registry.DEVICE: networks.device, registry.MEMBERS: str(report.members)})
        ref, decision = stages.register(run, model, table, report, decision, champion, validated)
    return Outcome(run, flow_run, ref, decision, report)


def _check_that_it_loads(champion: ModelRef) -> None:
    """Refuse to be content with a champion that nobody can use: a schedule would stay green.

    Raises:
        UnavailableError: its files are missing or were changed, or the store does not answer.
    """
    try:
        registry.load_model(champion)
    except UnavailableError as error:
        raise UnavailableError(
            f"nothing has changed since {champion.name} version {champion.version} became champion, but it cannot be "
            f"used: {error} To train its successor: heart train --force --promote-if not-worse"
        ) from error
