"""What drives one patient's probability, beside the definition spelled out, and beside the package shap."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from math import factorial

import numpy as np
import pytest

from heart_disease.model import drivers, schema
from heart_disease.model.encoding import INPUT_COLUMNS, Encoder
from heart_disease.model.keras_file import Dense, StoredNetwork
from heart_disease.model.patient_model import PatientModel
from tests.harness.data import patients

TABLE = patients.make(100)
CELLS = TABLE[list(schema.INPUT_NAMES)].to_numpy()
EVERYONE = np.arange(len(TABLE))


def model(used: list[str]) -> PatientModel:
    """A network of random weights that depends on the columns `used` alone."""
    rng = np.random.default_rng(4)
    columns = [schema.INPUT_NAMES.index(name) for name in used]
    kernel = rng.standard_normal((29, 6)) * np.isin(INPUT_COLUMNS, columns)[:, None]
    hidden = Dense(kernel.astype(np.float32), rng.standard_normal(6).astype(np.float32), "tanh")
    last = Dense(rng.standard_normal((6, 1)).astype(np.float32), np.zeros(1, np.float32), "sigmoid")
    known = drivers.references(TABLE, EVERYONE)
    return PatientModel(Encoder.fit(TABLE), StoredNetwork(((hidden, last),)), references=known)


def in_every_order(of: PatientModel, cells: np.ndarray, used: list[str]) -> dict[str, float]:
    """Shapley's definition: what each column adds when it becomes known, averaged over all orders of `used`."""
    added = dict.fromkeys(used, 0.0)
    for order in permutations(used):
        mixed = of.references.copy()
        before = of.score(mixed).probability.mean()
        for name in order:
            k = schema.INPUT_NAMES.index(name)
            mixed[:, k] = cells[k]
            after = of.score(mixed).probability.mean()
            added[name] += (after - before) / factorial(len(used))
            before = after
    return added


def test_they_are_the_mean_gain_over_all_orders_and_0_for_columns_without_influence() -> None:
    used = ["age", "cp", "oldpeak", "ca", "thal"]
    one = model(used)
    found = one.drivers(CELLS[3])
    assert found
    plainly = in_every_order(one, CELLS[3], used)
    expected = [plainly.get(name, 0.0) for name in schema.INPUT_NAMES]
    assert found.each == pytest.approx(dict(zip(schema.INPUT_NAMES, expected, strict=True)), abs=1e-6)
    assert max(found.each.values()) > 0.01


@pytest.mark.parametrize("row", [0, 41])
def test_the_average_and_all_columns_add_up_to_the_probability(row: int) -> None:
    one = model(list(schema.INPUT_NAMES))
    found = one.drivers(CELLS[row])
    assert found
    assert found.average == pytest.approx(one.score(one.references).probability.mean(), abs=1e-6)
    assert found.average + sum(found.each.values()) == pytest.approx(one.score(CELLS[[row]]).probability[0], abs=1e-6)


@pytest.mark.slow  # importing shap compiles for many seconds
def test_they_are_those_of_the_package_shap() -> None:
    import shap

    one = model(list(schema.INPUT_NAMES))

    def answers(cells: np.ndarray) -> np.ndarray:
        return one.score(cells).probability

    explainer = shap.explainers.ExactExplainer(answers, shap.maskers.Independent(one.references))
    expected = explainer(CELLS[[7]])
    found = one.drivers(CELLS[7])
    assert found
    np.testing.assert_allclose(list(found.each.values()), expected.values[0], atol=1e-6)
    assert found.average == pytest.approx(float(expected.base_values[0]), abs=1e-6)


def test_nothing_drives_a_patient_who_is_like_the_only_reference() -> None:
    one = replace(model(list(schema.INPUT_NAMES)), references=CELLS[[5]])
    found = one.drivers(CELLS[5])
    assert found
    assert set(found.each.values()) == {0.0}


def test_columns_that_the_model_leaves_out_are_not_named_and_may_hold_anything() -> None:
    one = model(["age", "oldpeak"])
    encoder = one.encoder.leaving_out(["chol", "thal"])
    dropped = np.isin(one.encoder.input_columns, [schema.INPUT_NAMES.index(name) for name in ("chol", "thal")])
    hidden, last = one.network.members[0]
    fewer = replace(hidden, kernel=hidden.kernel[~dropped])
    other = replace(one, encoder=encoder, network=StoredNetwork(((fewer, last),)))
    cells = CELLS[3].copy()
    cells[schema.INPUT_NAMES.index("chol")] = np.nan
    found, whole = other.drivers(cells), one.drivers(CELLS[3])
    assert found
    assert whole
    assert found.each == pytest.approx({k: by for k, by in whole.each.items() if k not in ("chol", "thal")}, abs=1e-6)


def test_a_blank_is_a_value_like_others() -> None:
    blank, normal = CELLS[3].copy(), CELLS[3].copy()
    blank[-1], normal[-1] = np.nan, 3
    one = model(["thal"])
    first, second = one.drivers(blank), one.drivers(normal)
    assert first
    assert second
    assert first.each["thal"] != second.each["thal"]


def test_references_have_each_columns_values_but_are_no_patients() -> None:
    found = drivers.references(TABLE, EVERYONE)
    assert found.shape == (drivers.REFERENCES, 13)
    assert {tuple(row) for row in found}.isdisjoint(map(tuple, CELLS))
    for k, column in enumerate(schema.COLUMNS):
        assert set(found[:, k][~np.isnan(found[:, k])]) <= set(CELLS[:, k])
        if not column.optional:
            assert abs(found[:, k].mean() - CELLS[:, k].mean()) < 0.1 * CELLS[:, k].std()


def test_references_come_from_the_training_rows_alone() -> None:
    young = np.flatnonzero(CELLS[:, 0] < np.median(CELLS[:, 0]))
    assert drivers.references(TABLE, young)[:, 0].max() < np.median(CELLS[:, 0])


def test_evenly_takes_one_from_the_middle_of_each_part() -> None:
    assert drivers.evenly(10, 5).tolist() == [1, 3, 5, 7, 9]
    assert drivers.evenly(3, 5).tolist() == [0, 0, 1, 2, 2]


def test_without_references_nothing_is_said() -> None:
    one = model(["age"])
    assert PatientModel(one.encoder, one.network).drivers(CELLS[0]) is None
