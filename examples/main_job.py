"""Uploads scenes and labels, trains, maps, and prints hectares, from Python.

    python examples/main_job.py FOLDER [CONFIG]

FOLDER holds train.tif, val.tif and new.tif (scenes), and plots.geojson: the surveyed plots of the first two, whose
attribute `crop` says what grows there; land that no plot covers is unlabelled. CONFIG is JSON, for instance
{"epochs": 20, "net": {"depth": 4, "width": 16}}.
CANEMAP_URL names the service. app/client.py is one file that needs only httpx2 or httpx: copy it beside your scripts.
"""

import json
import sys
from pathlib import Path

from app.client import CanemapError, Client


def main(folder: Path, config: str = "{}") -> None:
    """Do all steps with the files in `folder`, and print the hectares."""
    with Client() as client:
        for scene in ("train", "val", "new"):
            client.upload_scene(folder / f"{scene}.tif")
        client.upload_labels(folder / "plots.geojson", class_field="crop", classes={"sugarcane": 1, "*": 0})
        dataset = client.create_dataset(
            "plots", scenes=["train", "val"], labels=["plots"], train=["train"], val=["val"]
        ).wait()
        training = client.train(dataset.id, register_as="cane", config=json.loads(config)).wait(progress=True)
        print("validation IoU:", training.model["metrics"]["val"]["iou"])
        prediction = client.predict("new", model=training.reference).wait(progress=True)
        prediction.download(folder / "result")
        for row in prediction.areas():
            print("sugarcane:", row["mapped_ha"], "ha of", row["observed_ha"], "ha;", row["ci95_ha"] or row["why"])
        for warning in prediction.warnings:
            print(warning["detail"], warning["hint"])


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), *sys.argv[2:])
    except CanemapError as error:  # it lists every fault and how to correct it
        sys.exit(str(error))
