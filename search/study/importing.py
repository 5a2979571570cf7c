"""Read the best trials of another Optuna study as values of a job's knobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import RDBStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import create_engine, inspect, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from compress.techniques.rules import canonical
from compress.values.knobs import Scalar
from search.errors import ForeignStudy
from search.front import pareto
from search.space import grid, validation
from search.space.knobs import Knob
from search.study.storage import close_storage

_FEASIBLE = -1.0
_MOST_NAMED = 8


@dataclass(frozen=True, kw_only=True)
class Imported:
    """Values of all turning knobs, the best first and none twice, and what was left out."""

    params: tuple[dict[str, Scalar], ...]
    notes: tuple[str, ...]


def best_of(url: str, study: str, knobs: Sequence[Knob], *, count: int) -> Imported:
    """Return up to ``count`` candidates from the study's best trials.

    Trials are ordered by non-dominated rank over the study's own directions, violated constraints
    last. A parameter gives the knob of the same name its nearest value; a knob without a parameter
    is disabled, or takes its default.

    Args:
        url: The study's database, as ``sqlite:///file.db``, or the path of an SQLite file.
        study: The name of the study.
        knobs: The knobs of the job that is to try the candidates.
        count: The largest number of candidates, 1 or more.

    Raises:
        ForeignStudy: The study cannot be read, has no finished trial or more than three objectives,
            or has none of the knobs.
    """
    turning = [knob for knob in knobs if knob.kind != "fixed"]
    directions, trials = _read(_address(url), study)
    finished = [trial for trial in trials if trial.state is TrialState.COMPLETE]
    if not finished:
        raise ForeignStudy(f"the study {study!r} has no complete trial")
    if len(directions) > pareto.MOST_OBJECTIVES:
        raise ForeignStudy(
            f"the study {study!r} has {len(directions)} objectives: trials can be ordered by at "
            f"most {pareto.MOST_OBJECTIVES}"
        )
    names = {name for trial in finished for name in trial.params}
    _check_common(study, names, turning)
    found: dict[tuple[Scalar, ...], dict[str, Scalar]] = {}
    for trial in _ordered(finished, directions):
        params = {knob.name: _value(knob, trial.params) for knob in turning}
        found.setdefault(tuple(params.values()), params)
    return Imported(params=tuple(found.values())[:count], notes=tuple(_notes(names, turning)))


def _address(url: str) -> str:
    address = url if "://" in url else f"sqlite:///{url}"
    try:
        parsed = make_url(address)
    except ArgumentError as error:
        raise ForeignStudy(
            f"{url!r} is neither a file nor the address of a database, as sqlite:///file.db"
        ) from error
    # SQLite itself would make an empty file.
    if parsed.get_backend_name() == "sqlite" and not Path(parsed.database or "").is_file():
        raise ForeignStudy(f"there is no file {parsed.database!r}")
    return address


def _read(address: str, study: str) -> tuple[list[StudyDirection], list[FrozenTrial]]:
    _check_is_optunas(address)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        storage = RDBStorage(address, skip_table_creation=True)
    except RuntimeError as error:
        raise ForeignStudy(
            f"the studies at {_shown(address)} are of another version of Optuna than "
            f"{optuna.__version__}: make a copy and run `optuna storage upgrade` on it"
        ) from error
    try:
        number = storage.get_study_id_from_name(study)
        return storage.get_study_directions(number), storage.get_all_trials(number)
    except KeyError as error:
        known = sorted(one.study_name for one in storage.get_all_studies())
        raise ForeignStudy(
            f"there is no study {study!r} at {_shown(address)}; there are {known[:_MOST_NAMED]}"
        ) from error
    finally:
        close_storage(storage)


def _check_is_optunas(address: str) -> None:
    try:
        engine = create_engine(address)
    except (SQLAlchemyError, ImportError) as error:
        raise ForeignStudy(f"cannot open {_shown(address)}: {error}") from error
    try:
        is_there = inspect(engine).has_table("studies")
    except SQLAlchemyError as error:
        raise ForeignStudy(f"cannot read {_shown(address)}: {error}") from error
    finally:
        engine.dispose()
    if not is_there:
        raise ForeignStudy(f"there are no studies of Optuna at {_shown(address)}")


def _shown(address: str) -> str:
    return make_url(address).render_as_string(hide_password=True)


def _check_common(study: str, names: set[str], turning: Sequence[Knob]) -> None:
    wanted = [knob.name for knob in turning]
    if not names & set(wanted):
        raise ForeignStudy(
            f"no parameter of the study {study!r} has the name of a knob of the job: it has "
            f"{sorted(names)[:_MOST_NAMED]}, the job {wanted[:_MOST_NAMED]}"
        )


def _ordered(
    trials: Sequence[FrozenTrial], directions: Sequence[StudyDirection]
) -> list[FrozenTrial]:
    """The trials with the best first; of equal rank the earlier first."""
    points = [
        tuple(
            -value if direction is StudyDirection.MAXIMIZE else value
            for value, direction in zip(trial.values or (), directions, strict=True)
        )
        for trial in trials
    ]
    ranks = pareto.ranks(points, [_violation(trial) for trial in trials])
    order = sorted(range(len(trials)), key=lambda index: (ranks[index], trials[index].number))
    return [trials[index] for index in order]


def _violation(trial: FrozenTrial) -> float:
    return max((trial.constraints or {}).values(), default=_FEASIBLE)


def _value(knob: Knob, params: Mapping[str, Any]) -> Scalar:
    if knob.name in params and isinstance(params[knob.name], bool | int | float | str):
        return _snapped(knob, params[knob.name])
    return _snapped(knob, canonical.disabled(knob.path))


def _snapped(knob: Knob, wish: Any) -> Scalar:
    """The knob's nearest value; its first if the given one is of another kind."""
    if not knob.choices and (isinstance(wish, str) or not isinstance(wish, int | float)):
        return validation.values(knob)[0]
    return grid.snap(knob, wish)


def _notes(names: set[str], turning: Sequence[Knob]) -> list[str]:
    wanted = {knob.name for knob in turning}
    dropped, missing = sorted(names - wanted), sorted(wanted - names)
    notes: list[str] = []
    if dropped:
        notes.append(f"the job has no knob for {', '.join(dropped)}")
    if missing:
        notes.append(f"the study has no parameter for {', '.join(missing)}: off, or at the default")
    return notes
