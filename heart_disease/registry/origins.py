"""What a version was made from: recipe, evaluation, data, code, libraries, device. Written at the start of its run.

Equal origins make the same model, so a retrain has nothing to do if its origin is that of the champion.
"""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import version
from pathlib import Path

import mlflow
from mlflow.entities import Param, RunTag
from pydantic import ValidationError

from heart_disease.data import sources
from heart_disease.data.remote import addresses
from heart_disease.data.sources import Table
from heart_disease.evaluation import by_rows
from heart_disease.evaluation.settings import Evaluation
from heart_disease.model.errors import OriginError, RejectedError, SourceError, UnavailableError
from heart_disease.registry.access.store import LIBRARIES, ModelRef, reachable, unless_missing
from heart_disease.training.code import code_digest
from heart_disease.training.recipe import Recipe, RecipeOptions

ROOT = Path(__file__).resolve().parent.parent.parent
COMMIT, DIRTY, CODE_DIGEST = "mlflow.source.git.commit", "git_dirty", "code_digest"
DEVICE, SOURCE, MEMBERS = "device", "source", "members_shipped"
SNAPSHOT = "snapshot"  # the digest of what was fetched, if the source is an address
COPY = "copy"  # the published copy of the data that the source is, if it is one in other codes
DECLARED = "copy_declared"  # the copy that somebody said it is
BY_ROWS = "set_by_number_of_patients"
RIVAL, RIVAL_RUN = "compared_with", "compared_with_run"  # the champion that was trained beside the version


@dataclass(frozen=True)
class Origin:
    """recipe, evaluation: as they were set. data, code: digests of their content. libraries: versions by name.

    source, snapshot, commit and device are for people and for a second try. They do not change what is made from the
    rest, except that another device may round differently. members: how many networks the model has, if that is not
    what the recipe asked for, because averaging was not shown to help. by_rows: the settings of the recipe that nobody
    set, so that the number of patients decided them. copy: what the source was said to be a copy of.
    """

    recipe: Recipe
    evaluation: Mapping[str, str]
    data: str
    code: str
    libraries: Mapping[str, str]
    source: str = ""
    commit: str = ""
    device: str = ""
    members: int | None = None
    by_rows: tuple[str, ...] = ()
    snapshot: str = ""
    copy: str = ""

    @property
    def shipped(self) -> Recipe:
        """The recipe of the model that was registered."""
        return replace(self.recipe, members=self.members or self.recipe.members)

    @property
    def sensitivity(self) -> float | None:
        """The share of the sick that the model's answer had to find; None if it answers yes from 0.5 on."""
        asked = self.evaluation.get("sensitivity")
        return None if asked is None else float(asked)

    @property
    def asked(self) -> RecipeOptions:
        """The same as a request, which means something else for another number of patients."""
        return by_rows.asked_again(self.shipped, self.by_rows)

    @property
    def described(self) -> dict[str, str]:
        """In words, for people: ``recipe``, ``data``, ``code``, ``versions`` and, if it is known, ``device``."""
        commit = f", commit {self.commit[:8]}" if self.commit else ""
        found = {
            "recipe": f"{self.shipped.title}, seed {self.recipe.seed}",
            "data": f"{addresses.name(self.source)}, digest {self.data[:8]}",
            "code": f"digest {self.code[:8]}{commit}",
            "versions": ", ".join(f"{name} {number}" for name, number in sorted(self.libraries.items())),
            "device": self.device,
        }
        return {name: words for name, words in found.items() if words}

    def differences(self, other: Origin) -> dict[str, str]:
        """What differs, in words: ``data``, ``recipe``, ``evaluation``, ``code``, ``versions``; empty if nothing."""
        ours, theirs = self.recipe.as_text(), other.recipe.as_text()
        changed = {
            "data": self._other_data(other),
            "recipe": _change(ours, theirs),
            "evaluation": _change(self.evaluation, other.evaluation),
            "code": _change({"digest": self.code[:8]}, {"digest": other.code[:8]}),
            "versions": _change(self.libraries, other.libraries),
        }
        return {name: words for name, words in changed.items() if words}

    def _other_data(self, other: Origin) -> str:
        digests = _change({"digest": self.data[:8]}, {"digest": other.data[:8]})
        if not digests or not (self.source and other.source):
            return digests
        names = _change({"source": addresses.name(self.source)}, {"source": addresses.name(other.source)})
        return f"{digests}, {names}" if names else digests


def _change(ours: Mapping[str, str], theirs: Mapping[str, str]) -> str:
    names = sorted(name for name in {*ours, *theirs} if ours.get(name) != theirs.get(name))
    return ", ".join(f"{name} {ours.get(name, 'none')} -> {theirs.get(name, 'none')}" for name in names)


def origin_here(recipe: Recipe, evaluation: Evaluation, data: str, by_rows: tuple[str, ...] = ()) -> Origin:
    """The origin of what would be made now, from data of this digest. by_rows: see `Origin`."""
    settings = {name: str(value) for name, value in evaluation.as_dict().items()}
    libraries = {name: version(name) for name in LIBRARIES} | {"python": platform.python_version()}
    commit = _git().get(COMMIT, "")
    return Origin(recipe, settings, data, code_digest(), libraries, commit=commit, by_rows=by_rows)


def origin_of(ref: ModelRef) -> Origin:
    """The origin that the run of a version recorded; if the run is gone, the copy of it that came with the model.

    Raises:
        OriginError: both are gone, or incomplete.
        UnavailableError: the store does not answer.
    """
    with reachable():
        params, tags = _recorded(ref)
    if not params:
        raise OriginError(
            f"the run {ref.run_id or '(none)'} of {ref.name} version {ref.version} is gone, and its recipe with it; "
            "expected the run that made it"
        )
    return origin_in(params, tags, f"{ref.name} version {ref.version}")


def origin_in(params: Mapping[str, str], tags: Mapping[str, str], title: str) -> Origin:
    """The origin among the parameters and tags of a run; title: what to call it.

    Raises:
        OriginError: a value of the recipe makes no sense.
    """
    try:
        recipe = Recipe.from_text(params)
    except ValueError as error:
        raise OriginError(f"the recipe of {title} cannot be read from its run: {error}") from error
    evaluation = {name: params[name] for name in ("folds", "repeats", "holdout", "sensitivity") if name in params}
    prefix = "library."
    libraries = {name.removeprefix(prefix): value for name, value in tags.items() if name.startswith(prefix)}
    return Origin(
        recipe, evaluation, params.get("data_digest", ""), tags.get(CODE_DIGEST, ""), libraries,
        tags.get(SOURCE, ""), tags.get(COMMIT, ""), tags.get(DEVICE, ""),
        int(tags[MEMBERS]) if MEMBERS in tags else None, tuple(tags.get(BY_ROWS, "").split()),
        tags.get(SNAPSHOT, ""), tags.get(DECLARED, ""),
    )  # fmt: skip


def evaluation_of(title: str, origin: Origin) -> Evaluation:
    """The evaluation that judged a version.

    Raises:
        UnavailableError: its run recorded none, or not one that this release understands.
    """
    try:
        return Evaluation(**origin.evaluation)  # type: ignore[arg-type]
    except ValidationError as error:
        raise UnavailableError(
            f"the evaluation of {title} cannot be read from its run; expected what `heart train` records. Name "
            "another version."
        ) from error


def patients_of(title: str, origin: Origin, then: str) -> Table:
    """The patients that a version learned from: those of the snapshot or file, or the bundled ones if the same.

    title: of the version. then: what to do if they are gone.

    Raises:
        UnavailableError: the file is gone, or cannot be read.
    """
    try:
        return read_again(origin.source, origin, origin.snapshot)
    except SourceError as error:
        bundled = sources.load()
        if bundled.digest == origin.data:  # recorded when the project was in another folder
            return bundled
        raise UnavailableError(
            f"the data of {title} is not where it was recorded: {error} Expected the patients of digest "
            f"{origin.data[:8]}; {then}"
        ) from error


def read_again(source: str, origin: Origin, snapshot: str = "") -> Table:
    """Patients as those of `origin` were read, if that gives the patients of `origin`.

    A file that was said to be a copy is read as that, whatever may have spoken against it; or as it is, if somebody has
    converted it since. If neither gives those patients, what it was said to be must fit what it holds now.

    Raises:
        HeartError: see `sources.load`.
    """
    file = sources.look(source, snapshot)
    if not origin.copy:
        return sources.from_file(file)
    for copy, force in ((origin.copy, True), (None, False)):
        with suppress(RejectedError):
            table = sources.from_file(file, copy=copy, force=force)
            if table.digest == origin.data:
                return table
    return sources.from_file(file, copy=origin.copy)


def _recorded(ref: ModelRef) -> tuple[Mapping[str, str], Mapping[str, str]]:
    """The parameters and tags of the version's run, or of its uploaded model; empty if both are gone."""
    client = mlflow.MlflowClient()
    run = unless_missing(client.get_run, ref.run_id)
    if run:
        return run.data.params, run.data.tags
    version = unless_missing(client.get_model_version, ref.name, ref.version)
    model = version and unless_missing(client.get_logged_model, version.source.removeprefix("models:/"))
    return (model.params, model.tags) if model else ({}, {})


def kept_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Those tags of a run that belong to its origin."""
    kept = (COMMIT, DIRTY, CODE_DIGEST, DEVICE, SOURCE, SNAPSHOT, MEMBERS, BY_ROWS, DECLARED)
    return {name: value for name, value in tags.items() if name in kept or name.startswith("library.")}


def origin_params(origin: Origin) -> list[Param]:
    """The origin as parameters of a run."""
    values = {**origin.recipe.as_text(), **origin.evaluation, "data_digest": origin.data}
    return [Param(name, value) for name, value in values.items()]


def origin_tags(origin: Origin) -> list[RunTag]:
    """The origin as tags of a run."""
    tags = {f"library.{name}": value for name, value in origin.libraries.items()}
    if origin.by_rows:
        tags[BY_ROWS] = " ".join(origin.by_rows)
    return [RunTag(name, value) for name, value in {**tags, CODE_DIGEST: origin.code, **_git()}.items()]


def source_tags(table: Table, declared: str | None = None) -> dict[str, str]:
    """Where patients came from, as tags of the run that used them. declared: the copy that they were said to be."""
    found = {SOURCE: table.source, SNAPSHOT: table.snapshot.digest if table.snapshot else ""}
    found |= {COPY: table.finding.title if table.finding else "", DECLARED: declared or ""}
    return {name: value for name, value in found.items() if value}


@cache
def _git() -> dict[str, str]:
    """The commit of the code that runs, and whether it had changes; empty outside a git checkout."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(ROOT), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        dirty = "yes" if git("status", "--porcelain", "--untracked-files=no") else "no"
        return {COMMIT: git("rev-parse", "HEAD"), DIRTY: dirty}
    except (OSError, subprocess.CalledProcessError):
        return {}
