"""`canemap demo`: the main job for real, on scenes that are made on the spot with a known truth."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from app.cli import output
from app.cli.work import show_metrics
from app.client import Client, Prediction

Folder = Annotated[Path, typer.Option(help="Where the service keeps its data, and the result is put.")]
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
    """Upload, label, train, predict, count hectares and draw a picture; about five minutes on two cores."""
    from app.cli.running import running
    from ml.synthetic import make_scene

    say("Making scenes with a known truth ...")
    names = [name for part in SPLITS.values() for name in part] + [UNSEEN]
    made = {name: make_scene(folder / "scenes", name, seed=seed, size_px=SIZE_PX) for seed, name in enumerate(names)}
    say("Starting the service ...")
    with running("127.0.0.1", 0, folder / "data", folder / "service.log") as url, Client(url) as client:
        say(f"It runs on {url}. Uploading {len(names)} scenes and their labels over HTTP ...")
        for name, scene in made.items():
            client.upload_scene(scene.image)
            if name != UNSEEN:
                client.upload_labels(scene.plots, class_field="crop", classes=CLASSES)
        model = _learn(client, epochs)
        prediction = _predict(client, model)
        files = prediction.download(folder / "result")
        _tell(prediction, made[UNSEEN].truth_ha["sugarcane"])
        truth = folder / "result" / "truth.tif"
        _draw(made[UNSEEN].image, made[UNSEEN].plots, truth, files, folder / "result.png")
    say(f"""
The picture: {folder / "result.png"}
The maps and polygons for a GIS: {folder / "result"}

What to try next:
  canemap up --data {folder / "data"}      the same service, with all that was just made
  open http://127.0.0.1:8000/docs          its API
  canemap models                           what it has learnt
  canemap upload YOUR.tif && canemap predict YOUR --model cane --out result""")


def say(text: str) -> None:
    """A line for the reader."""
    output.show(None, False, [text])


def _learn(client: Client, epochs: int) -> str:
    """Train; the model's version, as a prediction names it."""
    scenes = [name for part in SPLITS.values() for name in part]
    dataset = client.create_dataset("demo", scenes=scenes, labels=scenes, split={"by": "scene", **SPLITS}).wait()
    share = dataset.document["statistics"]["train"]["fraction"]["sugarcane"]
    say(f"The training scenes are {share:.0%} sugarcane. Training a U-Net with cross-entropy + 0.5 * Lovász hinge ...")
    training = client.train(dataset.id, register_as="cane", config=CONFIG | {"epochs": epochs})
    with output.progress(False) as show:
        training.wait(progress=show)
    show_metrics(training)
    return "{name}:{version}".format(**training.document["model"])


def _predict(client: Client, model: str) -> Prediction:
    say("Mapping a scene that it has not seen ...")
    prediction = client.predict(UNSEEN, model=model)
    with output.progress(False) as show:
        prediction.wait(progress=show)
    return prediction


def _tell(prediction: Prediction, truth_ha: float) -> None:
    (row,) = prediction.areas()
    low, high = row["ci95_ha"]
    output.table(
        ("sugarcane in the unseen scene", "hectares"),
        [
            ("truth", truth_ha),
            ("as mapped", row["mapped_ha"]),
            ("adjusted for the errors on the test scene", row["adjusted_ha"]),
            ("95 % interval", f"{low:.4f} - {high:.4f}"),
        ],
    )


def _draw(image: Path, plots: Path, truth: Path, files: Sequence[Path], out: Path) -> None:
    from ml.figures.maps import draw_row, mask_panel, scene_panel
    from ml.labels.classes import LabelOptions
    from ml.labels.rasterise import rasterise

    rasterise([(plots, LabelOptions(class_field="crop", classes=CLASSES))], image, truth)
    classes = next(file for file in files if file.name == "classes.tif")
    panels = [scene_panel("image", image), mask_panel("truth", truth), mask_panel("map", classes)]
    draw_row(panels, out, caption="A scene that the model has not seen")


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(demo)
