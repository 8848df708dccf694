"""`canemap demo`: the whole workflow, on synthetic scenes whose fields and areas are known."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from app.cli import output
from app.cli.work import show_metrics
from app.client import Client, Prediction

Folder = Annotated[Path, typer.Option(help="Folder for the data of the service and for the result.")]
SIZE_PX = 768
CLASSES = {"sugarcane": 1, "*": 0}
SPLITS = {"train": tuple(f"train-{number}" for number in range(1, 7)), "val": ("val-1",), "test": ("test-1",)}
UNSEEN = "unseen"
# about two minutes on two cores
CONFIG = {
    "net": {"depth": 3, "width": 12},
    "chip_size": 128,
    "batch_size": 8,
    "steps_per_epoch": 24,
    "optimizer": {"name": "adamw", "lr": 0.003, "schedule": "cosine"},
}


def demo(folder: Folder = Path("canemap-demo"), epochs: Annotated[int, typer.Option(min=1)] = 10) -> None:
    """Upload scenes and labels, train, predict, count hectares and draw a picture: about five minutes on two cores."""
    from app.cli.running import running
    from ml.synthetic import make_scene

    say("Making synthetic scenes whose fields are known ...")
    names = [name for scenes in SPLITS.values() for name in scenes] + [UNSEEN]
    made = {name: make_scene(folder / "scenes", name, seed=seed, size_px=SIZE_PX) for seed, name in enumerate(names)}
    say("Starting the service ...")
    with running("127.0.0.1", 0, folder / "data", folder / "service.log") as url, Client(url) as client:
        say(f"The service runs at {url}. Uploading {len(names)} scenes and their labels over HTTP ...")
        say("Every field of these scenes is drawn, so all other land is known to be no sugarcane: background=0.")
        for name, scene in made.items():
            client.upload_scene(scene.image)
            if name != UNSEEN:
                client.upload_labels(scene.plots, class_field="crop", classes=CLASSES, background=0)
        model = _learn(client, epochs)
        prediction = _predict(client, model)
        files = prediction.download(folder / "result")
        _show_areas(prediction, made[UNSEEN].truth_ha["sugarcane"])
        labels = folder / "result" / "truth.tif"
        _draw(made[UNSEEN].image, made[UNSEEN].plots, labels, files, folder / "result.png")
    say(f"""
The picture: {folder / "result.png"}
The maps and polygons for a GIS: {folder / "result"}

The service of the demo has ended. This starts it again, with everything that was just made:
  canemap up --data {folder / "data"}
Then, in another terminal, or with a browser at the address that it prints:
  canemap models
  canemap upload YOUR.tif && canemap predict YOUR --model cane --out result""")


def say(text: str) -> None:
    """Print a line."""
    output.show(None, False, [text])


def _learn(client: Client, epochs: int) -> str:
    """Train a model; returns its version as "name:version"."""
    scenes = [name for names in SPLITS.values() for name in names]
    dataset = client.create_dataset("demo", scenes=scenes, labels=scenes, split={"by": "scene", **SPLITS}).wait()
    share = dataset.document["statistics"]["train"]["fraction"]["sugarcane"]
    say(f"The training scenes are {share:.0%} sugarcane. Training a U-Net with cross-entropy + 0.5 * Lovász hinge ...")
    training = client.train(dataset.id, register_as="cane", config=CONFIG | {"epochs": epochs})
    with output.progress(False) as show:
        training.wait(progress=show)
    show_metrics(training)
    return "{name}:{version}".format(**training.document["model"])


def _predict(client: Client, model: str) -> Prediction:
    say("Mapping a scene that the model has not seen ...")
    prediction = client.predict(UNSEEN, model=model)
    with output.progress(False) as show:
        prediction.wait(progress=show)
    return prediction


def _show_areas(prediction: Prediction, known_ha: float) -> None:
    (row,) = prediction.areas()
    interval = row["ci95_ha"]
    output.table(
        ("sugarcane in the unseen scene", "hectares"),
        [
            ("truth", known_ha),
            ("as mapped", row["mapped_ha"]),
            ("adjusted for the errors on the test scene", row["adjusted_ha"]),
            *zip(("95 % interval: lowest", "95 % interval: highest"), interval or (None, None), strict=True),
        ],
    )
    say(meaning(known_ha, interval) if interval else f"There is no interval: {row['why']}")
    output.notes(prediction.warnings)


def meaning(known_ha: float, interval: Sequence[float]) -> str:
    """What an interval means, and whether the true hectares lie in it."""
    low, high = interval
    inside = "inside" if low <= known_ha <= high else "outside"
    return (
        f"The truth is {inside} the interval. It comes from the blocks of a single test scene: how far scenes differ "
        "from each other, it cannot tell. Where hectares must be right, survey points of the map itself."
    )


def _draw(image: Path, plots: Path, labels: Path, files: Sequence[Path], out: Path) -> None:
    from ml.figures.maps import draw_row, mask_panel, scene_panel
    from ml.labels.classes import LabelOptions
    from ml.labels.rasterise import rasterise

    rasterise([(plots, LabelOptions(class_field="crop", classes=CLASSES, background=0))], image, labels)
    classes = next(file for file in files if file.name == "classes.tif")
    panels = [scene_panel("image", image), mask_panel("truth", labels), mask_panel("map", classes)]
    draw_row(panels, out, caption="A scene that the model has not seen")


def add_to(app: typer.Typer) -> None:
    """Add the command of this module to `app`."""
    app.command()(demo)
