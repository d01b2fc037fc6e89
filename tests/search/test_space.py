"""The space of a search: what a file may say, what is refused and how, and which configurations result."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from math import log
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from heart_disease.model.errors import UsageError
from heart_disease.search.settings import MOST_CONFIGURATIONS
from heart_disease.search.space import DEFAULT, SEARCHED, Range, as_yaml, grid, make_space, read_space, sample
from heart_disease.training.recipe import Recipe

Read = Callable[[str | bytes], dict[str, Any]]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """A function that calls `read_space` on a file `space.yaml` with the given content."""

    def of(content: str | bytes) -> dict[str, Any]:
        path = tmp_path / "space.yaml"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return read_space(path)

    return of


def values(text: str, read: Read) -> dict[str, Any]:
    """The values of a space by part, including epochs."""
    space = make_space(read(text))
    return {**space.values, "epochs": space.epochs}


# What a file may say


def test_the_example_at_the_top_of_the_module(read: Read) -> None:
    example = """
    hidden: [[8], [16], [16, 8]]
    learning_rate: {low: 0.0003, high: 0.01}
    dropout: {low: 0, high: 0.5, scale: linear}
    epochs: [25, 50, 100, 200]
    """
    assert values(example, read) == {
        "hidden": [(8,), (16,), (16, 8)],
        "learning_rate": Range(0.0003, 0.01, "log"),
        "dropout": Range(0, 0.5, "linear"),
        "epochs": (25, 50, 100, 200),
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hidden: 16", [(16,)]),
        ("hidden: [16]", [(16,)]),
        ("hidden: [16, 8]", [(16,), (8,)]),
        ("hidden: [[16, 8]]", [(16, 8)]),
        ("hidden: [[]]", [()]),
        ("hidden: none", [()]),
        ("hidden: [none, 16, [16, 8]]", [(), (16,), (16, 8)]),
        ("without: [none, ca, [thal, slope]]", [(), ("ca",), ("slope", "thal")]),
        ("learning_rate: 1e-3", [0.001]),  # text in YAML 1.1, which requires 1.0e-3
        ("dropout: 0", [0.0]),
        ("batch_size: [16, 32.0]", [16, 32]),
        ("optimizer: sgd", ["sgd"]),
        ("{optimizer: sgd, momentum: [0, 0.9]}", [0.0, 0.9]),
        ("{learning_rate: 0.0001, weight_decay: 5000}", [5000.0]),
    ],
)
def test_values_are_a_list_or_one_value_and_become_the_recipes_types(
    text: str, expected: list[Any], read: Read
) -> None:
    assert list(values(text, read).values())[-2] == expected


def test_epochs_are_sorted_and_distinct_and_default_to_the_default_recipes(read: Read) -> None:
    assert values("epochs: [50, 10, 50.0, '25']", read)["epochs"] == (10, 25, 50)
    assert values("dropout: 0.1", read)["epochs"] == (Recipe().epochs,)


def test_without_a_file_the_default_space_is_searched() -> None:
    assert read_space(None) == DEFAULT
    assert len(sample(make_space(DEFAULT), 50)) == 50


def test_a_space_is_written_as_a_file_that_reads_back_the_same(read: Read) -> None:
    assert read(as_yaml(DEFAULT)) == DEFAULT


# What is refused: one message that names the file and the part

NO_MAPPING = "expected a mapping such as 'dropout: [0, 0.2]'; got"
A_RANGE = "expected {low: L, high: H, scale: log or linear}"
ORDER = "expected low below high, and low above 0 on a log scale"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("learning: [1]", "'learning' cannot be searched; expected hidden, activation"),
        ("seed: [1, 2]", "'seed' cannot be searched"),
        ("members: [2]", "'members' cannot be searched"),
        ("1: 2", "'1' cannot be searched"),
        ("[1, 2]: 3", "is not YAML"),
        ("dropout: []", "dropout: expected at least one value; got an empty list"),
        ("epochs: []", "epochs: expected at least one value; got an empty list"),
        ("dropout:", "dropout: None: Input should be a valid number"),
        ("dropout: [0.1, high]", "dropout: 'high': Input should be a valid number"),
        ("dropout: 1", "dropout: 1: Input should be less than 1"),
        ("activation: magic", "activation: 'magic': Input should be 'relu'"),
        ("without: weight", "without: ['weight']: cannot leave out column 'weight'; expected some of age"),
        ("hidden: [0]", "hidden: [0]: Input should be greater than or equal to 1"),
        ("hidden: 16-8", "hidden: '16-8': Input should be a valid tuple"),
        ("hidden: [[16, [8]]]", "hidden: [16, [8]]: Input should be a valid integer"),
        ("hidden: {low: 4, high: 16}", "hidden: expected a list of values; a range is for momentum, learning_rate"),
        ("batch_size: {low: 4, high: 16}", "batch_size: expected a list of values; a range is for"),
        ("batch_size: 16.5", "batch_size: 16.5: Input should be a valid integer"),
        ("epochs: {low: 4, high: 16}", "epochs: expected a list of values; a range is for"),
        ("epochs: [0]", "epochs: 0: Input should be greater than or equal to 1"),
        ("epochs: [100001]", "epochs: 100001: Input should be less than or equal to 100000"),
        ("learning_rate: {low: 0.1}", f"learning_rate: {A_RANGE}; got {{'low': 0.1}}"),
        ("learning_rate: {low: 0.1, high: 0.2, step: 0.1}", f"learning_rate: {A_RANGE}"),
        ("learning_rate: {low: 0.1, high: 0.2, scale: cubic}", f"learning_rate: {A_RANGE}"),
        ("learning_rate: {low: 0.1, high: 0.2, scale: [log]}", f"learning_rate: {A_RANGE}"),
        ("learning_rate: {low: 0.1, high: 0.01}", f"learning_rate: {ORDER}; got 0.1 to 0.01"),
        ("learning_rate: {low: 0.1, high: 0.1}", f"learning_rate: {ORDER}; got 0.1 to 0.1"),
        ("weight_decay: {low: 0, high: 1}", f"weight_decay: {ORDER}; got 0 to 1"),
        ("learning_rate: {low: 0, high: 1}", "learning_rate: 0: Input should be greater than 0"),
        ("dropout: {low: 0.1, high: 1}", "dropout: 1: Input should be less than 1"),
        ("learning_rate: yes", "learning_rate: True: expected a value that is not yes, no, true or false"),
        ("epochs: [50, on]", "epochs: True: expected a value that is not yes, no, true or false"),
        ("hidden: [[8, true]]", "hidden: [8, True]: expected a value that is not yes, no, true or false"),
        ("weight_decay: {low: off, high: 1, scale: linear}", "weight_decay: False: expected a value that is not yes"),
        ("learning_rate: .nan", "learning_rate: nan: Input should be"),
        ("weight_decay: [.inf]", "weight_decay: inf: Input should be a finite number"),
        ("weight_decay: {low: 1, high: .inf}", "weight_decay: inf: Input should be a finite number"),
        (f"learning_rate: 1{'0' * 400}", "learning_rate: "),
        (f"epochs: 1{'0' * 5000}", "is not YAML"),
        ("dropout: {low: {low: 0}, high: [1]}", "dropout: {'low': 0}: Input should be a valid number"),
        ("dropout: [[[[0.1]]]]", "dropout: [[[0.1]]]: Input should be a valid number"),
        ("hidden: &a [*a]", "Input should be a valid integer"),
        ("dropout: 2026-02-30", "is not YAML: day is out of range"),
        ("dropout: 2026-02-03", "dropout: datetime.date(2026, 2, 3): Input should be a valid number"),
        ("- dropout", f"{NO_MAPPING} ['dropout']"),
        ("dropout", f"{NO_MAPPING} 'dropout'"),
        ("", f"{NO_MAPPING} nothing"),
        ("{}", f"{NO_MAPPING} nothing"),
        ("dropout: [0.1", "is not YAML: while parsing a flow sequence"),
        ("dropout: 0.1\n---\ndropout: 0.2", "is not YAML: expected a single document"),
        ("!!python/object/apply:os.getcwd []", "is not YAML: could not determine a constructor"),
        ("[" * 5000, "is not YAML"),
        (b"\x89PNG\r\n\x1a\n\x00\xff", "is not YAML"),
        ("dropout: 0.1\x00", "is not YAML"),
    ],
)
def test_nonsense_is_refused_in_one_message_with_file_and_part(text: str | bytes, message: str, read: Read) -> None:
    with pytest.raises(UsageError) as refusal:
        read(text)
    said = str(refusal.value)
    assert "space.yaml'" in said
    assert message in said
    assert "\n" not in said


def test_a_message_does_not_repeat_a_long_value(read: Read) -> None:
    with pytest.raises(UsageError) as refusal:
        read(f"dropout: [{[0.1] * 10_000}]")
    assert len(str(refusal.value)) < 400


@pytest.mark.parametrize(("name", "reason"), [("missing.yaml", "No such file"), (".", "Is a directory")])
def test_a_file_that_cannot_be_read_is_refused_and_named(name: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"^'{tmp_path / name}' cannot be read: {reason}"):
        read_space(tmp_path / name)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{learning_rate: [0.1, 0.5], weight_decay: [0, 2]}", "learning_rate (=0.5) x weight_decay (=2) must be below"),
        ("{learning_rate: {low: 0.01, high: 1}}", "learning_rate (=1) x weight_decay (=1) must be below 1"),
        ("{weight_decay: {low: 1, high: 1000}}", "learning_rate (=0.001) x weight_decay (=1000) must be below 1"),
        ("{momentum: [0, 0.9]}", "momentum (=0.9) belongs to sgd and gd"),
        ("{momentum: {low: 0, high: 0.9, scale: linear}}", "momentum (=0.9) belongs to sgd and gd"),
        ("{momentum: [0.9], optimizer: [sgd, adam]}", "momentum (=0.9) belongs to sgd and gd"),
    ],
)
def test_a_space_with_an_impossible_combination_is_refused_even_if_it_would_not_be_drawn(
    text: str, message: str, read: Read
) -> None:
    with pytest.raises(UsageError, match="a combination of the space makes no sense: ") as refusal:
        read(text)
    assert message in str(refusal.value)


def test_every_part_of_a_recipe_except_seed_and_members_can_be_searched() -> None:
    assert set(SEARCHED) == set(Recipe().as_dict()) - {"seed", "members"}


# A grid


def test_a_grid_is_every_combination_each_with_the_largest_number_of_epochs(read: Read) -> None:
    space = make_space(read("{hidden: [[4], [8, 4]], dropout: [0, 0.5], activation: [relu, tanh], epochs: [5, 20]}"))
    found = grid(space, seed=3)
    expected = [
        Recipe(hidden=hidden, dropout=dropout, activation=activation, epochs=20, seed=3)
        for hidden, activation, dropout in product([(4,), (8, 4)], ["relu", "tanh"], [0, 0.5])
    ]
    assert len(found) == len(expected) == 8
    assert set(found) == set(expected)


def test_a_value_listed_twice_repeats_no_configuration(read: Read) -> None:
    assert len(grid(make_space(read("{dropout: [0, 0.0, 0.5], hidden: [4, [4]]}")))) == 2


def test_a_grid_with_ranges_is_refused_and_they_are_named() -> None:
    with pytest.raises(UsageError, match=r"^a grid needs lists; learning_rate has a range\. List its values"):
        grid(make_space(DEFAULT))


def test_a_grid_that_is_too_large_is_refused_before_it_is_made() -> None:
    many = [i / 1000 for i in range(1000)]
    space = make_space({"dropout": many, "weight_decay": many, "learning_rate": many[1:]})
    with pytest.raises(UsageError, match=f"a grid of 999000000 configurations; expected at most {MOST_CONFIGURATIONS}"):
        grid(space)


# A random search


def test_the_seed_decides_what_is_drawn() -> None:
    space = make_space(DEFAULT)
    first, again, other = (sample(space, 20, seed) for seed in (1, 1, 2))
    assert first == again
    assert {p.learning_rate for p in first}.isdisjoint(p.learning_rate for p in other)
    assert {p.seed for p in first} == {1}


def test_a_longer_search_starts_with_the_shorter_one() -> None:
    space = make_space(DEFAULT)
    assert sample(space, 30)[:20] == sample(space, 20)


def test_no_configuration_is_drawn_twice() -> None:
    space = make_space({"dropout": [0.0, 0.1, 0.2, 0.3], "weight_decay": [0.0, 0.5, 1.0]})
    found = sample(space, 11)
    assert len(found) == len(set(found)) == 11


def test_if_there_are_fewer_configurations_than_wanted_all_are_searched() -> None:
    space = make_space({"dropout": [0.0, 0.1, 0.1], "weight_decay": [0.0, 0.5, 1.0]})
    assert set(sample(space, 7)) == set(grid(space))
    assert len(sample(space, 6)) == 6


def test_a_narrow_range_has_few_values_and_the_search_still_ends() -> None:
    space = make_space({"dropout": {"low": 0.5, "high": 0.5003}})
    assert {p.dropout for p in sample(space, 20)} == {0.5, 0.5001, 0.5002, 0.5003}


def test_a_value_listed_twice_is_drawn_twice_as_often() -> None:
    found = sample(make_space({"dropout": [0.0, 0.0, 0.2], "learning_rate": {"low": 0.001, "high": 0.1}}), 3000)
    share = np.mean([p.dropout == 0 for p in found])
    assert share == pytest.approx(2 / 3, abs=0.04)  # 4.6 standard errors


@pytest.mark.parametrize(
    ("scale", "cdf"),
    [
        ("log", lambda x: (np.log(x) - log(0.00123456)) / (log(0.0987654) - log(0.00123456))),
        ("linear", lambda x: (x - 0.00123456) / (0.0987654 - 0.00123456)),
    ],
)
def test_values_of_a_range_are_spread_evenly_on_its_scale_and_stay_inside(scale: str, cdf: Callable[..., Any]) -> None:
    low, high = 0.00123456, 0.0987654
    space = make_space({"learning_rate": {"low": low, "high": high, "scale": scale}})
    drawn = np.array([p.learning_rate for p in sample(space, 2000)])
    assert low <= drawn.min() < drawn.max() <= high
    assert stats.kstest(drawn, cdf).pvalue > 0.01


def test_rounding_does_not_leave_the_range() -> None:
    ends = Range(0.00012344, 0.00012346, "linear")
    rng = np.random.default_rng(0)
    assert {ends.draw(rng) for _ in range(100)} <= {0.00012344, 0.00012346}


def test_parts_that_are_not_named_are_as_in_the_default_recipe(read: Read) -> None:
    [found] = sample(make_space(read("{dropout: 0.2, epochs: [9]}")), 5, seed=4)
    assert found == Recipe(dropout=0.2, epochs=9, seed=4)
