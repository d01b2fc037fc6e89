"""`heart reproduce`: the same model comes out again, or it says what differs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest

from heart_disease import registry
from heart_disease.data import sources
from heart_disease.evaluation.settings import Evaluation, Promotion
from heart_disease.evaluation.versions import reproduction
from heart_disease.processes import memory
from heart_disease.training.recipe import Recipe
from tests.harness.command import one_line, speaking
from tests.harness.data import patients
from tests.harness.models.trainings import checked_here, undrawn

pytestmark = pytest.mark.slow

QUICK = Evaluation(folds=2, repeats=1)


@pytest.fixture(scope="module")
def store(prefect: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A store. Version 1 is champion; 2 amplifies the last bit; 4 learned from a file.

    Version 3 has a holdout and a threshold of its own.
    """
    from flows.train import train

    folder = tmp_path_factory.mktemp("reproduce")
    patients.make(100, seed=5).to_csv(folder / "patients.csv", index=False)
    with pytest.MonkeyPatch.context() as patch, checked_here(), undrawn():
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'mlflow.db'}")
        assert train(evaluation=QUICK, promotion=Promotion(margin=0.5)).decision.promote
        train(recipe=Recipe(epochs=300, learning_rate=0.01, weight_decay=0), evaluation=QUICK)
        train(recipe=Recipe(members=2, epochs=20), evaluation=Evaluation(holdout=0.2, sensitivity=0.8))
        train(source=str(folder / "patients.csv"), recipe=Recipe(epochs=20, members=3, seed=7), evaluation=QUICK)
        yield folder


@pytest.fixture
def heart(store: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run the command on the store: its exit code, its output and its errors, each on one line."""
    call = speaking(capsys)

    def unwrapped(*arguments: str) -> tuple[int, str, str]:
        code, out, err = call(*arguments)
        return code, one_line(out), err

    return unwrapped


def run_id(version: str) -> str:
    return str(mlflow.MlflowClient().get_model_version(registry.MODEL, version).run_id)


@pytest.mark.parametrize(("version", "rows"), [("1", 303), ("2", 303), ("3", 303), ("4", 100)])
def test_the_same_model_comes_out(version: str, rows: int, heart: Any) -> None:
    code, out, _ = heart("reproduce", version)
    assert code == 0
    assert f"reproduced: {rows} probabilities agree, largest gap 0" in out
    assert "other" not in out


def test_an_alias_is_a_version(heart: Any) -> None:
    code, out, _ = heart("reproduce", "champion")
    assert code == 0
    assert out.startswith("heart-disease version ")


def test_the_order_and_the_form_of_the_file_do_not_matter(heart: Any, store: Path) -> None:
    frame = pd.read_csv(store / "patients.csv").sample(frac=1, random_state=2)
    frame.astype("float32").to_parquet(store / "shuffled.parquet")
    code, out, _ = heart("reproduce", "4", "--source", str(store / "shuffled.parquet"))
    assert code == 0
    assert "reproduced: 100 probabilities agree" in out


def test_other_data_is_reported_and_ends_in_6(heart: Any, store: Path) -> None:
    frame = pd.read_csv(store / "patients.csv")
    frame.loc[0, "age"] += 9
    frame.to_csv(store / "changed.csv", index=False)
    code, out, _ = heart("reproduce", "4", "--source", str(store / "changed.csv"))
    assert code == 6
    assert "not reproduced: " in out
    assert f"other data: digest {sources.load(store / 'patients.csv').digest[:8]} -> " in out


def test_other_data_that_validation_refuses_ends_in_3(heart: Any, store: Path) -> None:
    patients.make(100, chol=9999).to_csv(store / "bad.csv", index=False)
    code, _, err = heart("reproduce", "4", "--source", str(store / "bad.csv"))
    assert code == 3
    assert "was rejected; nothing was trained. error: column 'chol' has 9999" in err


def test_another_model_is_not_reproduced(heart: Any) -> None:
    client = mlflow.MlflowClient()
    other = client.get_model_version(registry.MODEL, "3")
    false = client.create_model_version(registry.MODEL, other.source, run_id("1"), tags=other.tags)
    code, out, _ = heart("reproduce", str(false.version))
    assert code == 6
    assert "not reproduced: 303 of 303 probabilities differ by more than 1e-06, largest gap 0." in out
    assert "with the same data, recipe, code, versions and device" in out


def test_a_threshold_that_is_not_reproduced_is_named(heart: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    load = registry.load_model
    monkeypatch.setattr(registry, "load_model", lambda ref: replace(load(ref), threshold=0.25))
    code, out, _ = heart("reproduce", "4")
    assert code == 6
    assert "not reproduced: 100 probabilities agree" in out
    assert "other threshold: 0.250000 -> 0.500000" in out


@pytest.mark.parametrize("command", [("reproduce", "4"), ("explain", "4")])
def test_what_does_not_fit_into_memory_is_refused_before_anything_is_trained(
    command: tuple[str, ...], heart: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "room", lambda: 2**20)
    code, _, err = heart(*command)
    assert code == 2
    assert "GiB are there. Nothing was trained. Use a machine that has more." in err


def test_other_code_versions_and_device_are_named_even_if_the_model_agrees(heart: Any) -> None:
    client, run = mlflow.MlflowClient(), run_id("3")
    before = client.get_run(run).data.tags
    changed = {"library.numpy": "1.0", "code_digest": "0123456789", "device": "gpu (of that day)"}
    for name, value in changed.items():
        client.set_tag(run, name, value)
    try:
        code, out, _ = heart("reproduce", "3")
    finally:
        for name in changed:
            client.set_tag(run, name, before[name])
    assert code == 0
    assert "other code: digest 01234567 -> " in out
    assert "other versions: numpy 1.0 -> " in out
    assert "other device: gpu (of that day) -> cpu" in out


def test_the_bundled_patients_are_found_wherever_the_project_is(heart: Any) -> None:
    client, run = mlflow.MlflowClient(), run_id("3")
    before = client.get_run(run).data.tags["source"]
    client.set_tag(run, "source", "/nowhere/data/cleveland.csv")
    try:
        assert heart("reproduce", "3")[0] == 0
    finally:
        client.set_tag(run, "source", before)


def test_data_that_is_gone_ends_in_4_and_names_the_option(heart: Any, store: Path) -> None:
    path = store / "patients.csv"
    path.rename(store / "elsewhere.csv")
    try:
        code, _, err = heart("reproduce", "4")
        assert code == 4
        assert "no file" in err
        assert "name their file: heart reproduce 4 --source FILE" in err
        assert heart("reproduce", "4", "--source", str(store / "elsewhere.csv"))[0] == 0
    finally:
        (store / "elsewhere.csv").rename(path)


def test_a_champion_that_is_gone_is_named(heart: Any) -> None:
    client, run = mlflow.MlflowClient(), run_id("3")
    before = client.get_run(run).data.tags["compared_with"]
    client.set_tag(run, "compared_with", "version 99")
    try:
        _, out, _ = heart("reproduce", "3")
    finally:
        client.set_tag(run, "compared_with", before)
    assert "version 99, trained beside it in the same run, is gone" in out


def test_another_version_that_has_the_champions_number_is_not_the_rival(heart: Any) -> None:
    client, run = mlflow.MlflowClient(), run_id("3")
    before = client.get_run(run).data.tags["compared_with_run"]
    client.set_tag(run, "compared_with_run", "0" * 32)
    try:
        _, out, _ = heart("reproduce", "3")
    finally:
        client.set_tag(run, "compared_with_run", before)
    assert "version 1, trained beside it in the same run, is gone" in out


@pytest.mark.parametrize(("word", "message"), [("99", "no version 99"), ("nobody", "no run 'nobody'")])
def test_a_missing_version_ends_in_4(word: str, message: str, heart: Any) -> None:
    code, _, err = heart("reproduce", word)
    assert (code, message in err) == (4, True)


def test_a_run_without_a_version_ends_in_2(heart: Any) -> None:
    with registry.open_run("no version", {}):
        pass
    code, _, err = heart("reproduce", "no version")
    assert code == 2
    assert "made no version" in err


@pytest.mark.parametrize(
    ("gap", "words"),
    [(0.0, "3 probabilities agree, largest gap 0"), (9e-7, "3 probabilities agree, largest gap 9e-07"),
     (0.01, "1 of 3 probabilities differ by more than 1e-06, largest gap 0.01"),
     (np.nan, "1 of 3 probabilities differ by more than 1e-06, largest gap nan")],
)  # fmt: skip
def test_agreement_in_words(gap: float, words: str) -> None:
    theirs = np.array([0.25, 0.5, 0.75])
    assert str(reproduction.agreement(theirs + np.array([0, gap, 0]), theirs)) == words


# --- heart explain, on the same store


def test_explain_says_what_a_new_recipe_did(heart: Any) -> None:
    code, out, _ = heart("explain", "2")
    assert code == 0
    assert out.startswith("version 2 against version 1, the champion that it was compared with")
    assert "recipe: epochs 75 -> 300, learning_rate 0.001 -> 0.01, weight_decay 1.0 -> 0.0" in out
    effect = float(out.split("the new recipe ")[1].split()[0])
    assert effect > 0.1
    assert "judged on 303 patients of version 2" in out


def test_explain_tells_new_data_and_a_new_recipe_apart(heart: Any) -> None:
    code, out, _ = heart("explain", "4")
    assert code == 0
    assert "data: 303 -> 100 patients: 100 new, 303 gone" in out
    for change in (
        "the new recipe on the old data",
        "the new data with the old recipe",
        "both",
        "both, beyond the sum",
    ):
        assert f"{change} " in out


def test_programs_get_what_each_change_did_as_json(heart: Any) -> None:
    code, out, _ = heart("explain", "2", "--json")
    found = json.loads(out)
    assert code == 0
    assert found["changed"]["recipe"] == "epochs 75 -> 300, learning_rate 0.001 -> 0.01, weight_decay 1.0 -> 0.0"
    assert found["answers"] is None  # the target sensitivity is the same
    assert found["unknown"] == []
    [effect] = found["effects"]
    assert effect["change"] == "the new recipe"
    assert effect["difference"]["low"] < effect["difference"]["value"] < effect["difference"]["high"]


def test_explain_says_what_another_target_sensitivity_does(heart: Any) -> None:
    _, out, _ = heart("explain", "3")
    threshold = registry.load_model(registry.by_version("3")).threshold
    assert f"target sensitivity none -> 80 %: version 3 answers yes from a probability of {threshold:.3f} on; " in out
    assert "that would be 0.500. The threshold of version 1 is 0.500. Out of 100 patients with disease, version" in out
    found = json.loads(heart("explain", "3", "--json")[1])["answers"]
    assert found["after"]["value"] == pytest.approx(threshold, abs=1e-6)
    assert found["after"]["sensitivity"]["value"] >= 0.8


def test_explain_says_what_it_cannot_know_without_the_old_patients(heart: Any, store: Path) -> None:
    why = "What the new data accounts for cannot be said: the patients of version 1 are not kept"
    code, out, _ = heart("explain", "4", "--before", str(store / "patients.csv"))
    assert code == 0
    assert why in out
    assert "the new recipe " in out
    [unknown] = json.loads(heart("explain", "4", "--before", str(store / "patients.csv"), "--json")[1])["unknown"]
    assert unknown.startswith(why)


def test_explain_says_what_code_and_libraries_did(heart: Any) -> None:
    client = mlflow.MlflowClient()
    before = client.get_run(run_id("1")).data.tags["library.keras"]
    client.set_tag(run_id("1"), "library.keras", "0.1")
    try:
        code, out, _ = heart("explain", "2")
    finally:
        client.set_tag(run_id("1"), "library.keras", before)
    assert code == 0
    assert f"versions: keras 0.1 -> {before}" in out
    assert "version 1 trained again today, minus what it recorded: +0.000 [" in out.replace("-0.000", "+0.000")


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (
            ("1",),
            4,
            "version 1 was compared with no champion, so nothing changed against one; expected a run that was. What",
        ),
        (("2", "--source", "nowhere.csv"), 3, "nowhere.csv"),
        (("9",), 4, "no version 9"),
    ],
)
def test_explain_needs_a_run_a_champion_and_patients(
    words: tuple[str, ...], code: int, message: str, heart: Any
) -> None:
    found, _, err = heart("explain", *words)
    assert (found, message in err) == (code, True), err
