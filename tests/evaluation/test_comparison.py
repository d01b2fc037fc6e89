"""`heart compare`: runs by their names, side by side; paired differences; two models on patients new to both."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest

from heart_disease import registry
from heart_disease.cli import main
from heart_disease.data import sources
from heart_disease.evaluation import comparison, evaluate
from heart_disease.evaluation.settings import Evaluation, Promotion
from heart_disease.model import schema
from heart_disease.model.encoding import Encoder
from heart_disease.model.errors import DataError
from heart_disease.model.patient_model import PatientModel
from heart_disease.reporting import comparison as shown
from heart_disease.training import network
from heart_disease.training.recipe import Recipe
from tests.harness import patients

pytestmark = pytest.mark.slow

EVALUATION = Evaluation(folds=4, repeats=2)
Frame = Callable[[pd.DataFrame], pd.DataFrame]


@pytest.fixture(scope="module")
def store(prefect: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A store of its own: version 1 is champion, 2 challenger, both on the same folds; 3 on others, 4 held out.

    5 and 6 learned from the files ours.csv and theirs.csv of the folder; new.csv has patients of neither.
    """
    from flows.train import train

    folder = tmp_path_factory.mktemp("compare")
    made = patients.make(400, seed=5)
    for name, rows in (("ours", slice(0, 150)), ("theirs", slice(150, 300)), ("new", slice(300, 400))):
        made.iloc[rows].to_csv(folder / f"{name}.csv", index=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'mlflow.db'}")
        assert train(evaluation=EVALUATION, promotion=Promotion(margin=0.2)).decision.promote
        train(recipe=Recipe(weight_decay=0, epochs=300), evaluation=EVALUATION)
        train(recipe=Recipe(seed=1), evaluation=EVALUATION)
        train(evaluation=Evaluation(holdout=0.2))
        for name in ("ours", "theirs"):
            train(
                source=str(folder / f"{name}.csv"), recipe=Recipe(epochs=20), evaluation=Evaluation(folds=2, repeats=1)
            )
        client = mlflow.MlflowClient()
        client.set_registered_model_alias(registry.MODEL, registry.CHALLENGER, "2")
        yield folder


@pytest.fixture
def heart(store: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """The command: exit code, what it printed, and its errors in one line."""

    def call(*arguments: str) -> tuple[int, str, str]:
        code = main.main(arguments)
        out, err = capsys.readouterr()
        return code, out, " ".join(err.split())

    return call


def run_of(version: str) -> mlflow.entities.Run:
    client = mlflow.MlflowClient()
    return client.get_run(client.get_model_version(registry.MODEL, version).run_id)


def table_below(out: str, first: str) -> dict[str, list[str]]:
    """The cells of the table whose header starts with `first`, by the first cell of each line."""
    lines = out.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(f"{first} "))
    body = lines[start + 2 : lines.index("", start)]
    return {cells[0]: cells[1:] for cells in (line.split("  ") for line in body)}


# Runs.


def test_without_a_name_it_is_champion_and_challenger(heart: Any) -> None:
    code, out, _ = heart("compare")
    assert code == 0
    assert out.startswith("version 1 (champion, run ")
    assert "\nversion 2 (challenger, run " in out


def test_only_what_differs_of_the_recipes_is_shown(heart: Any) -> None:
    _, out, _ = heart("compare", "1", "2")
    assert set(table_below(out, "recipe")) == {"epochs", "weight_decay"}
    assert "epochs        75         300" in out


def test_equal_recipes_are_said_to_be_equal(heart: Any, store: Path) -> None:
    with registry.open_run("a twin", {}) as run:
        for name, value in run_of("1").data.params.items():
            mlflow.MlflowClient().log_param(run.run_id, name, value)
    code, out, _ = heart("compare", "1", "a twin")
    assert code == 0
    assert "recipe, evaluation and data are equal" in out


def test_the_difference_is_the_one_that_the_training_found(heart: Any) -> None:
    metrics = run_of("2").data.metrics
    value, low, high = (metrics[f"log_loss_minus/champion{end}"] for end in ("", "_low", "_high"))
    _, out, _ = heart("compare", "1", "2")
    line = next(line for line in out.splitlines() if line.startswith("version 2  "))
    assert f"{value:+.3f} [{low:+.3f}, {high:+.3f}]" in line
    assert line.split()[-2:] == ["worse", "303"]


def test_metrics_stand_side_by_side_with_their_intervals(heart: Any) -> None:
    _, out, _ = heart("compare", "1", "2")
    cells = [f"{m['log_loss']:.3f} [{m['log_loss_low']:.3f}, {m['log_loss_high']:.3f}]"
             for m in (run_of("1").data.metrics, run_of("2").data.metrics)]  # fmt: skip
    assert f"log loss     {cells[0]}  {cells[1]}" in out


def test_the_margin_decides_what_is_not_worse(heart: Any) -> None:
    verdicts = {margin: heart("compare", "1", "3", "--margin", margin)[1] for margin in ("0", "1")}
    assert "inconclusive" in verdicts["0"]
    assert "not worse" in verdicts["1"].split("log loss minus")[1].split("Below")[0]


def test_other_folds_are_named(heart: Any) -> None:
    _, out, _ = heart("compare", "1", "3")
    assert "version 3: other folds or data than version 1" in out
    assert "seed 1, not 0" in out


def test_a_holdout_is_compared_on_the_patients_that_both_have(heart: Any) -> None:
    _, out, _ = heart("compare", "1", "4")
    assert "compared on the 61 patients that both have" in out
    assert "holdout 0.2, not none" in " ".join(out.split())


def test_other_data_without_a_common_patient_is_not_compared(heart: Any) -> None:
    code, out, _ = heart("compare", "1", "5")
    assert code == 0
    assert "version 5  not available" in out
    assert "no patient in common" in out


def test_a_run_without_probabilities_still_shows_its_metrics(heart: Any) -> None:
    with registry.open_run("a sweep's child", {}) as run:
        client = mlflow.MlflowClient()
        for name, value in Recipe(epochs=40).as_text().items():
            client.log_param(run.run_id, name, value)
        client.log_metric(run.run_id, "log_loss", 0.4321)
    code, out, _ = heart("compare", "1", run.run_id)
    assert code == 0
    assert "0.432" in out
    assert f"run {run.run_id[:8]}  not available" in out
    assert "no out-of-fold probabilities: the run has no evaluation/out_of_fold.csv" in " ".join(out.split())


@pytest.mark.parametrize("versions", [("1", "2"), ("1", "2", "3"), ("1", "2", "3", "4", "5", "6")])
def test_however_many_runs_stay_within_80_columns(versions: tuple[str, ...], heart: Any) -> None:
    code, out, _ = heart("compare", *versions)
    assert code == 0
    assert max(map(len, out.splitlines())) <= 80
    for version in versions:
        assert f"version {version}" in out


# Their names.


@pytest.mark.parametrize(
    "word",
    [
        "2",
        "challenger",
        pytest.param(lambda run: run.info.run_id, id="run id"),
        pytest.param(lambda run: run.info.run_id[:10].upper(), id="beginning of the run id"),
        pytest.param(lambda run: run.info.run_name, id="name"),
    ],
)
def test_a_run_is_found_by(word: Any, store: Path) -> None:
    record = registry.find_record(word if isinstance(word, str) else word(run_of("2")))
    assert (record.version, record.run_id) == ("2", run_of("2").info.run_id)
    assert record.aliases == ("challenger",)


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("1", "77"), 4, "no version 77: there are the versions 1, 2, 3, 4, 5, 6, and the aliases challenger (= 2)"),
        (("1", "nobody"), 4, "no run 'nobody'; expected a version, an alias, a run id"),
        (("1", 'it\'s "quoted"'), 4, "no run 'it's \"quoted\"'"),
        (("1", "%%%%"), 4, "no run '%%%%'"),
        (("1", "29-16-1, 20 epochs, decay 1, adam 0.001, relu"), 2, "may be 2 runs"),
        (("1", "champion"), 2, "'1' and 'champion' are both version 1; expected different runs"),
    ],
)
def test_words_that_name_no_two_runs(words: tuple[str, str], code: int, message: str, heart: Any) -> None:
    found, _, err = heart("compare", *words)
    assert (found, message in err) == (code, True), err


def test_a_beginning_of_several_run_ids_is_ambiguous(heart: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("heart_disease.registry.lookup.PREFIX", 1)
    letters: list[str] = []  # a digit would be a version number
    while len(set(letters)) == len(letters):
        with registry.open_run("another", {}) as run:
            letters += [run.run_id[0]] * run.run_id[0].isalpha()
    code, _, err = heart("compare", "1", letters[-1])
    assert code == 2
    assert f"'{letters[-1]}' may be " in err
    assert f"{run.run_id[:12]} (run {run.run_id[:8]}, 'another')" in err


def test_a_champion_without_challenger_leaves_the_two_newest_versions(heart: Any) -> None:
    client = mlflow.MlflowClient()
    client.set_registered_model_alias(registry.MODEL, registry.CHALLENGER, "1")
    try:
        code, out, _ = heart("compare")
    finally:
        client.set_registered_model_alias(registry.MODEL, registry.CHALLENGER, "2")
    assert code == 0
    assert out.startswith("version 5 (")
    assert "\nversion 6 (" in out


def test_nothing_to_compare_ends_in_4(heart: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'empty.db'}")
    code, _, err = heart("compare")
    assert code == 4
    assert "expected two versions to compare: 'heart-disease' in " in err
    assert "run `heart train` first" in err


# On a file.


def test_on_a_file_no_patient_that_either_learned_from_is_used(heart: Any, store: Path) -> None:
    frames = [pd.read_csv(store / f"{name}.csv") for name in ("ours", "theirs", "new")]
    pd.concat([frames[0].head(30), frames[2], frames[1].head(20)]).to_csv(store / "mixed.csv", index=False)
    code, mixed, _ = heart("compare", "5", "6", "--on", str(store / "mixed.csv"))
    assert code == 0
    assert "100 rows used, 50 left out as training rows (30 of version 5, 20 of version 6)" in " ".join(mixed.split())
    _, alone, _ = heart("compare", "5", "6", "--on", str(store / "new.csv"))
    assert "100 rows used, 0 left out" in " ".join(alone.split())
    assert mixed.split("metric ")[1] == alone.split("metric ")[1]


def test_on_a_file_the_difference_is_that_of_the_models_themselves(heart: Any, store: Path) -> None:
    _, out, _ = heart("compare", "5", "6", "--on", str(store / "new.csv"))
    frame = sources.load(store / "new.csv").frame
    losses = [
        evaluate.losses(schema.label(frame).to_numpy(), registry.load_model(registry.find_record(v).ref)
                        .predict(frame[list(schema.INPUT_NAMES)])["probability"].to_numpy()[None])
        for v in ("5", "6")
    ]  # fmt: skip
    line = next(line for line in out.splitlines() if line.startswith("version 6  "))
    assert f"{(losses[1] - losses[0]).mean():+.3f} [" in line


def test_a_held_out_part_is_unseen_by_its_own_model_only(heart: Any) -> None:
    code, _, err = heart("compare", "4", "1", "--on", str(sources.BUNDLED))
    assert code == 3
    assert "0 rows that no model learned from" in err
    assert "242 of version 4, 303 of version 1" in err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("5", "6", "1"), 2, "--on compares two models; got 3"),
        (("5", "a sweep's child"), 2, "made no version of 'heart-disease'; expected a registered version"),
    ],
)
def test_on_a_file_takes_two_versions(
    arguments: tuple[str, ...], code: int, message: str, heart: Any, store: Path
) -> None:
    found, _, err = heart("compare", *arguments, "--on", str(store / "new.csv"))
    assert (found, message in err) == (code, True), err


def test_a_file_that_validation_refuses_is_not_compared_on(heart: Any, store: Path) -> None:
    patients.make(120, chol=9999).to_csv(store / "bad.csv", index=False)
    code, _, err = heart("compare", "5", "6", "--on", str(store / "bad.csv"))
    assert code == 3
    assert "was rejected; nothing was compared. error: column 'chol' has 9999" in err


def test_a_version_that_does_not_say_what_it_learned_from_is_refused(heart: Any, store: Path) -> None:
    model = PatientModel(Encoder.fit(patients.make(50)), network.build(Recipe(), 29))
    with registry.open_run("says nothing", {}) as run:
        mlflow.MlflowClient().log_param(run.run_id, "epochs", "20")
        ref = registry.log_model(run, model, patients.make(5))
    code, _, err = heart("compare", "5", ref.version, "--on", str(store / "new.csv"))
    assert code == 4
    assert f"version {ref.version} does not say which patients it learned from" in err


CHANGES: list[Any] = [
    pytest.param(lambda frame: frame.sample(frac=1, random_state=1), id="rows in another order"),
    pytest.param(lambda frame: frame[list(reversed(frame.columns))], id="columns in another order"),
    pytest.param(lambda frame: frame.assign(note="x", visit=range(len(frame))), id="more columns"),
    pytest.param(lambda frame: frame.drop(columns="num").assign(num=0), id="other labels"),
    pytest.param(lambda frame: frame.astype("float32"), id="32-bit numbers"),
    pytest.param(lambda frame: frame.map(lambda value: "" if pd.isna(value) else f" {value:.3e} "), id="as text"),
    pytest.param(lambda frame: frame.convert_dtypes(), id="nullable whole numbers"),
    pytest.param(lambda frame: frame.drop_duplicates().map(lambda v: -v if v == 0 else v), id="minus zero"),
]


@pytest.mark.parametrize("change", CHANGES)
def test_no_way_of_writing_a_file_hides_a_training_row(change: Frame) -> None:
    frame = sources.load().frame
    learned = frozenset(sources.patient_ids(frame))
    changed = sources.make_table(change(frame), "changed")
    with pytest.raises(DataError, match="0 rows that no model learned from"):
        comparison.unseen(changed, {"version 1": learned})


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_parquet_file_has_the_digest_and_the_patients_of_the_csv_file(dtype: Any, tmp_path: Path) -> None:
    table = sources.load()
    pd.read_csv(sources.BUNDLED).astype(dtype).to_parquet(tmp_path / "patients.parquet")
    parquet = sources.load(tmp_path / "patients.parquet")
    assert parquet.digest == table.digest
    assert parquet.row_ids == table.row_ids
    assert sources.patient_ids(parquet.frame) == sources.patient_ids(table.frame)


@pytest.mark.parametrize(("left", "sick"), [(29, 15), (40, 9), (40, 31)])
def test_too_few_unseen_rows_are_refused(left: int, sick: int) -> None:
    table = sources.make_table(patients.make(100), "file.csv")
    labels = schema.label(table.frame).to_numpy()
    rows = [*np.flatnonzero(labels)[:sick], *np.flatnonzero(labels == 0)[: left - sick]]
    ids = sources.patient_ids(table.frame)
    learned = frozenset(ids) - {ids[i] for i in rows}
    with pytest.raises(DataError, match=f"{left} rows that no model learned from, {min(sick, left - sick)} of the"):
        comparison.unseen(table, {"version 1": learned})


# The plain functions.


def out_of_fold(n: int = 40, repeats: int = 2, seed: int = 0) -> comparison.OutOfFold:
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 2 * 1.0
    return comparison.OutOfFold(tuple(f"p{i}" for i in range(n)), labels, rng.uniform(0.1, 0.9, (repeats, n)))


def test_pairs_are_made_by_patient_and_not_by_line() -> None:
    ours, theirs = out_of_fold(seed=1), out_of_fold(seed=2, repeats=3)
    back = comparison.OutOfFold(theirs.patients[::-1], theirs.labels[::-1], theirs.probabilities[:, ::-1])
    settings = {"widen": 1.2, "margin": 0.02, "seed": 0}
    assert comparison.paired(ours, back, **settings) == comparison.paired(ours, theirs, **settings)
    found, n = comparison.paired(ours, theirs, **settings)
    expected = evaluate.losses(ours.labels, ours.probabilities) - evaluate.losses(ours.labels, theirs.probabilities)
    assert n == 40
    assert found.difference.value == pytest.approx(expected.mean())


def test_only_common_patients_count() -> None:
    ours, theirs = out_of_fold(seed=1), out_of_fold(seed=2)
    part = comparison.OutOfFold(theirs.patients[10:], theirs.labels[10:], theirs.probabilities[:, 10:])
    found, n = comparison.paired(ours, part, widen=1, margin=0.02, seed=0)
    expected = evaluate.losses(ours.labels, ours.probabilities) - evaluate.losses(ours.labels, theirs.probabilities)
    assert n == 30
    assert found.difference.value == pytest.approx(expected[10:].mean())


@pytest.mark.parametrize("evaluation", [Evaluation(), Evaluation(folds=4, repeats=2), Evaluation(holdout=0.25)])
def test_the_widening_is_that_of_the_splits(evaluation: Evaluation) -> None:
    labels = np.arange(400) % 2 * 1.0
    recorded = {name: str(value) for name, value in evaluation.as_dict().items()}
    assert comparison.widening(recorded) == pytest.approx(evaluate.split(labels, evaluation, 0).widening)


def test_without_folds_there_is_no_widening() -> None:
    with pytest.raises(ValueError, match="expected folds and repeats, or holdout"):
        comparison.widening({})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "patient,label\na,1\n",
        "patient,label,probability_1\na,1,0.5\na,0,0.5\n",
        "patient,label,probability_1\na,1,7\n",
    ],
)
def test_a_file_that_holds_no_probabilities_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        comparison.read_out_of_fold(text)


def test_a_wide_table_becomes_several_with_the_same_first_column() -> None:
    table = [("run", *(f"column {i}" for i in range(9))), ("version 1", *map(str, range(9)))]
    parts = shown.blocks(table, 40)
    assert len(parts) > 1
    assert all(part.startswith("run ") and max(map(len, part.splitlines())) <= 40 for part in parts)
    assert " ".join(parts).count("column") == 9


def test_runs_become_rows() -> None:
    assert shown.transposed([("metric", "a", "b"), ("x", "1", "2"), ("y", "3", "4")]) == [
        ("run", "x", "y"),
        ("a", "1", "3"),
        ("b", "2", "4"),
    ]
