"""Encoder, network and threshold as one model: raw patient rows in UCI codes -> probability and yes or no.

Every patient is scored by `PatientModel.score`. The API calls it with an array; the command line, the registered model
and the check that they agree call `predict`, which does the same for data frames. A model is stored as JSON and a
.keras file, without pickle or anything else that is executed.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from . import drivers, folds, keras_file, schema
from .drivers import Drivers
from .encoding import Encoder
from .errors import RejectedError, UsageError
from .folds import Folds, Spread
from .support import Support

if TYPE_CHECKING:
    import pandas as pd

Written = Callable[[str, NDArray[np.intp]], NDArray[Any]]
# What a model is stored as; older versions lack some of them.
FILES = ("encoder.json", "network.keras", "threshold.json", "learned_from.npy", "references.npy", "folds.npy",
         "support.json")  # fmt: skip


@dataclass(frozen=True)
class Scores:
    """One value for each of n patients.

    probability: of heart disease, (n,) float64; NaN if there is a problem.
    disease: (n,) "yes", "no", or "" if there is a problem.
    problem: (n,) why a patient was not scored, or "".
    unusual: (n,) how a patient is unlike those that the network learned from, or "".
    """

    probability: NDArray[np.float64]
    disease: NDArray[np.object_]
    problem: NDArray[np.object_]
    unusual: NDArray[np.object_]


@dataclass(frozen=True, eq=False)
class PatientModel:
    """`network` turns the encoder's (n, d) inputs into (n, 1) probabilities; from `threshold` on, the answer is yes.

    The network is a Keras model after training, and a `keras_file.StoredNetwork` after loading.

    learned_from: the digests of the patients that encoder and network were fitted on (`identities.patient_ids`),
    sorted, so that a comparison of two models can leave them out; none if that is not known, as in older versions and
    if there were more patients than `identities.learned_from` keeps.

    references: the patients (K, 13), nobody's, that one patient is compared with to say what drives the probability
    (drivers.py); none in older versions.

    folds: the networks of the cross-validation, whose range is shown beside a probability (folds.py); none in older
    versions, and if the networks that were tested are those that are shipped.

    support: tells which patients are unlike those of the training (support.py); None in older versions and in those of
    a distributed training. abstains: such a patient gets no probability, but the reason as `problem`. It is not stored:
    the caller decides.
    """

    encoder: Encoder
    network: Any
    threshold: float = 0.5
    learned_from: NDArray[np.uint64] = field(default_factory=lambda: np.empty(0, np.uint64))
    references: NDArray[np.float64] = field(default_factory=lambda: np.empty((0, len(schema.COLUMNS))))
    folds: Folds = ()
    support: Support | None = None
    abstains: bool = False

    def predict(self, patients: pd.DataFrame, threshold: float | None = None, explain: bool = False) -> pd.DataFrame:
        """One row per patient: `probability` of heart disease, `disease` ("yes", "no"), `problem` and `unusual`.

        A row that the schema does not allow, or with a code that no patient of the training had, has the reason in
        `problem`, and neither probability nor answer. Columns that the model does not know are ignored.

        threshold: the answer is yes from this probability on; the model's own if it is not given.
        explain: more columns, for tens of milliseconds per patient: `lowest` and `highest` of the cross-validation's
            networks; `average`, and what each column of the model `adds_` to it, which make up the probability. NaN
            if the model does not know them.

        Raises:
            RejectedError: a column is missing.
            UsageError: the threshold is not a probability.
        """
        import pandas as pd

        if threshold is not None and not 0 <= threshold <= 1:
            raise UsageError(f"threshold {threshold:g}; expected a probability, from 0 to 1")
        cells = self.cells(patients)
        scores = self.score(cells, lambda name, rows: patients[name].iloc[rows].to_numpy(), threshold)
        columns = {
            "probability": pd.Series(scores.probability, patients.index),
            "disease": pd.Series(scores.disease, patients.index, dtype="object"),
            "problem": pd.Series(scores.problem, patients.index, dtype="object"),
            "unusual": pd.Series(scores.unusual, patients.index, dtype="object"),
        }
        if explain:
            columns |= {name: pd.Series(held, patients.index) for name, held in self._explained(cells, scores).items()}
        return pd.DataFrame(columns, copy=False)

    def _explained(self, cells: NDArray[np.float64], scores: Scores) -> dict[str, NDArray[np.float64]]:
        """The columns that `explain` asks for, each (n,)."""
        names = ["lowest", "highest", "average", *(f"adds_{name}" for name in self.columns)]
        found = np.full((len(cells), len(names)), np.nan)
        for k in np.flatnonzero(scores.problem == ""):
            if spread := self.spread(cells[k]):
                found[k, :2] = spread.lowest, spread.highest
            if known := self.drivers(cells[k]):
                found[k, 2:] = known.average, *known.each.values()
        return dict(zip(names, found.T, strict=True))

    def abstaining(self) -> PatientModel:
        """This model, but a patient unlike those of the training gets the reason as `problem`, and no probability.

        Raises:
            RejectedError: the version has no `support`.
        """
        if not self.support:
            raise RejectedError(
                "this version does not know which patients are unlike those of its training; expected one that `heart "
                "train` of this release made. Train it again, or leave out --abstain."
            )
        return replace(self, abstains=True)

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns that it takes."""
        return tuple(column.name for column in self.encoder.columns)

    def cells(self, patients: pd.DataFrame) -> NDArray[np.float64]:
        """The patients as `score` takes them (n, 13); NaN also in columns that the model does not take.

        Raises:
            RejectedError: a column is missing.
        """
        missing = [name for name in self.columns if name not in patients]
        if missing:
            named = f"column{'s' * (len(missing) > 1)} {', '.join(map(repr, missing))}"
            raise RejectedError(f"{named} missing; expected {', '.join(self.columns)}. Name the columns in the header.")
        found = np.full((len(patients), len(schema.INPUT_NAMES)), np.nan)
        for k in np.flatnonzero(~self.encoder.ignored):
            found[:, k] = schema.numbers(patients[schema.INPUT_NAMES[k]])
        return found

    def score(
        self, cells: NDArray[np.float64], written: Written | None = None, threshold: float | None = None
    ) -> Scores:
        """Do as `predict`, for values in the order of `schema.INPUT_NAMES`, NaN for a blank: (n, 13).

        written: returns cells of a column as they were written, to show in `problem`; by default the values.
        """
        bad, new = self.refused(cells)
        good = ~(bad | new).any(axis=1)
        probability, unusual = np.full(len(cells), np.nan), np.full(len(cells), "", "object")
        problem = self._problems(cells, bad, new, written)
        if good.any():
            inputs = self.encoder.encode(cells[good])
            probability[good] = np.asarray(self.network(inputs))[:, 0]
            if self.support:
                unusual[good] = self.support.unusual(inputs, self.encoder)
        if self.abstains:
            flagged = unusual != ""
            problem[flagged], probability[flagged], good = unusual[flagged], np.nan, good & ~flagged
        edge = self.threshold if threshold is None else threshold
        answer = np.where(probability >= edge, "yes", "no").astype("object")
        answer[~good] = ""
        return Scores(probability, answer, problem, unusual)

    def refused(self, cells: NDArray[np.float64]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """The cells that the schema does not allow, and the others with a code that no patient of the training had.

        Cells are as `score` takes them: (n, 13) -> (n, 13), (n, 13). A row without either can be scored.
        """
        bad = np.column_stack([schema.outside(cells[:, k], column) for k, column in enumerate(schema.COLUMNS)])
        bad &= ~self.encoder.ignored
        return bad, self.encoder.never_seen(cells) & ~bad

    def drivers(self, cells: NDArray[np.float64]) -> Drivers | None:
        """What drives the probability of one patient without a problem, for values (13,) as `score` takes them.

        None if the model has no references, or takes more columns than `drivers.MOST_COLUMNS`.
        """
        if not len(self.references) or len(self.columns) > drivers.MOST_COLUMNS:
            return None
        return drivers.explain(self.network, self.encoder, self.references, cells)

    def spread(self, cells: NDArray[np.float64]) -> Spread | None:
        """How far the networks of the cross-validation differ about one patient, for values as `drivers` takes them."""
        return folds.spread(self.folds, self.encoder.encode(cells[None]))

    def _problems(
        self, cells: NDArray[np.float64], bad: NDArray[np.bool_], new: NDArray[np.bool_], written: Written | None
    ) -> NDArray[np.object_]:
        """Each row's problem (n,), from the cells that the schema or the encoder does not allow (n, 13)."""
        problem = np.full(len(cells), "", "object")
        if not (bad.any() or new.any()):
            return problem
        import pandas as pd

        for k, column in enumerate(schema.COLUMNS):
            rows = np.flatnonzero(bad[:, k] | new[:, k])
            if not len(rows):
                continue
            held = written(column.name, rows) if written else cells[rows, k]
            if held.dtype == "object":
                which, texts = pd.factorize(np.array([schema.holds(value) for value in held], "object"))
            else:  # words are made for each value once, not for each row
                which, values = pd.factorize(held, use_na_sentinel=False)
                texts = np.array([schema.holds(value) for value in values], "object")
            why, expected = np.array(["", ", which no patient of the training had"]), self.encoder.expected(column)
            ends = np.array([f"; expected {column.expected}", f"; expected {expected}"], "object")
            is_new = new[rows, k].astype(int)
            reason = f"column '{column.name}' " + texts[which] + why.astype("object")[is_new] + ends[is_new]
            before = problem[rows]
            problem[rows] = np.where(before == "", reason, before + "; " + reason)
        return problem

    def save(self, folder: Path) -> None:
        """Write `FILES` into it; `support.json` only if there is one."""
        folder.mkdir(parents=True, exist_ok=True)
        self.network.save(folder / "network.keras")
        (folder / "encoder.json").write_text(self.encoder.to_json())
        (folder / "threshold.json").write_text(json.dumps({"threshold": self.threshold}))
        np.save(folder / "learned_from.npy", self.learned_from, allow_pickle=False)
        np.save(folder / "references.npy", self.references, allow_pickle=False)
        folds.save(self.folds, folder / "folds.npy")
        if self.support:
            (folder / "support.json").write_text(self.support.to_json())

    @classmethod
    def load(cls, folder: Path) -> PatientModel:
        """Read what `save` wrote, without Keras.

        Raises:
            ValueError, LookupError, OSError: `save` did not write this.
        """
        encoder = Encoder.from_json((folder / "encoder.json").read_text())
        network, stored = keras_file.read(folder / "network.keras"), folder / "support.json"
        return cls(
            encoder,
            network,
            json.loads((folder / "threshold.json").read_text())["threshold"],
            _read(folder / "learned_from.npy", np.empty(0, np.uint64)),
            _read(folder / "references.npy", np.empty((0, len(schema.COLUMNS)))),
            folds.load(folder / "folds.npy", network),
            Support.from_json(stored.read_text(), encoder.width) if stored.exists() else None,
        )


def _read(path: Path, none: NDArray[Any]) -> NDArray[Any]:
    """The array in a file, of the type and the columns of `none`, which stands for the file that older versions lack.

    Raises:
        ValueError, OSError: the file holds another kind of array.
    """
    found = np.load(path, allow_pickle=False) if path.exists() else none
    if (found.dtype, found.shape[1:]) != (none.dtype, none.shape[1:]) or not found.ndim:
        expected = ", ".join(map(str, ("n", *none.shape[1:])))
        raise ValueError(f"{path.name} has {found.dtype} {found.shape}; expected {none.dtype} ({expected})")
    return found


def difference(ours: pd.DataFrame, theirs: pd.DataFrame) -> float:
    """The greatest difference between two models' probabilities for the same rows; infinity if words differ.

    The words are the answers, the problems, and how patients are unlike those of the training.
    """
    if any(list(ours[name]) != list(theirs[name]) for name in ("disease", "problem", "unusual")):
        return np.inf
    gaps = (ours["probability"].to_numpy() - theirs["probability"].to_numpy())[(ours["disease"] != "").to_numpy()]
    return float(np.abs(gaps).max(initial=0))
