"""What the `heart` command understands. Nothing heavy is imported, so that --help answers at once."""

from __future__ import annotations

import argparse

from heart_disease.cli.options import add_options
from heart_disease.evaluation.settings import Evaluation, Promotion
from heart_disease.search.settings import Search
from heart_disease.training.recipe import MANY_ROWS, PRESETS, Recipe

EXIT_CODES = """exit codes:
  0  done                        4  nothing to use: no champion, run, store or server
  1  unexpected failure          5  trained, but not promoted; or the champion was
  2  wrong usage                    moved by someone else meanwhile
  3  the data was rejected       6  not reproduced
"""

SERVE_EXAMPLE = """example:
  curl -H 'Content-Type: application/json' http://127.0.0.1:8000/predict -d '{"patients": [
    {"age": 63, "sex": 1, "cp": 1, "trestbps": 145, "chol": 233, "fbs": 1, "restecg": 2,
     "thalach": 150, "exang": 0, "oldpeak": 2.3, "slope": 3, "ca": 0, "thal": null}]}'

  GET /model         which version answers, since when, and what is wrong
  GET /health        200 where a model is loaded; needs no token
  GET /openapi.json  all of that, for programs
"""


def make_parser(lessons: bool) -> argparse.ArgumentParser:
    """The commands; the options of each lesson only where they are asked for."""
    parser = argparse.ArgumentParser(
        prog="heart",
        description="Train, check and use the heart-disease model.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    train = commands.add_parser(
        "train",
        aliases=["retrain"],
        help="validate, train, evaluate and register",
        description="Validate the data, train and evaluate the network, and register it.",
    )
    train.set_defaults(command="train")
    train.add_argument("--force", action="store_true", help="train even if nothing changed since the champion")
    train.add_argument(
        "--on-server", action="store_true",
        help="let the deployment on the Prefect server do it (see `heart schedule`), and follow its run to the end; "
        "what is not given is as the deployment has it",
    )  # fmt: skip
    _add_training(train)

    schedule = commands.add_parser(
        "schedule",
        help="retrain by itself: at times, or when a file changes",
        description="Serve the training as a Prefect deployment from this machine, until Ctrl-C: it runs at the times "
        "that are set, when a file has new content, and when somebody triggers it. Starts a Prefect server unless "
        "PREFECT_API_URL names one. Of runs that were missed meanwhile, the latest is made up for.",
    )
    schedule.set_defaults(command="schedule")
    times = schedule.add_mutually_exclusive_group()
    times.add_argument("--cron", metavar="X", help="such as '0 6 * * 1', Mondays at 6")
    times.add_argument("--every", metavar="X", help="such as 30m, 6h, 1d or 2w")
    schedule.add_argument("--timezone", metavar="X", default="UTC", help="of these, such as Europe/Berlin; default UTC")
    schedule.add_argument("--on-data", metavar="FILE", help="train on FILE whenever it has new content")
    schedule.add_argument(
        "--if-running", choices=("wait", "skip"), default="wait",
        help="what a second run does while one is running (default wait)",
    )  # fmt: skip
    schedule.add_argument("--port", type=int, default=4200, help="of the Prefect server that is started (default 4200)")
    _add_training(schedule)

    notify = commands.add_parser(
        "notify",
        help="tell of runs that end badly, by webhook or mail",
        description="Set up, or change, an automation on the Prefect server. It tells of every run that fails, "
        "crashes, is cancelled, whose data is rejected or whose model is not promoted: why, and where to look.",
    )
    notify.set_defaults(command="notify")
    ways = notify.add_mutually_exclusive_group(required=True)
    ways.add_argument(
        "--webhook", nargs="?", const="", metavar="URL",
        help="POST JSON there; default HEART_WEBHOOK_URL. HEART_WEBHOOK_TOKEN is sent as a bearer token",
    )  # fmt: skip
    ways.add_argument(
        "--mail", nargs="+", metavar="ADDRESS",
        help="through HEART_SMTP_URL (smtps://USER:PASSWORD@HOST, starttls://..., smtp://HOST), from HEART_MAIL_FROM",
    )  # fmt: skip

    sweep = commands.add_parser(
        "sweep",
        help="search the recipe: many configurations on the same folds",
        description="Cross-validate many recipes at once, choose the simplest of the good ones, and re-estimate it. "
        "Stopped, the same command goes on from there.",
    )
    sweep.set_defaults(command="sweep")
    sweep.add_argument("--source", metavar="PATH", help="CSV or Parquet file; default: the bundled 303 patients")
    sweep.add_argument("--space", metavar="FILE", help="YAML: what to search; see the README for the default")
    sweep.add_argument("--grid", action="store_true", help="all combinations of the space, which must be lists")
    add_options(sweep, Search)
    sweep.add_argument("--device", choices=("auto", "cpu", "gpu"), default="auto", help="the GPU where there is one")
    cluster = sweep.add_mutually_exclusive_group()
    cluster.add_argument("--dask", metavar="ADDRESS", help="train on a Dask cluster, such as tcp://10.0.0.1:8786")
    cluster.add_argument("--ray", metavar="ADDRESS", help="train on a Ray cluster, such as ray://10.0.0.1:10001")
    add_options(sweep.add_argument_group("evaluation"), Evaluation, leave_out=("holdout",))

    distribute = commands.add_parser(
        "distribute",
        help="train with other machines, each on its part of the rows",
        description="This machine's share of training one network on more rows than one machine holds. Start the same "
        "command on every machine, each with its own part and its own TF_CONFIG. The first worker keeps the result.",
    )
    distribute.set_defaults(command="distribute")
    distribute.add_argument("--source", metavar="PART", required=True, help="Parquet file: this machine's part")
    distribute.add_argument("-o", "--output", metavar="FOLDER", help="the first worker writes the model there, too")
    for name, metavar, default, what in (
        ("--shuffle-rows", "N", 100_000, "rows that are held in memory to be shuffled; 0: the file's order"),
        ("--wait", "SECONDS", 120, "how long to wait for the other workers"),
    ):
        distribute.add_argument(name, type=int, metavar=metavar, default=default, help=f"{what} (default {default})")
    add_options(
        distribute.add_argument_group("recipe", "The same on every machine."),
        Recipe,
        base=MANY_ROWS,
        leave_out=("members",),
    )

    check = commands.add_parser(
        "check", help="load and validate a file, without training", description="Load and validate a file of patients."
    )
    check.set_defaults(command="check")
    check.add_argument("source", nargs="?", metavar="SOURCE", help="CSV or Parquet file; default: the bundled patients")
    check.add_argument("--page", metavar="FILE", help="write the validation page (HTML) there")

    predict = commands.add_parser(
        "predict", help="score patients with the champion", description="Score raw patient rows with the champion."
    )
    predict.set_defaults(command="predict")
    predict.add_argument("source", metavar="FILE", help="CSV or Parquet file, in UCI codes")
    predict.add_argument("-o", "--output", metavar="OUT", help="CSV or Parquet file to write; default: the terminal")

    champion = commands.add_parser(
        "champion", help="which version is used, since when and why", description="Show the champion."
    )
    champion.set_defaults(command="champion")

    history = commands.add_parser(
        "history", help="every champion there was", description="Every move of the champion, newest first."
    )
    history.set_defaults(command="history")

    promote = commands.add_parser(
        "promote",
        help="make a version the champion by hand",
        description="Make a version the champion by hand, if it loads and scores.",
    )
    promote.set_defaults(command="promote")
    promote.add_argument("version", metavar="VERSION", help="its number, or challenger: the newest version")
    promote.add_argument("--because", metavar="WHY", required=True, help="the reason, for the history")

    rollback = commands.add_parser(
        "rollback",
        help="make the champion before this one champion again",
        description="Make the champion before the present one champion again; repeated, the one before that.",
    )
    rollback.set_defaults(command="rollback")
    rollback.add_argument("--because", metavar="WHY", help="the reason, for the history")

    compare = commands.add_parser(
        "compare",
        help="runs side by side: recipes, metrics, differences",
        description="Put runs side by side: where their recipes differ, their metrics, and by how much each is better "
        "or worse than the first, patient by patient.",
    )
    compare.set_defaults(command="compare")
    compare.add_argument(
        "runs", nargs="*", metavar="RUN",
        help="a version, an alias, a run id or its beginning, or a run's name; default: champion and challenger",
    )  # fmt: skip
    compare.add_argument(
        "--on", metavar="FILE", help="compare two registered models on the patients of FILE that neither learned from"
    )
    margin = Promotion.__pydantic_fields__["margin"]  # type: ignore[attr-defined]
    compare.add_argument(
        "--margin", dest="Promotion.margin", metavar="X",
        help=f"log loss by which a run may at most be worse to count as not worse (default {margin.default})",
    )  # fmt: skip

    reproduce = commands.add_parser(
        "reproduce",
        help="train a version again and compare",
        description="Train a registered version again from its recorded recipe, seed and data, and compare what the "
        "two say about every patient.",
    )
    reproduce.set_defaults(command="reproduce")
    reproduce.add_argument("version", metavar="VERSION", help="its number or alias")
    reproduce.add_argument("--source", metavar="PATH", help="CSV or Parquet file; default: the one that was recorded")
    reproduce.add_argument(
        "--device", choices=("auto", "cpu", "gpu"), default="auto", help="auto: the GPU where there is one"
    )

    reconcile = commands.add_parser(
        "reconcile",
        help="close runs that say RUNNING and that nobody is at",
        description="Close the runs of both stores that say RUNNING although their process is gone. Of processes that "
        "cannot be looked at from here only those are closed that give no sign of life for some minutes.",
    )
    reconcile.set_defaults(command="reconcile")
    reconcile.add_argument(
        "--patience", type=float, metavar="SECONDS", default=300.0,
        help="how long to listen; flow runs send a heartbeat every 180 seconds or less (default 300)",
    )  # fmt: skip

    prune = commands.add_parser(
        "prune",
        help="delete old runs that nobody needs any more",
        description="Delete the runs of both stores that are old, with their files and versions: none that is or was "
        "champion or has an alias, and nothing that the history needs. Without --yes it only says what would go.",
    )
    prune.set_defaults(command="prune")
    prune.add_argument("--older-than", metavar="AGE", default="90d", help="such as 12h, 90d or 26w (default 90d)")
    prune.add_argument("--yes", action="store_true", help="delete them")

    learn = commands.add_parser(
        "learn",
        help="the course beside it: lessons on this very network",
        description="Lessons on how the network learns. Without a name: the list of them.",
    )
    learn.set_defaults(command="learn", lesson=None)
    learn.add_argument("--notebook", metavar="FILE", help="write a notebook of all lessons (.ipynb)")
    if lessons:
        from heart_disease.lessons.lesson import NAMES, find

        names = learn.add_subparsers(title="lessons", metavar="NAME")
        for name in NAMES:
            module = find(name)
            one = names.add_parser(name, help=module.TITLE, description=module.__doc__)
            one.set_defaults(lesson=name)
            add_options(one, module.Settings)
        every = names.add_parser("all", help="all of them, and one page of HTML", description="Run all, write a page.")
        every.set_defaults(lesson="all")
        every.add_argument("-o", "--output", metavar="FILE", default="lessons.html", help="default lessons.html")

    serve = commands.add_parser(
        "serve",
        help="the scoring API: patients in, probabilities out, over HTTP",
        description="Serve the champion over HTTP, and every later champion, until Ctrl-C. Where the\n"
        "variable HEART_API_TOKEN is set, only who sends it may ask.",
        epilog=SERVE_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    serve.set_defaults(command="serve")
    serve.add_argument("--host", default="127.0.0.1", help="the address to listen on (default 127.0.0.1, this machine)")
    serve.add_argument("--port", type=int, default=8000, help="default 8000; 0 takes a free one")
    serve.add_argument(
        "--version", default="champion", metavar="VERSION", help="a number, or an alias to follow (default champion)"
    )

    ui = commands.add_parser(
        "ui",
        help="start the MLflow and Prefect pages",
        description="Start both pages on the embedded stores, until Ctrl-C.",
    )
    ui.set_defaults(command="ui")
    ui.add_argument("--mlflow-port", type=int, default=5000, help="default 5000")
    ui.add_argument("--prefect-port", type=int, default=4200, help="default 4200")
    return parser


def _add_training(parser: argparse.ArgumentParser) -> None:
    """What is trained on what, and how it is judged."""
    parser.add_argument("--source", metavar="PATH", help="CSV or Parquet file; default: the bundled 303 patients")
    parser.add_argument("--device", choices=("auto", "cpu", "gpu"), help="auto, the default: a GPU where there is one")
    add_options(parser.add_argument_group("evaluation"), Evaluation)
    add_options(parser.add_argument_group("promotion", "When the new model becomes champion."), Promotion)
    recipe = parser.add_argument_group("recipe", "A preset, and what to change in it.")
    recipe.add_argument("--preset", choices=sorted(PRESETS), help="lecture: the course's 300 epochs")
    add_options(recipe, Recipe)
