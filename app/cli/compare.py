"""Commands for experiments: compare variants, draw figures, check a published table, replay a prediction."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from app.cli import options, output
from app.cli.output import AsJson
from app.cli.texts import text
from app.client import Client, Experiment, Json

Decimals = Annotated[int, typer.Option(min=0, max=15, help="Decimals to which the three are rounded.")]
DIFFERENT = 4  # the exit code of a failed job, here for a result that is not as expected


def compare(
    dataset: str,
    variant: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME:KEY=VALUE,...",
            help="A variant, like wide:net.width=32; repeat. The first is the baseline.",
        ),
    ] = None,
    lovasz: Annotated[
        str, typer.Option(help="Weights of the Lovász loss: 0,0.25,0.5,1; 0 is cross-entropy alone.")
    ] = "",
    seeds: Annotated[str, typer.Option(help="Seeds, comma-separated.")] = "0,1,2",
    config: options.Config = None,
    changes: options.Set = None,
    register_as: Annotated[str | None, typer.Option(help="Register each training as a version of this model.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the table and the figures.")] = None,
    no_wait: options.NoWait = False,
    as_json: AsJson = False,
) -> None:
    """Train each variant with each seed and compare them; by default cross-entropy with and without 0.5 * Lovász."""
    weights = options.numbers(lovasz, float, "--lovasz", "0,0.5") or ([] if variant else [0.0, 0.5])
    with Client() as client:
        experiment = client.experiment(
            dataset,
            variants=[_variant(given) for given in variant or []],
            lovasz_weights=weights,
            seeds=options.numbers(seeds, int, "--seeds", "0,1,2"),
            config=options.config(config, changes),
            register_as=register_as,
        )
        if not output.finished(experiment, no_wait, as_json):
            return
        if not as_json:
            output.show(None, False, [experiment.table("md")])
        if out is not None:
            _save(experiment, out)


def figures(
    kind: Annotated[Literal["dataset", "training", "experiment"], typer.Argument()],
    id_: Annotated[str, typer.Argument(metavar="ID")],
    out: Annotated[Path, typer.Option(help="Folder for the figures.")] = Path(),
    language: Annotated[Literal["en", "zh"], typer.Option("--lang")] = "en",
    format_: Annotated[Literal["png", "svg"], typer.Option("--format")] = "png",
    as_json: AsJson = False,
) -> None:
    """Draw the figures of a dataset, a training or an experiment."""
    with Client() as client:
        finders = {"dataset": client.dataset, "training": client.training, "experiment": client.experiment_of}
        files = [str(path) for path in finders[kind](id_).figures(out, language=language, format=format_)]
    output.show(files, as_json, files)


def check_table(accuracy: float, iou: float, kappa: float, decimals: Decimals = 4, as_json: AsJson = False) -> None:
    """Check whether one confusion matrix can have this accuracy, IoU and kappa. Exit code 4 if not."""
    from ml.evaluation.consistency import check

    if not (0 <= accuracy <= 1 and 0 <= iou <= 1 and -1 <= kappa <= 1):
        shares = " ".join(f"{value / 100:.4f}" for value in (accuracy, iou, kappa))
        raise typer.BadParameter(text("percent", shares=shares), param_hint="ACCURACY IOU KAPPA")
    verdict = check(accuracy, iou, kappa, decimals=decimals)
    output.show(verdict.model_dump(), as_json, [verdict.statement])
    if not verdict.possible:
        raise typer.Exit(DIFFERENT)


def replay(prediction: str, as_json: AsJson = False) -> None:
    """Make a prediction again and compare the two byte by byte. If they differ: exit code 4, and the causes."""
    with Client() as client:
        first = client.prediction(prediction)
        again = first.replay()
        output.wait_for(again, as_json)
        found = first.differences(again)
    same = f"{again.id} is the same as {prediction}, byte by byte"
    output.show({"replay": again.id, "differences": found}, as_json, found or [same])
    if found:
        raise typer.Exit(DIFFERENT)


def _variant(variant: str) -> Json:
    name, _, settings = variant.partition(":")
    return {"name": name, "config": options.config(None, options.names(settings), "--variant")}


def _save(experiment: Experiment, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    for f in ("json", "csv", "md"):
        (out / f"table.{f}").write_text(experiment.table(f), encoding="utf-8")
    experiment.figures(out)


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module to `app`."""
    for command in (compare, figures, replay):
        app.command()(command)
    app.command("check-table")(check_table)
