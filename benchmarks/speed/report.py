"""What the report adds to a training: processor time and bytes.

    python -m benchmarks.speed.report              # 5 rounds on the bundled patients

A training of the default recipe is done once, without stores. Then everything that is made for its report is made again
and again in the same process: what the networks make of each column, the facts, the page, the card, and the figures.
Processor time depends less than the clock on what else the machine does. The first round of a part is the dearest,
because it imports what it needs. What other commands make in the same way is measured too: a loss landscape, the page
of a comparison, and what drives one patient's answer; `python -m benchmarks.speed.end_to_end --only "(b) " landscape`
has whole trainings with and without a landscape.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from heart_disease.data import sources
from heart_disease.evaluation import by_rows
from heart_disease.evaluation.contest import CHAMPION, NETWORK, Contest
from heart_disease.evaluation.settings import EvaluationOptions, Promotion
from heart_disease.evaluation.verdict import decide
from heart_disease.model.patient_model import PatientModel
from heart_disease.reporting import figures, landscape
from heart_disease.reporting.report import comparison_page, facts, model_card, report_page
from heart_disease.reporting.report.comparison_page import Duel, Side
from heart_disease.training import engine
from heart_disease.training.recipe import RecipeOptions


def timed(work: Callable[[], Any], rounds: int) -> tuple[Any, list[float]]:
    """What the work returns, and the seconds of processor time of each round."""
    seconds, found = [], None
    for _ in range(rounds):
        start = time.process_time()
        found = work()
        seconds.append(time.process_time() - start)
    return found, seconds


def main() -> None:
    """Train, measure each part, and print a line for it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    table = sources.load()
    recipe = by_rows.recipe_for(len(table), RecipeOptions())
    evaluation = by_rows.evaluation_for(len(table), EvaluationOptions())
    contest = Contest.on(table.frame, recipe, evaluation, rival=recipe)  # a retraining draws more lines
    networks = engine.train(contest.inputs, contest.labels, contest.jobs)
    report, decision = (found := contest.report(networks)), decide(found, Promotion(), champion="champion version 1")
    influences, columns = timed(lambda: contest.influences(networks, report.members), rounds)
    report = replace(report, influences=influences)
    model = contest.model(networks, report.members, report.threshold)
    known, collecting = timed(lambda: facts.collect(table.frame, table.source, report, "version 2", model), rounds)
    page, rendering = timed(lambda: report_page.render(known, decision, {}, {}), rounds)
    card, describing = timed(lambda: model_card.render(known, decision, "report.html"), rounds)
    drawn, drawing = timed(lambda: figures.draw_all(report, "version 2"), rounds)
    picture, looking = timed(lambda: landscape.of_training(contest, "auto", "run 1"), rounds)
    curves = {name: each.mean(axis=0) for name, each in report.curves.items()}
    first, other = (Side(name, recipe.title, report.probabilities[name], curves) for name in (CHAMPION, NETWORK))
    frame = table.frame.iloc[report.rows]
    duel = Duel(first, other, report.labels, frame, frame.index, (), contest.splits.widening, 0.02, 0, [], {})
    compared, comparing = timed(lambda: comparison_page.render(duel), rounds)
    with tempfile.TemporaryDirectory() as folder:  # `heart predict` has a stored model, without Keras
        model.save(Path(folder))
        stored = PatientModel.load(Path(folder))
    _, driving = timed(lambda: stored.drivers(stored.cells(frame.head(1))[0]), rounds)
    parts = {
        "columns": (columns, 0), "facts": (collecting, 0), "page": (rendering, len(page.encode())),
        "card": (describing, len(card.encode())), "four figures": (drawing, sum(map(len, drawn.values()))),
    }  # fmt: skip
    print(f"{'part':14}{'median s':>10}{'range':>16}{'bytes':>12}")
    for name, (seconds, size) in parts.items():
        ends = f"{min(seconds):.2f}-{max(seconds):.2f}"
        print(f"{name:14}{statistics.median(seconds):10.2f}{ends:>16}{size:12,}")
    total = sum(statistics.median(seconds) for seconds, _ in parts.values())
    print(f"{'together':14}{total:10.2f}{'':16}{sum(size for _, size in parts.values()):12,}")
    others = {
        "landscape": (looking, len(picture), "train --landscape"),
        "comparison": (comparing, len(compared.encode()), "compare -o"),
        "drivers": (driving, 0, "predict, one patient"),
    }  # fmt: skip
    for name, (seconds, size, command) in others.items():
        ends = f"{min(seconds):.3f}-{max(seconds):.3f}"
        print(f"{name:14}{statistics.median(seconds):10.3f}{ends:>16}{size:12,}  (heart {command})")


if __name__ == "__main__":
    main()
