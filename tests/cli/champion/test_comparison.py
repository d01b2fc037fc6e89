"""`heart compare`: finding runs by name, tables side by side, paired differences, and patients new to both models."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest

from heart_disease import registry
from heart_disease.data import sources
from heart_disease.evaluation import estimates
from heart_disease.model import schema
from heart_disease.model.encoding import Encoder
from heart_disease.model.patient_model import PatientModel
from heart_disease.training import network
from heart_disease.training.recipe import Recipe
from tests.harness.data import patients

pytestmark = pytest.mark.slow

Frame = Callable[[pd.DataFrame], pd.DataFrame]


def run_of(version: str) -> mlflow.entities.Run:
    client = mlflow.MlflowClient()
    return client.get_run(client.get_model_version(registry.MODEL, version).run_id)


def table_below(out: str, first: str) -> dict[str, list[str]]:
    """The cells of the table whose header starts with `first`, keyed by the first cell of each line."""
    lines = out.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(f"{first} "))
    body = lines[start + 2 : lines.index("", start)]
    return {cells[0]: cells[1:] for cells in (line.split("  ") for line in body)}


def test_without_names_it_compares_champion_and_challenger(heart: Any) -> None:
    code, out, _ = heart("compare")
    assert code == 0
    assert out.startswith("version 1 (champion, run ")
    assert "\nversion 2 (challenger, run " in out


def test_programs_get_the_comparison_as_json(heart: Any) -> None:
    code, out, _ = heart("compare", "1", "2", "--json")
    found = json.loads(out)
    assert code == 0
    assert [run["version"] for run in found["runs"]] == ["1", "2"]
    [pair] = found["differences"]
    assert (pair["of"], pair["minus"], pair["patients"]) == ("version 2", "version 1", 303)
    assert pair["log_loss"]["difference"]["low"] < pair["log_loss"]["difference"]["value"]


def test_only_differences_between_the_recipes_are_shown(heart: Any) -> None:
    _, out, _ = heart("compare", "1", "2")
    assert set(table_below(out, "recipe")) == {"epochs", "weight_decay"}
    assert "epochs        75         300" in out


def test_equal_recipes_are_reported_as_equal(heart: Any, store: Path) -> None:
    with registry.open_run("a twin", {}) as run:
        for name, value in run_of("1").data.params.items():
            mlflow.MlflowClient().log_param(run.run_id, name, value)
    code, out, _ = heart("compare", "1", "a twin")
    assert code == 0
    assert "recipe, evaluation and data are equal" in out


def test_the_difference_is_the_one_the_training_found(heart: Any) -> None:
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


def test_a_holdout_is_compared_on_the_patients_both_have(heart: Any) -> None:
    _, out, _ = heart("compare", "1", "4")
    assert "compared on the 61 patients that both have" in out
    assert "holdout 0.2, not none" in " ".join(out.split())


def test_other_data_without_a_common_patient_is_not_compared(heart: Any) -> None:
    code, out, _ = heart("compare", "1", "5")
    assert code == 0
    assert "version 5  not available" in out
    assert "no patient in common" in out


@pytest.fixture(scope="module")
def child(store: Path) -> registry.Run:
    """A run named "a sweep's child": a recipe and a metric, but neither probabilities nor a version."""
    with registry.open_run("a sweep's child", {}) as run:
        client = mlflow.MlflowClient()
        for name, value in Recipe(epochs=40).as_text().items():
            client.log_param(run.run_id, name, value)
        client.log_metric(run.run_id, "log_loss", 0.4321)
    return run


def test_a_run_without_probabilities_still_shows_its_metrics(heart: Any, child: registry.Run) -> None:
    code, out, _ = heart("compare", "1", child.run_id)
    assert code == 0
    assert "0.432" in out
    assert f"run {child.run_id[:8]}  not available" in out
    assert "no out-of-fold probabilities: the run has no evaluation/out_of_fold.csv" in " ".join(out.split())


@pytest.mark.parametrize("versions", [("1", "2"), ("1", "2", "3"), ("1", "2", "3", "4", "5", "6")])
def test_any_number_of_runs_fits_80_columns(versions: tuple[str, ...], heart: Any) -> None:
    code, out, _ = heart("compare", *versions)
    assert code == 0
    assert max(map(len, out.splitlines())) <= 80
    for version in versions:
        assert f"version {version}" in out


# Names of runs.


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
        (("1", "20 epochs, 29-16-1, decay 1, adam 0.001, relu"), 2, "may be 2 runs"),
        (("1", "champion"), 2, "'1' and 'champion' are both version 1; expected different runs"),
    ],
)
def test_words_that_do_not_name_two_runs(words: tuple[str, str], code: int, message: str, heart: Any) -> None:
    found, _, err = heart("compare", *words)
    assert (found, message in err) == (code, True), err


def test_a_prefix_of_several_run_ids_is_ambiguous(heart: Any, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_on_a_file_patients_that_either_learned_from_are_left_out(heart: Any, store: Path) -> None:
    frames = [pd.read_csv(store / f"{name}.csv") for name in ("ours", "theirs", "new")]
    pd.concat([frames[0].head(30), frames[2], frames[1].head(20)]).to_csv(store / "mixed.csv", index=False)
    code, mixed, _ = heart("compare", "5", "6", "--on", str(store / "mixed.csv"))
    assert code == 0
    assert "100 rows used, 50 left out as training rows (30 of version 5, 20 of version 6)" in " ".join(mixed.split())
    _, alone, _ = heart("compare", "5", "6", "--on", str(store / "new.csv"))
    assert "100 rows used, 0 left out" in " ".join(alone.split())
    assert mixed.split("metric ")[1] == alone.split("metric ")[1]


def test_on_a_file_patients_with_codes_that_a_model_never_saw_are_left_out(heart: Any, store: Path) -> None:
    frame = pd.read_csv(store / "new.csv")
    frame.loc[:2, "cp"] = 0
    frame.to_csv(store / "rare.csv", index=False)
    code, out, _ = heart("compare", "5", "6", "--on", str(store / "rare.csv"))
    assert code == 0
    assert "97 rows used, 0 left out as training rows" in " ".join(out.split())
    assert ", 3 because of codes that a model never saw" in " ".join(out.split())
    assert "nan" not in out


def test_on_a_file_the_difference_is_that_of_the_models_themselves(heart: Any, store: Path) -> None:
    _, out, _ = heart("compare", "5", "6", "--on", str(store / "new.csv"))
    frame = sources.load(store / "new.csv").frame
    losses = [
        estimates.losses(schema.label(frame).to_numpy(), registry.load_model(registry.find_record(v).ref)
                        .predict(frame[list(schema.INPUT_NAMES)])["probability"].to_numpy()[None])
        for v in ("5", "6")
    ]  # fmt: skip
    line = next(line for line in out.splitlines() if line.startswith("version 6  "))
    assert f"{(losses[1] - losses[0]).mean():+.3f} [" in line


def test_on_a_file_each_version_is_judged_by_its_own_answers(
    heart: Any, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = registry.load_model
    monkeypatch.setattr(registry, "load_model", lambda ref: replace(load(ref), threshold=int(ref.version) / 20))
    code, out, _ = heart("compare", "5", "6", "--on", str(store / "new.csv"), "--json")
    assert code == 0
    found, frame = json.loads(out), sources.load(store / "new.csv").frame
    assert found["thresholds"] == {"version 5": 0.25, "version 6": 0.3}
    for name, version in (("version 5", "5"), ("version 6", "6")):
        model = registry.load_model(registry.find_record(version).ref)
        answers, sick = model.predict(frame)["disease"] == "yes", frame["num"] > 0
        assert found["metrics"][name]["sensitivity"] == pytest.approx(answers[sick].mean())
    assert "version 5 says yes from 0.250 on, version 6 says yes from 0.300 on" in found["notes"][1]


def test_a_held_out_part_is_unseen_by_its_own_model_only(heart: Any) -> None:
    code, _, err = heart("compare", "4", "1", "--on", str(sources.BUNDLED))
    assert code == 3
    assert "0 rows that no model learned from" in err
    assert "242 of version 4, 303 of version 1" in err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("5", "6", "1"), 2, "--on compares two models; got 3. Name two of them, or leave --on out"),
        (("5", "a sweep's child"), 2, "made no version of 'heart-disease'; expected a registered version"),
    ],
)
def test_on_a_file_takes_two_versions(
    arguments: tuple[str, ...], code: int, message: str, heart: Any, store: Path, child: registry.Run
) -> None:
    found, _, err = heart("compare", *arguments, "--on", str(store / "new.csv"))
    assert (found, message in err) == (code, True), err


def test_a_file_that_validation_refuses_is_not_used(heart: Any, store: Path) -> None:
    patients.make(120, chol=9999).to_csv(store / "bad.csv", index=False)
    code, _, err = heart("compare", "5", "6", "--on", str(store / "bad.csv"))
    assert code == 3
    assert "was rejected; nothing was compared. error: column 'chol' has 9999" in err


def test_a_version_that_does_not_record_what_it_learned_from_is_refused(heart: Any, store: Path) -> None:
    model = PatientModel(Encoder.fit(patients.make(50)), network.build(Recipe(), 29))
    with registry.open_run("says nothing", {}) as run:
        mlflow.MlflowClient().log_param(run.run_id, "epochs", "20")
        ref = registry.log_model(run, model, patients.make(5))
    code, _, err = heart("compare", "5", ref.version, "--on", str(store / "new.csv"))
    assert code == 4
    assert f"version {ref.version} does not say which patients it learned from" in err


def test_a_page_has_the_difference_of_the_terminal_the_curves_and_the_groups(heart: Any, tmp_path: Path) -> None:
    code, out, _ = heart("compare", "1", "2", "-o", str(tmp_path / "page.html"))
    assert code == 0
    assert out.rstrip().endswith("page.html")
    page = (tmp_path / "page.html").read_text()
    line = next(line for line in out.splitlines() if line.startswith("version 2  "))
    assert f"worse than version 1: difference in log loss {' '.join(line.split()[2:5])}" in page
    assert page.count("<img") == 5
    assert '<th scope="row">asymptomatic</th>' in page
    assert "<p>Each has the threshold at which it finds 90 % of the patients with disease.</p>" in page


def test_the_thresholds_on_a_page_are_those_that_the_runs_were_made_for(
    heart: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find, shares = registry.find_record, {"version 1": "0.8", "version 2": "0.95"}

    def made_for(word: str) -> registry.Record:
        found = find(word)
        return replace(found, params={**found.params, "sensitivity": shares[found.label]})

    monkeypatch.setattr(registry, "find_record", made_for)
    code, _, _ = heart("compare", "1", "2", "-o", str(tmp_path / "page.html"))
    assert code == 0
    page = (tmp_path / "page.html").read_text()
    assert "version 1 was made to find 80 % of the patients with disease, and version 2 95 %." in page
    assert "not at the threshold of" not in page  # which is said of the terminal's table


def test_a_page_about_two_models_is_about_the_patients_of_the_file(heart: Any, store: Path, tmp_path: Path) -> None:
    code, _, _ = heart("compare", "5", "6", "--on", str(store / "new.csv"), "-o", str(tmp_path / "page.html"))
    assert code == 0
    assert "on 100 patients" in (tmp_path / "page.html").read_text()


def test_a_page_is_about_two_runs(heart: Any, tmp_path: Path) -> None:
    for words, code, message in [
        (("1", "2", "3"), 2, "about two runs; got 3. Name two of them, or leave --output out"),
        (("1", "5"), 4, "no patient in common; expected runs that were tested on the same patients. Without --output"),
    ]:
        found, _, err = heart("compare", *words, "-o", str(tmp_path / "page.html"))
        assert (found, message in err) == (code, True), err
    assert not (tmp_path / "page.html").exists()
