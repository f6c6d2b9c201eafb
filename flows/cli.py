"""The `pipeline` command."""

import io
import json
import logging
import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn

import typer

from flows.commands.printing import Form
from flows.engine.project import (
    describe_error,
    enter_project,
    give_name,
    place,
    place_model,
    place_sources,
    visiting_project,
)
from vision.base.errors import PipelineError

if TYPE_CHECKING:
    from prefect.client.schemas.objects import State

# Before prefect is imported: a server that is away for a while should not end a run, and one that
# lives as long as a run should not report to its makers.
os.environ.setdefault("PREFECT_CLIENT_MAX_RETRIES", "7")  # for four minutes, as they double
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")

INTERRUPTED = 130  # 128 + SIGINT, as shells report it

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

Targets = Annotated[list[str] | None, typer.Argument(help="Stages; none means all.")]
Changes = Annotated[
    list[str] | None,
    typer.Option("--set", "-S", help="section.key=value; your params.yaml stays as it is."),
]
TakeOver = Annotated[bool, typer.Option(help="Replace deployments of another folder, too.")]
Force = Annotated[bool, typer.Option(help="Run stages that are current, too.")]
Places = Annotated[
    list[str] | None,
    typer.Option("--place", help="STAGE=POOL: the work pool a stage runs in; or STAGE=home."),
]
Replace = Annotated[bool, typer.Option("--replace", help="Replace an experiment of that name.")]


@app.command()
def plan(
    targets: Targets = None,
    set: Changes = None,
    force: Force = False,
    place: Places = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say what a run would do, why, and how long it should take."""
    start = enter_project()
    from flows.commands.planning import print_plan, tabulate_plan
    from flows.engine.overrides import SOURCE, parse_overrides
    from flows.engine.plan import make_plan
    from flows.placing.places import check_places, place_stages

    overrides = parse_overrides(place_sources(set or [], start, SOURCE))
    places = check_places(place or [])
    stages = make_plan(Path(), targets or (), force, overrides)
    pools = place_stages(stages, places)
    if as_json:
        print(json.dumps(tabulate_plan(stages, pools), indent=2))
    else:
        print_plan(stages, pools, overrides)


@app.command()
def run(
    targets: Targets = None,
    set: Changes = None,
    force: Force = False,
    isolated: Annotated[
        bool, typer.Option(help="Run in a git worktree; keep the result as an experiment.")
    ] = False,
    name: Annotated[str | None, typer.Option(help="Name of the experiment.")] = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="Stages side by side.")] = None,
    pull: Annotated[bool, typer.Option(help="First fetch from the DVC remote.")] = False,
    push: Annotated[bool, typer.Option(help="Afterwards send to the DVC remote.")] = False,
    publish: Annotated[str | None, typer.Option(help="Commit the report to this branch.")] = None,
    replace: Replace = False,
    place: Places = None,
) -> None:
    """Bring the pipeline up to date, as a Prefect flow."""
    start = enter_project()
    from flows.engine.checks import check_run
    from flows.engine.names import check_free
    from flows.engine.overrides import SOURCE, parse_overrides
    from flows.placing.places import check_places

    set = place_sources(set or [], start, SOURCE)
    check_run(Path(), targets or (), parse_overrides(set), jobs)  # before Prefect starts
    check_places(place or [])
    if isolated or set or publish:
        check_free(name, publish, replace=replace)
    _prepare_prefect()
    if not (set or force or isolated or name or pull or push or publish):
        from flows.engine.current import say_current

        if said := say_current(targets or ()):
            print(said)
            return
    from flows.orchestration.reach import reach_server
    from flows.pipeline import pipeline

    with reach_server():
        state = pipeline(
            targets=targets,
            set=set,
            force=force,
            isolated=isolated,
            name=name,
            jobs=jobs,
            pull=pull,
            push=push,
            publish=publish,
            replace=replace,
            place=place,
            return_state=True,
        )
    _end(state)


@app.command()
def sweep(
    grid: Annotated[
        list[str] | None, typer.Option("--grid", "-g", help="section.key=value,value")
    ] = None,
    search: Annotated[
        list[str] | None, typer.Option("--search", help="section.key=low..high; Optuna chooses.")
    ] = None,
    trials: Annotated[int, typer.Option(min=1, help="Experiments of a search.")] = 10,
    metric: Annotated[str, typer.Option(help="Key in reports/metrics.json; highest is best.")] = (
        "models.tuned.val_accuracy"
    ),
    name: Annotated[str | None, typer.Option(help="What experiments' names begin with.")] = None,
    parallel: Annotated[int, typer.Option(min=1, help="Experiments side by side.")] = 1,
    replace: Replace = False,
    place: Places = None,
) -> None:
    """Run several experiments, each in a tree of its own, and rank them."""
    start = enter_project()
    from flows.engine.choices import check_sweep
    from flows.engine.names import check_free
    from flows.engine.overrides import SOURCE
    from flows.placing.places import check_places

    grid, search = (place_sources(texts or [], start, SOURCE) for texts in (grid, search))
    check_sweep(grid, None, search, trials, metric, parallel)  # before Prefect starts
    check_places(place or [])
    check_free(name and f"{name}-1", replace=replace)
    _prepare_prefect()
    from flows.orchestration.reach import reach_server
    from flows.sweep import sweep as flow

    with reach_server():
        state = flow(
            grid=grid,
            search=search,
            trials=trials,
            metric=metric,
            name=name,
            parallel=parallel,
            replace=replace,
            place=place,
            return_state=True,
        )
    _end(state)


@app.command()
def deploy(
    names: Annotated[
        list[str] | None, typer.Argument(help="Of prefect.yaml; none: all but kubernetes.")
    ] = None,
    take_over: TakeOver = False,
    notify: Annotated[
        str | None, typer.Option(help="URL of a webhook that is told of failed or late nights.")
    ] = None,
    pool: Annotated[
        list[str] | None, typer.Option(help="Only this work pool, for stages that it is to run.")
    ] = None,
    gpus: Annotated[
        int | None, typer.Option(min=1, help="GPUs of each machine, dealt out to its stages.")
    ] = None,
) -> None:
    """Set up pools and the GPU limit on the Prefect server; register the deployments."""
    enter_project()
    _prepare_prefect()
    from flows.orchestration.deployments import deploy as register
    from flows.orchestration.reach import reach_server
    from flows.placing.pools import register_pools

    with reach_server():
        if names or not pool:
            register(names or [], take_over, notify)
        register_pools(pool or [], gpus)


@app.command()
def work(
    pool: Annotated[str, typer.Argument(help="A work pool of the Prefect server.")],
    limit: Annotated[int | None, typer.Option(min=1, help="Stages side by side.")] = None,
) -> None:
    """Run the stages that others place in a pool, in this clone; Ctrl-C ends it."""
    enter_project()
    _prepare_prefect()
    from flows.orchestration.reach import reach_server
    from flows.placing.working import work as serve_pool

    with reach_server():
        raise typer.Exit(serve_pool(pool, limit))


@app.command()
def serve(
    port: Annotated[int, typer.Option(help="Of the server.")] = 4200,
    take_over: TakeOver = False,
) -> None:
    """Start a server, a pool and a worker on this machine, for a try-out; Ctrl-C ends them."""
    enter_project()
    _prepare_prefect()
    from flows.orchestration.serving import serve as start

    start(port, take_over)


@app.command()
def doctor(
    fix: Annotated[bool, typer.Option("--fix", help="Mend what can be mended.")] = False,
    verify_cache: Annotated[
        bool, typer.Option("--verify-cache", help="Hash all that DVC has cached again.")
    ] = False,
    repair: Annotated[
        bool, typer.Option("--repair", help="With --verify-cache: drop what is damaged.")
    ] = False,
) -> None:
    """Look for what would stop a run."""
    enter_project()
    _prepare_prefect()
    from flows.upkeep.doctor import examine

    raise typer.Exit(examine(fix, verify_cache, repair))


@app.command()
def compare(
    before: Annotated[str, typer.Argument(help="A commit, an experiment, or workspace.")],
    after: Annotated[str, typer.Argument(help="The same.")] = "workspace",
    out: Annotated[Path, typer.Option(help="A folder for the report.")] = Path("comparison"),
    fail_if_worse: Annotated[
        bool, typer.Option("--fail-if-worse", help="End with 3 if a model is significantly worse.")
    ] = False,
) -> None:
    """Write a report of what differs between two runs, and whether it is significant."""
    start = enter_project()
    from flows.commands.compare import compare as write

    folder = Path(place(str(out), start))
    raise typer.Exit(write(before, after, folder, fail_if_worse=fail_if_worse))


@app.command()
def predict(
    model: Annotated[str, typer.Argument(help="A recipe's name, or a .safetensors file.")],
    images: Annotated[list[str], typer.Argument(help="Files, folders or globs.")],
    top: Annotated[int, typer.Option(min=1, help="Classes to name for each image.")] = 3,
    form: Annotated[Form, typer.Option("--format", help="How to print them.")] = Form.TABLE,
) -> None:
    """Classify images with a trained model; its confidence is calibrated on validation.

    Ends with 0 if every file was read, 3 if some could not be, 1 if none could.
    """
    from flows.commands.printing import print_predictions
    from vision.serving.prediction import Predictor, find_model, list_files

    with visiting_project() as start:
        predictor = Predictor(find_model(place_model(model, start)))
    if not predictor.calibration.is_calibrated:
        print(f"confidence is not calibrated: {predictor.calibration.words}", file=sys.stderr)
    predictions = predictor.predict(list_files(images), top)
    raise typer.Exit(print_predictions(predictions, form))


@app.command()
def export(
    model: Annotated[str, typer.Argument(help="A recipe's name, or a .safetensors file.")],
    form: Annotated[Literal["onnx"], typer.Option("--format")] = "onnx",
    out: Annotated[Path | None, typer.Option(help="Default: exports/MODEL.onnx")] = None,
) -> None:
    """Write a trained model for other programs, and prove that it agrees with PyTorch."""
    from vision.serving.export import export_onnx
    from vision.serving.prediction import find_model

    with visiting_project() as start:
        source = find_model(place_model(model, start))
        typed = place(str(out), start) if out else f"exports/{Path(model).stem}.{form}"
        target = Path(typed)
        facts = export_onnx(source, target)
    print(
        f"{target}: outputs within {facts['largest_difference']:.1g} of PyTorch's on "
        f"{facts['checked_images']} random images; {target.with_suffix('.json')} describes it, "
        f"{target.with_suffix('.example.py')} uses it; {facts['calibration']}"
    )


@app.command()
def demo() -> None:
    """Run everything on scikit-learn's digits, in a tree of its own."""
    enter_project()
    from flows.commands import demo as module

    raise typer.Exit(module.main())


def _prepare_prefect() -> None:
    from flows.engine.prefect_home import prepare_prefect

    prepare_prefect()


def _end(state: "State[Any]") -> None:
    """End with 0, with 1 for a failure, or with 130 where someone has cancelled the run."""
    _leave(0 if state.is_completed() else INTERRUPTED if state.is_cancelled() else 1)


def _leave(status: int) -> NoReturn:
    """End at once, also where Prefect holds back what its server, which is away, has not got."""
    reach = sys.modules.get("flows.orchestration.reach")  # none is held where it is not imported
    if reach and not reach.hand_over():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)


def main() -> None:
    """Run the command line; say an error of ours in one line, and Ctrl-C by status 130."""
    told: list[int] = []

    def interrupt(number: int, frame: FrameType | None) -> None:
        told.append(number)
        print("interrupted: ending what runs", file=sys.stderr)
        logging.disable()  # every task would log that it was cancelled, with a traceback
        signal.default_int_handler(number, frame)

    for stream in (sys.stdout, sys.stderr):  # a name may have what the terminal cannot show
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    give_name()
    signal.signal(signal.SIGINT, interrupt)
    try:
        app()
    except (PipelineError, OSError) as error:
        if isinstance(error, OSError) and error.filename is None:  # a fault of ours
            raise
        for line in describe_error(error).splitlines():
            print(f"error: {line}", file=sys.stderr)
        _leave(1)
    except SystemExit:
        if told:  # typer has said so, and would end with status 1
            sys.exit(INTERRUPTED)
        raise


if __name__ == "__main__":
    main()
