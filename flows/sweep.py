"""The search: load -> validate -> cross-validate batch after batch -> choose -> nested estimate."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, nullcontext
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

from prefect import flow, runtime
from pydantic import Field

from heart_disease import registry
from heart_disease.evaluation import by_rows
from heart_disease.evaluation.cost import SHOWN_SECONDS
from heart_disease.evaluation.settings import EvaluationOptions
from heart_disease.model.words import count
from heart_disease.operations import reconciliation
from heart_disease.registry import Run
from heart_disease.reporting.terminal import Bar
from heart_disease.search import clusters, cost
from heart_disease.search.settings import Configurations, InnerFolds, Search, Seed
from heart_disease.search.space import DEFAULT, as_yaml, grid, make_space, sample
from heart_disease.search.study import Result, Study, Summary
from heart_disease.training.batches import kind
from heart_disease.training.code import code_digest
from heart_disease.training.recipe import Recipe, RecipeOptions
from tasks import stages
from tasks.progress import Progress
from tasks.search import publish, publish_batch

log = logging.getLogger("heart")
BATCH_NETWORKS = 2000  # networks per Prefect task: a few seconds of work


@dataclass(frozen=True)
class Outcome:
    """The result of a search."""

    run: Run
    flow_run_id: str
    study: Study
    configurations: int
    summary: Summary


def _run_name() -> str:
    given = runtime.flow_run.get_parameters()
    what = "grid" if given["method"] == "grid" else count(given["configurations"], "configuration")
    return f"{what}, seed {given['seed']}"


@flow(name="heart-disease-sweep", flow_run_name=_run_name, persist_result=False, validate_parameters=True)
def search(
    source: Annotated[str | None, Field(description="File, folder or address; empty for the bundled patients.")] = None,
    space: Annotated[dict[str, Any], Field(description="What to search.")] = DEFAULT,
    method: Annotated[Literal["random", "grid"], Field(description="Draw configurations, or take all.")] = "random",
    configurations: Configurations = Search.configurations,
    evaluation: Annotated[EvaluationOptions, Field(description="How each is judged.")] = EvaluationOptions(),  # noqa: B008
    inner_folds: InnerFolds = Search.inner_folds,
    seed: Seed = Search.seed,
    device: Annotated[Literal["auto", "cpu", "gpu"], Field(description="auto: the GPU if there is one.")] = "auto",
) -> Outcome:
    """Cross-validate many recipes, choose the simplest of the good ones, and say what it is really worth.

    A search that was stopped resumes where it was if it is called again with the same parameters. With a Dask or Ray
    task runner, the batches are trained on that cluster.

    Raises:
        DataError: the source cannot be read, or validation refused it; nothing was trained.
        UsageError: the space makes no sense, the data is too small for the folds, or the search is too large for the
            memory.
        UnavailableError: the MLflow store, the device or the cluster is missing, or the search is already running.
    """
    tags = reconciliation.check_in()
    table = stages.load(source)
    made = make_space(space)
    recipes = grid(made, seed) if method == "grid" else sample(made, configurations, seed)
    if "batch_size" not in made.values:
        size = by_rows.recipe_for(len(table), RecipeOptions()).batch_size
        recipes = [replace(recipe, batch_size=size) for recipe in recipes]
    judged = by_rows.evaluation_for(len(table), evaluation, may_hold_out=False)
    study = Study(table.frame, judged, made.epochs, inner_folds, seed)
    design = cost.Design(len(table), judged, inner_folds, len(made.epochs), here=clusters.current() is None)
    cost.check(recipes, design)
    settings = {"method": method, "configurations": str(len(recipes)), "inner_folds": str(inner_folds)}
    settings |= {"seed": str(seed), "data_digest": table.digest}
    settings |= {key: str(value) for key, value in judged.as_dict().items()}
    name = f"{count(len(recipes), 'configuration')}, {method}, seed {seed}"
    with registry.open_sweep(name, _identity(settings, study, recipes), tags | registry.source_tags(table)) as run:
        registry.log_search(run, settings, {}, {})
        registry.log_data(run, table)
        registry.log_files(run, "evaluation", {"space.yaml": as_yaml(space)})
        stages.validate(run, table)
        batches = _batches(study, recipes)
        log.info(
            "space     %s x %s, measured at %s epochs; with the nested folds %s",
            count(len(recipes), "configuration"), count(len(study.splits.pairs), "fold"),
            ", ".join(map(str, study.epochs)), count(len(recipes) * study.fits, "network"),
        )  # fmt: skip
        results = _run_batches(run, study, batches, device, design)
        found = stages.summarise(study, results)
        publish(run, study, found)
    return Outcome(run, runtime.flow_run.id or "", study, len(recipes), found)


def _identity(settings: Mapping[str, str], study: Study, recipes: Sequence[Recipe]) -> str:
    """A digest of everything that decides what the search finds: settings, data, configurations, code, libraries."""
    here = registry.origin_here(recipes[0], study.evaluation, settings["data_digest"])
    what = [settings, [recipe.as_text() for recipe in recipes], study.epochs, code_digest("search"), here.libraries]
    return hashlib.sha256(json.dumps(what).encode()).hexdigest()[:32]


def _batches(study: Study, recipes: Sequence[Recipe]) -> list[list[tuple[int, Recipe]]]:
    """Numbered configurations, in batches that share one shape and hold about `BATCH_NETWORKS` networks."""
    kinds: dict[tuple[object, ...], list[tuple[int, Recipe]]] = {}
    for number, recipe in enumerate(recipes, start=1):
        kinds.setdefault(kind(recipe), []).append((number, recipe))
    most = max(1, BATCH_NETWORKS // study.fits)
    return [alike[i : i + most] for alike in kinds.values() for i in range(0, len(alike), most)]


def _run_batches(
    run: Run, study: Study, batches: Sequence[list[tuple[int, Recipe]]], device: str, design: cost.Design
) -> list[Result]:
    """The results of all configurations, in the order of `batches`; batches that the run has are not trained again."""
    results: dict[int, list[Result]] = {}
    for number, arrays in registry.read_batches(run).items():
        recipes = [recipe for _, recipe in batches[number]]
        results[number] = Result.from_arrays(recipes, arrays)
    todo = [number for number in range(len(batches)) if number not in results]
    started, networks = time.monotonic(), sum(len(batches[number]) for number in todo) * study.fits
    if results:
        log.info("          %d of %d batches were done before", len(results), len(batches))
    left = [recipe for number in todo for _, recipe in batches[number]]
    if left and (expected := cost.estimate(left, design)).seconds > SHOWN_SECONDS:
        log.info("          the search takes %s%s", expected, "" if design.here else ", all on a machine like this one")
    writing: list[Future[None]] = []
    # MLflow writes one batch while the next is trained. Leaving the block waits for it, so finished batches are kept.
    with (
        ThreadPoolExecutor(1) as writer,
        Progress(f"Search: training of {count(networks, 'network')}.") as page,
        Bar("train", networks, page.tell) as bar,
        closing(_train(study, batches, todo, device, bar)) as trained,
    ):
        try:
            for number, found in trained:
                results[number] = found
                writing.append(writer.submit(publish_batch, run, study, number, batches[number], found))
                for done in [one for one in writing if one.done()]:
                    done.result()
        except (KeyboardInterrupt, SystemExit):
            log.info("          stopped; what is finished is kept, and the same command goes on from there")
            raise
    for done in writing:
        done.result()
    if todo:
        log.info("train     %d networks: %.1f s", networks, time.monotonic() - started)
    return [result for number in range(len(batches)) for result in results[number]]


def _train(
    study: Study,
    batches: Sequence[list[tuple[int, Recipe]]],
    todo: Sequence[int],
    device: str,
    bar: Bar,
) -> Generator[tuple[int, list[Result]]]:
    """Yield each batch when it is finished: one after the other here, or many at once on a cluster."""
    recipes = {number: [recipe for _, recipe in batches[number]] for number in todo}
    cluster = clusters.current()
    if cluster:
        submit: Any = stages.cross_validate_there.submit  # type: ignore[attr-defined]
        more = {"device": device, "code": code_digest("search")}
        with closing(clusters.finished(cluster, lambda n: submit(study, recipes[n], **more), todo)) as finished:
            for number, found in finished:
                bar.add(len(recipes[number]) * study.fits)
                yield number, found
        return
    for number in todo:
        networks = len(recipes[number]) * study.fits
        found = stages.cross_validate(study, recipes[number], device=device, progress=bar.part(networks))
        bar.add(networks)
        yield number, found


def run(*arguments: Any, dask: str | None, ray: str | None) -> Outcome:
    """Run `search`, on a cluster if an address is given.

    Raises:
        UnavailableError: the extra is not installed, nothing answers at the address, or the cluster is unusable here.
    """
    with clusters.dask_runner(dask) if dask else clusters.ray_runner(ray) if ray else nullcontext() as runner:
        return search.with_options(task_runner=runner)(*arguments)
