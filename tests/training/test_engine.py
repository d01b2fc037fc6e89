"""Training K networks at once equals Keras `fit` on each of them, and nothing else decides the result."""

from __future__ import annotations

import os
import signal
from dataclasses import replace

import numpy as np
import pytest

from heart_disease.model.errors import UnavailableError
from heart_disease.training.batches import Job, together
from heart_disease.training.engine import CURVES, Networks, train
from heart_disease.training.inputs import Inputs
from heart_disease.training.network import build, build_optimizer
from heart_disease.training.recipe import Recipe

N, D, F = 120, 29, 3
RNG = np.random.default_rng(1)
INPUTS = Inputs(
    RNG.normal(size=(N, D)).astype(np.float32),
    RNG.normal(scale=0.1, size=(F, D)).astype(np.float32),
    RNG.uniform(0.8, 1.2, size=(F, D)).astype(np.float32),
)
LABELS = (INPUTS.rows[:, 0] + RNG.normal(size=N) > 0).astype(np.float64)
# float32 arithmetic in another order differs by 1e-7 per step, and a little more after some tens of steps.
TOLERANCE = 2e-5


def make_jobs(recipe: Recipe, count: int) -> list[Job]:
    """Jobs with training parts of different sizes, on different matrices, with different seeds."""
    jobs = []
    for k in range(count):
        rows = np.random.default_rng(k).permutation(N)
        cut = 70 + 17 * k % 40
        jobs.append(Job(replace(recipe, seed=k), rows[:cut], np.sort(rows[cut:]), matrix=k % F))
    return jobs


def shuffles(job: Job) -> np.random.Generator:
    """The random stream from which the plain reference draws the order of rows."""
    return np.random.default_rng(np.random.SeedSequence(job.recipe.seed).spawn(2)[0])


def fit_with_keras(job: Job) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The slow plain reference: the course's network, `compile` and `fit`, epoch by epoch on the same batches."""
    recipe = job.recipe
    inputs = INPUTS.leaving_out(recipe.without)
    model = build(recipe, inputs.width)
    model.compile(build_optimizer(recipe), "binary_crossentropy", metrics=["accuracy"], jit_compile=False)
    x, rng, history = inputs[job.matrix], shuffles(job), []
    batch = len(job.rows) if recipe.optimizer == "gd" else recipe.batch_size
    for _ in range(recipe.epochs):
        order = rng.permutation(job.rows)
        result = model.fit(
            x[order], LABELS[order], batch_size=batch, shuffle=False, verbose=0,
            validation_data=(x[job.watch], LABELS[job.watch]), validation_batch_size=N,
        )  # fmt: skip
        history.append([result.history[name][0] for name in ("loss", "accuracy", "val_loss", "val_accuracy")])
    weights = np.concatenate([weight.ravel() for weight in model.get_weights()])
    return weights, dict(zip(CURVES, np.array(history).T, strict=True))


@pytest.mark.parametrize(
    "recipe",
    [
        pytest.param(Recipe(epochs=6, weight_decay=0.0), id="adam, the lecture's recipe"),
        pytest.param(Recipe(epochs=6), id="adam with weight decay", marks=pytest.mark.slow),
        pytest.param(
            Recipe(epochs=6, optimizer="sgd", momentum=0.9, learning_rate=0.05, weight_decay=0.1),
            id="sgd with momentum and weight decay",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            Recipe(epochs=8, optimizer="gd", learning_rate=0.1, weight_decay=0.0),
            id="gradient descent",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            Recipe(epochs=5, hidden=(8, 5), activation="tanh", batch_size=16),
            id="two hidden layers, tanh",
            marks=pytest.mark.slow,
        ),
        pytest.param(Recipe(epochs=5, hidden=(), batch_size=7), id="no hidden layer", marks=pytest.mark.slow),
        pytest.param(Recipe(epochs=5, without=("slope", "ca")), id="without some columns", marks=pytest.mark.slow),
    ],
)
def test_equals_keras_fit_on_each_network(recipe: Recipe) -> None:
    jobs = make_jobs(recipe, 3)
    networks = train(INPUTS, LABELS, jobs)
    for k, job in enumerate(jobs):
        weights, curves = fit_with_keras(job)
        np.testing.assert_allclose(networks.weights[k][0], weights, atol=TOLERANCE)
        for name in CURVES:
            np.testing.assert_allclose(networks.curves[name][k], curves[name], atol=TOLERANCE, err_msg=name)


@pytest.mark.slow
def test_networks_of_one_batch_may_differ_in_rate_decay_dropout_batch_size_and_epochs() -> None:
    recipes = [
        Recipe(epochs=4),
        Recipe(epochs=7, learning_rate=3e-3),
        Recipe(epochs=5, weight_decay=0.0, batch_size=11),
        Recipe(epochs=3, dropout=0.5),
    ]
    jobs = [replace(job, recipe=recipe) for job, recipe in zip(make_jobs(Recipe(), 4), recipes, strict=True)]
    together = train(INPUTS, LABELS, jobs)
    for k, job in enumerate(jobs):
        assert_same(together, k, train(INPUTS, LABELS, [job]))
        assert np.isfinite(together.curves["loss/train"][k]).sum() == job.recipe.epochs
    weights, _ = fit_with_keras(jobs[2])
    np.testing.assert_allclose(together.weights[2][0], weights, atol=TOLERANCE)


def assert_same(networks: Networks, k: int, alone: Networks) -> None:
    """Check that network `k` of a batch equals a batch of one; sums over padded rows may round differently."""
    np.testing.assert_allclose(networks.weights[k], alone.weights[0], atol=1e-6)
    epochs = alone.jobs[0].recipe.epochs
    for name in CURVES:
        np.testing.assert_allclose(networks.curves[name][k, :epochs], alone.curves[name][0], atol=1e-6)


@pytest.fixture(scope="module")
def whole() -> Networks:
    """Networks that several tests compare with others; each has another seed."""
    return train(INPUTS, LABELS, make_jobs(Recipe(epochs=5, dropout=0.2), 9))


@pytest.mark.slow
def test_the_result_does_not_depend_on_k_or_on_the_order_of_jobs(whole: Networks) -> None:
    reversed_networks = train(INPUTS, LABELS, whole.jobs[::-1])
    for weights, same in zip(whole.weights, reversed_networks.weights[::-1], strict=True):
        np.testing.assert_allclose(weights, same, atol=1e-6)
    assert_same(whole, 4, train(INPUTS, LABELS, [whole.jobs[4]]))


def test_repeating_a_training_gives_the_same_to_the_last_bit(whole: Networks) -> None:
    np.testing.assert_array_equal(whole.weights, train(INPUTS, LABELS, whole.jobs).weights)


def test_picked_networks_have_curves_up_to_their_own_last_epoch() -> None:
    short, long = (Job(Recipe(epochs=epochs), np.arange(4), np.arange(0)) for epochs in (2, 5))
    curves = np.array([[0.7, 0.6, *[np.nan] * 3], [0.7, 0.6, 0.5, 0.4, 0.3]], np.float32)
    both = Networks((short, long), (np.zeros((1, 1), np.float32),) * 2, {CURVES[0]: curves}, "cpu")
    np.testing.assert_array_equal(both.pick(lambda job: job is short).curves[CURVES[0]], curves[:1, :2])
    np.testing.assert_array_equal(both.pick(lambda job: job is long).curves[CURVES[0]], curves[1:])


def test_the_seed_decides() -> None:
    job = make_jobs(Recipe(epochs=2), 1)[0]
    other = replace(job, recipe=replace(job.recipe, seed=99))
    weights = train(INPUTS, LABELS, [job, other]).weights
    assert np.abs(weights[0] - weights[1]).max() > 0.01


def test_segments_change_nothing(whole: Networks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("heart_disease.training.batches.SEGMENT_STEPS", 7)
    calls: list[tuple[int, int]] = []
    pieces = train(INPUTS, LABELS, whole.jobs, progress=lambda done, total: calls.append((done, total)))
    np.testing.assert_array_equal(whole.weights, pieces.weights)
    for name in CURVES:
        np.testing.assert_array_equal(whole.curves[name], pieces.curves[name])
    assert len(calls) > 3
    assert calls[-1][0] == calls[-1][1]
    assert [done for done, _ in calls] == sorted({done for done, _ in calls})


def test_watched_rows_are_never_learned_from(whole: Networks) -> None:
    job = whole.jobs[0]
    changed_inputs, changed_labels = replace(INPUTS, rows=INPUTS.rows.copy()), LABELS.copy()
    changed_inputs.rows[job.watch] = 7.0
    changed_labels[job.watch] = 1 - changed_labels[job.watch]
    changed = train(changed_inputs, changed_labels, [job])
    np.testing.assert_allclose(whole.weights[0], changed.weights[0], atol=1e-6)
    assert np.abs(whole.curves["loss/test"][0] - changed.curves["loss/test"][0]).max() > 0.01


@pytest.mark.slow
def test_a_batch_larger_than_the_rows_is_all_rows_and_without_watched_rows_the_curves_on_test_rows_are_nan() -> None:
    rows = np.arange(20)
    large = train(INPUTS, LABELS, [Job(Recipe(epochs=3, batch_size=1000), rows, np.arange(0))])
    exact = train(INPUTS, LABELS, [Job(Recipe(epochs=3, batch_size=20), rows, np.arange(0))])
    np.testing.assert_array_equal(large.weights, exact.weights)
    assert np.isnan(exact.curves["loss/test"]).all()
    assert np.isfinite(exact.curves["loss/train"]).all()


def test_dropout_changes_training_but_not_measuring() -> None:
    job = make_jobs(Recipe(epochs=1, learning_rate=1e-9, weight_decay=0.0), 1)[0]
    dropped = replace(job, recipe=replace(job.recipe, dropout=0.5))
    curves = train(INPUTS, LABELS, [job, dropped]).curves
    # The weights hardly move, so losses measured after the epoch are equal, but those measured while training are not.
    np.testing.assert_allclose(curves["loss/test"][0], curves["loss/test"][1], atol=1e-6)
    assert abs(curves["loss/train"][0, 0] - curves["loss/train"][1, 0]) > 1e-3


@pytest.mark.slow
def test_probabilities_are_those_of_the_keras_model_also_of_the_watched_rows() -> None:
    jobs = [*make_jobs(Recipe(epochs=2), 3), *make_jobs(Recipe(epochs=3, hidden=(6, 4)), 2)]
    networks = train(INPUTS, LABELS, jobs)
    probabilities = networks.probabilities(INPUTS)
    assert probabilities.shape == (5, N)
    for job, watched, everywhere in zip(jobs, networks.watched(INPUTS), probabilities, strict=True):
        np.testing.assert_allclose(watched, everywhere[None, job.watch], atol=1e-6)
    for k, job in enumerate(networks.jobs):
        expected = networks.keras(k, D).predict(INPUTS[job.matrix], verbose=0)[:, 0]
        np.testing.assert_allclose(probabilities[k], expected, atol=1e-6)


@pytest.mark.slow
def test_jobs_of_different_kinds_are_trained_in_separate_batches() -> None:
    recipes = [
        Recipe(epochs=3, hidden=(4,)),
        Recipe(epochs=2, hidden=(5, 3)),
        Recipe(epochs=4, activation="tanh"),
        Recipe(epochs=3, hidden=(4,), learning_rate=0.01),
        Recipe(epochs=3, optimizer="sgd"),
    ]
    jobs = [replace(job, recipe=recipe) for job, recipe in zip(make_jobs(Recipe(), 5), recipes, strict=True)]
    steps: list[tuple[int, int]] = []
    together = train(INPUTS, LABELS, jobs, progress=lambda done, total: steps.append((done, total)))
    for k, job in enumerate(jobs):
        assert_same(together, k, train(INPUTS, LABELS, [job]))
    assert [done for done, _ in steps] == sorted({done for done, _ in steps})
    assert steps[-1][0] == steps[-1][1]


@pytest.mark.slow
def test_a_batch_of_limited_size_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = [job for rate in (1e-3, 3e-3) for job in make_jobs(Recipe(epochs=4, learning_rate=rate), 5)]
    whole = train(INPUTS, LABELS, jobs)
    monkeypatch.setattr("heart_disease.training.engine.BATCH_NETWORKS", 3)
    for k, row in enumerate(train(INPUTS, LABELS, jobs).weights):
        np.testing.assert_allclose(whole.weights[k], row, atol=1e-6)


@pytest.mark.slow
def test_networks_side_by_side_on_the_same_rows_do_not_affect_each_other() -> None:
    job = make_jobs(Recipe(epochs=5), 1)[0]
    recipes = [replace(job.recipe, learning_rate=rate, weight_decay=decay) for rate in (1e-3, 1e-2) for decay in (0, 2)]
    together = train(INPUTS, LABELS, [replace(job, recipe=recipe) for recipe in recipes])
    for k, recipe in enumerate(recipes):
        assert_same(together, k, train(INPUTS, LABELS, [replace(job, recipe=recipe)]))
        weights, _ = fit_with_keras(replace(job, recipe=recipe))
        np.testing.assert_allclose(together.weights[k][0], weights, atol=TOLERANCE)


@pytest.mark.slow
def test_jobs_that_differ_only_in_epochs_are_one_network_taken_at_several_times() -> None:
    job = make_jobs(Recipe(), 1)[0]
    jobs = [replace(job, recipe=replace(job.recipe, epochs=epochs)) for epochs in (3, 7, 5)]
    assert [len(batch) for batch in together(jobs, 10)] == [1]
    networks = train(INPUTS, LABELS, jobs)
    assert [np.isfinite(curve).sum() for curve in networks.curves["loss/train"]] == [3, 7, 5]
    for k in (0, 1):
        assert_same(networks, k, train(INPUTS, LABELS, [jobs[k]]))


def test_without_a_job_there_is_nothing_to_train() -> None:
    with pytest.raises(ValueError, match="at least one job"):
        train(INPUTS, LABELS, [])


def test_asking_for_a_gpu_that_is_not_there_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tensorflow.config.list_physical_devices", lambda _: [])
    with pytest.raises(UnavailableError, match=r"finds no GPU.*nvidia-smi"):
        train(INPUTS, LABELS, make_jobs(Recipe(), 1), device="gpu")


@pytest.mark.parametrize(("number", "error"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)])
def test_a_signal_in_the_middle_of_a_step_waits_for_its_end(
    number: signal.Signals, error: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = []

    def leave(*_: object) -> None:
        raise SystemExit

    def compile_one(*_: object) -> tuple[list[object], object]:
        def run(*_: object) -> object:
            os.kill(os.getpid(), number)
            ended.append(True)
            raise ValueError("what the step itself says comes second")

        return [], run

    monkeypatch.setattr("heart_disease.training.engine._compile", compile_one)
    before = signal.signal(signal.SIGTERM, leave)
    try:
        with pytest.raises(error):
            train(INPUTS, LABELS, make_jobs(Recipe(epochs=1), 1))
    finally:
        signal.signal(signal.SIGTERM, before)
    assert ended
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
