"""Several experiments side by side, each in a tree of its own, and which of them is best."""

import json
import math
import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.futures import wait
from prefect.runtime import flow_run
from prefect.states import Cancelled, Completed, Failed

from flows.engine.choices import (
    METRICS,
    Choices,
    check_sweep,
    expand_grid,
    read_search,
)
from flows.engine.folds import average_folds, differ_in_fold_alone, drop_fold
from flows.engine.names import check_free, make_name
from flows.engine.overrides import parse_value
from flows.engine.patience import AwayError
from flows.engine.tree import read_saved
from flows.orchestration.artifacts import publish_table
from flows.orchestration.refusals import in_one_line
from flows.orchestration.signs import sign
from flows.orchestration.stopping import find_stop, stoppable
from flows.pipeline import ENDED, pipeline
from flows.placing.places import check_places
from vision.base.errors import ParamsError, PipelineError
from vision.base.kept import CHECKPOINTS_KEPT, KEPT
from vision.base.params import get_value
from vision.base.scoped import setting_variables

if TYPE_CHECKING:
    from optuna import Trial

LOGARITHMIC = 10  # a range whose ends differ by this factor is searched by its logarithm


@dataclass(frozen=True)
class Experiment:
    name: str
    overrides: tuple[str, ...]  # as `dvc exp run -S` takes them
    places: tuple[str, ...] = ()  # STAGE=POOL


@dataclass(frozen=True)
class Result:
    experiment: Experiment
    score: float | None  # None: it failed
    message: str


@flow(name="sweep", validate_parameters=True)
@in_one_line
def sweep(
    grid: list[str] | None = None,
    experiments: list[list[str]] | None = None,
    search: list[str] | None = None,
    trials: int = 10,
    metric: str = "models.tuned.val_accuracy",
    name: str | None = None,
    parallel: int = 1,
    replace: bool = False,
    place: list[str] | None = None,
) -> State[Any]:
    """Run experiments, each isolated and kept as a DVC experiment, and rank them.

    Args:
        grid: `section.key=value,value,...`; every combination is run.
        experiments: lists of `section.key=value`, one list an experiment.
        search: `section.key=low..high` or `section.key=value,value`; Optuna chooses.
        trials: experiments of a search.
        metric: dotted key in reports/metrics.json; the highest is best. Never a test figure, but
            where nothing is chosen: where experiments differ in `split.fold` alone.
        name: what the experiments' names begin with; by default the flow run's name.
        parallel: experiments side by side.
        replace: let experiments take the place of those of the same names.
        place: `STAGE=POOL`, as for a run. A stage that several have in common runs there once.

    What cannot be run, or compared by the metric, is refused before the first experiment; so are
    names that are taken.
    """
    check_sweep(grid, experiments, search, trials, metric, parallel)
    check_places(place or [])
    places = tuple(place or ())
    prefix = name or make_name(str(flow_run.get_name()))
    with stoppable() as stop:
        sign()
        if search:
            check_names(prefix, trials, replace)
            results = run_search(search, trials, metric, prefix, replace, places)
        else:
            listed = [*expand_grid(grid or []), *map(tuple, experiments or [])]
            named = [
                Experiment(f"{prefix}-{i}", chosen, places) for i, chosen in enumerate(listed, 1)
            ]
            check_names(prefix, len(named), replace)
            results = run_side_by_side(named, metric, parallel, replace)
        if not stop.is_set():
            return rank(results, metric)
    return Cancelled(message=ENDED)


def rank(results: list[Result], metric: str) -> State[Any]:
    """Show the results, the best first, and return how the sweep ended."""
    results.sort(key=lambda result: math.inf if result.score is None else -result.score)
    rows = [tabulate(result, metric) for result in results]
    publish_table(rows, "leaderboard", f"Experiments by {metric}")
    failed = [result for result in results if result.score is None]
    if failed:
        names = ", ".join(result.experiment.name for result in failed)
        return Failed(message=f"{len(failed)} of {len(results)} failed: {names}")
    return Completed(message="; ".join(conclude(results)))


def conclude(results: list[Result]) -> Iterator[str]:
    """Yield which of the ranked experiments is best, and the means of those that are folds."""
    changes = [result.experiment.overrides for result in results]
    if not differ_in_fold_alone(changes):
        best = results[0]
        yield f"best of {len(results)}: {best.experiment.name}, {best.score:.4f}"
    if any(drop_fold(each) != each for each in changes):
        for folds in average_folds((r.experiment.overrides, r.score or 0.0) for r in results):
            yield folds.describe()


def check_names(prefix: str, count: int, replace: bool) -> None:
    """Refuse names that are taken before the first experiment runs."""
    for number in range(1, count + 1):
        check_free(f"{prefix}-{number}", replace=replace)


def run_side_by_side(
    experiments: list[Experiment], metric: str, parallel: int, replace: bool
) -> list[Result]:
    """Run experiments, `parallel` at a time; one that fails does not stop the others."""
    results: list[Result] = []
    with _keep_checkpoints(KEPT + parallel):
        for start in range(0, len(experiments), parallel):
            batch = experiments[start : start + parallel]
            futures = [run_experiment.submit(each, metric, parallel, replace) for each in batch]
            wait(futures)
            ended = [future.state for future in futures]
            results += map(read_result, batch, ended)
            if find_stop().is_set():
                break
    return results


def _keep_checkpoints(count: int) -> AbstractContextManager[None]:
    """Let stages keep so many checkpoints of a name: trainings side by side spare each other's."""
    return setting_variables({CHECKPOINTS_KEPT: os.environ.get(CHECKPOINTS_KEPT) or str(count)})


@task(name="experiment", task_run_name="{experiment.name}", cache_policy=NO_CACHE)
def run_experiment(experiment: Experiment, metric: str, parallel: int, replace: bool) -> State[Any]:
    """Run the pipeline with changed params in a tree of its own and read its score.

    Returns:
        How it ended, with its `Result`.
    """
    try:
        state = pipeline.with_options(flow_run_name=experiment.name)(
            set=list(experiment.overrides),
            isolated=True,
            name=experiment.name,
            jobs=1 if parallel > 1 else None,
            replace=replace,
            place=list(experiment.places),
            return_state=True,
        )
    except AwayError as error:  # the server, before it began
        return Failed(message=str(error), data=Result(experiment, None, str(error)))
    message = str(state.message)
    try:
        score = read_score(experiment.name, metric) if state.is_completed() else None
    except PipelineError as error:
        score, message = None, str(error)
    result = Result(experiment, score, message)
    if state.is_cancelled():
        return Cancelled(message=message, data=result)
    return (Completed if score is not None else Failed)(message=message, data=result)


def read_result(experiment: Experiment, state: State[Any]) -> Result:
    """Return what an experiment's task gave, or how it crashed."""
    found = getattr(state.data, "result", None)
    return found if isinstance(found, Result) else Result(experiment, None, str(state.message))


def read_score(name: str, metric: str) -> float:
    """Return a metric of a saved experiment.

    Raises:
        PipelineError: there is no such experiment, or no such metric in its report.
    """
    value = get_value(json.loads(read_saved(name, METRICS.as_posix())), metric)
    if not isinstance(value, int | float):
        raise ParamsError(f"{metric} is no figure, but {type(value).__name__}")
    return float(value)


def run_search(
    search: Sequence[str],
    trials: int,
    metric: str,
    prefix: str,
    replace: bool,
    places: tuple[str, ...] = (),
) -> list[Result]:
    """Let Optuna choose the params of one experiment after the other."""
    try:
        import optuna
    except ImportError:
        raise ParamsError("a search needs Optuna: pip install optuna") from None
    choices = read_search(search)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=0))
    results = []
    for number in range(1, trials + 1):
        trial = study.ask()
        overrides = tuple(suggest(trial, each) for each in choices)
        experiment = Experiment(f"{prefix}-{number}", overrides, places)
        state = run_experiment(experiment, metric, 1, replace, return_state=True)
        result = read_result(experiment, state)
        if result.score is None:
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
        else:
            study.tell(trial, result.score)
        results.append(result)
        if find_stop().is_set():
            break
    return results


def suggest(trial: "Trial", choices: Choices) -> str:
    """Return an override with a value that Optuna chooses."""
    key, values = choices.key, choices.values
    if not choices.is_range:
        return f"{key}={trial.suggest_categorical(key, values)}"
    low, high = map(parse_value, values)
    log = low > 0 and high / low >= LOGARITHMIC
    if isinstance(low, int) and isinstance(high, int):
        return f"{key}={trial.suggest_int(key, low, high, log=log)}"
    return f"{key}={trial.suggest_float(key, low, high, log=log):.4g}"


def tabulate(result: Result, metric: str) -> dict[str, Any]:
    return {
        "experiment": result.experiment.name,
        metric: result.score,
        "params": ", ".join(result.experiment.overrides),
        "outcome": result.message,
    }
