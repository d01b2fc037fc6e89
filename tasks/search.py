"""Record a search in MLflow and Prefect: each batch when it is finished, and the choice at the end."""

from __future__ import annotations

from collections.abc import Sequence

from prefect.artifacts import create_markdown_artifact

from heart_disease import registry
from heart_disease.evaluation.estimates import MINUS, names_of
from heart_disease.registry import TRAINING, Run
from heart_disease.reporting import tables
from heart_disease.search.study import Result, Study, Summary, measure
from heart_disease.training.engine import TEST_LOSS, TRAIN_LOSS
from heart_disease.training.recipe import Recipe


def publish_batch(
    run: Run, study: Study, number: int, numbered: Sequence[tuple[int, Recipe]], results: Sequence[Result]
) -> None:
    """Record a finished batch: one run per configuration, then what the search needs to resume from here."""
    registry.forget_batch(run, number)
    for (configuration, _), result in zip(numbered, results, strict=True):
        recipe, estimates = measure(study, result)
        registry.log_configuration(
            run, recipe.title,
            {
                "configuration": str(configuration), "batch": str(number),
                registry.COLOUR: registry.colour(configuration),
                "mlflow.note.content": tables.configuration_text(study, recipe, estimates),
            },
            recipe.as_text() | {"weights": str(recipe.size)}, tables.figures(estimates),
            {TRAIN_LOSS: result.train.tolist(), TEST_LOSS: result.validation.tolist()},
        )  # fmt: skip
    registry.log_batch(run, number, Result.to_arrays(results))


def publish(run: Run, study: Study, found: Summary) -> None:
    """Record what a search found: figures, ranking and description in its run, and an artifact in Prefect."""
    metrics = tables.figures({"log_loss": found.of_chosen, f"{MINUS}/best": found.apart})
    metrics |= tables.figures({"best/log_loss": found.of_best, "nested/log_loss": found.nested})
    description = tables.search_text(study, found)
    registry.log_search(run, {}, metrics, {"chosen": found.chosen.title, "best": found.best.title})
    registry.log_files(run, "evaluation", {"ranking.csv": tables.ranking(found)})
    note = f"{description}\n\nTheir runs: {', '.join(_mark(run, found))}."
    registry.log_tags(run, {"mlflow.note.content": note})
    columns = ["epochs", *(name for name in tables.tried(study, found) if name != "epochs")]
    # A chart drops values that are not numbers if most are, such as 16-8 among 8, 16 and 32. `weights` says as much.
    axes = ["weights" if name == "hidden" else name for name in columns]
    registry.save_view(run, [*names_of("log_loss"), "roc_auc"], columns, ["chosen"], axes)
    create_markdown_artifact(description, key="sweep", description=f"Chosen: {found.chosen.title}.")


def _mark(run: Run, found: Summary) -> list[str]:
    """Mark the chosen and the best configuration, and colour the best ten; return links to the two, in Markdown."""
    # The page's charts start with these ten. If they were coloured by configuration number, some might look alike.
    for rank, recipe in enumerate(found.ranked[:10]):
        registry.tag_configuration(run, _text_but_epochs(recipe), {registry.COLOUR: registry.colour(rank)})
    links = []
    # A run is named after its own best epochs; the choice may be the same configuration at fewer epochs.
    for tag, recipe, loss in (("chosen", found.chosen, found.of_chosen), ("best", found.best, found.of_best)):
        what = f"{recipe.epochs} epochs, {loss}"
        run_id = registry.tag_configuration(run, _text_but_epochs(recipe), {tag: what})
        links.append(f"[the {tag} one](#/experiments/{run.experiment_id}/runs/{run_id}?{TRAINING})")
    return links


def _text_but_epochs(recipe: Recipe) -> dict[str, str]:
    """What identifies a configuration's run: the whole recipe except the epochs, of which every run measures many."""
    return {name: value for name, value in recipe.as_text().items() if name != "epochs"}
