"""An experiment, its figures and a replay, through the Python client of the product; each test on one stack."""

import csv
import io
import os
import signal
from pathlib import Path
from xml.etree import ElementTree

import pytest

from app.client import CanemapError, Client, JobDismissed
from tests.e2e.conftest import TINY, Stack
from tests.waiting import eventually

QUICK = TINY | {"net": {"depth": 1, "width": 4}, "epochs": 2, "review_labels": False}
on_postgresql = pytest.mark.parametrize("stack", ["postgresql+redis+s3"], indirect=True)
embedded = pytest.mark.parametrize("stack", ["embedded"], indirect=True)


@on_postgresql
def test_an_experiment_survives_a_dead_worker_and_ends_with_table_intervals_and_figures(
    stack: Stack, client: Client, dataset: str, tmp_path: Path
) -> None:
    before = list(client.models())
    experiment = client.experiment(dataset, lovasz_weights=[0, 0.5, 1], seeds=[0], config=QUICK | {"epochs": 1})
    assert [run["variant"] for run in experiment.document["runs"][:3]] == ["ce", "ce+0.5*lovasz", "ce+1*lovasz"]
    eventually(lambda: client.job(experiment.id)["done"] >= 1)
    assert client.job(experiment.id)["status"] == "running"
    done = {run["training"]: run["metrics"] for run in experiment.refresh().document["runs"] if run["metrics"]}
    os.kill(stack.worker("training"), signal.SIGKILL)
    experiment.wait(timeout_s=180)
    document = experiment.document
    assert {run["status"] for run in document["runs"]} == {"successful"}
    assert {run["training"]: run["metrics"] for run in document["runs"] if run["training"] in done} == done
    assert [(row["variant"], row["split"], row["runs"]) for row in document["table"]] == [
        ("ce", "test", 1),
        ("ce+0.5*lovasz", "test", 1),
        ("ce+1*lovasz", "test", 1),
    ]
    assert {(row["a"], row["b"]) for row in document["differences"]} == {
        ("ce+0.5*lovasz", "ce"),
        ("ce+1*lovasz", "ce"),
    }
    for row in document["differences"]:
        assert row["ci95"] is None, "one seed gives no interval"
    assert "there must be 3 at least" in " ".join(document["notes"])
    assert list(client.models()) == before, "trainings are not registered unless the request says so"
    check_texts(document["table"], experiment.table("csv"), experiment.table("md"))
    drawn = {path.stem for path in experiment.figures(tmp_path)}
    assert drawn == {"table", "loss", "validation", "panels", "differences", "sweep"}


def check_texts(table: list[dict[str, object]], text: str, markdown: str) -> None:
    rows = list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"))))
    assert [row["variant"] for row in rows] == [row["variant"] for row in table]
    assert float(rows[0]["iou_mean"]) == pytest.approx(table[0]["iou"]["mean"])  # type: ignore[index]
    assert r"| ce+0.5\*lovasz |" in markdown


@embedded
def test_figures_of_a_dataset_and_a_training_in_two_languages(
    stack: Stack, client: Client, dataset: str, tmp_path: Path
) -> None:
    made = client.dataset(dataset)
    assert {path.stem for path in made.figures(tmp_path / "dataset")} == {"samples", "balance"}
    training = client.train(dataset, register_as="drawn", config=QUICK)
    with pytest.raises(CanemapError, match="has not succeeded"):
        training.figures(tmp_path)
    training.wait(timeout_s=120)
    names = {"loss", "validation", "panels", "augmentation", "unet", "hinge", "balance", "reliability"}
    files = training.figures(tmp_path / "zh", language="zh", format="svg")
    assert {path.stem for path in files} == names
    for path in files:
        assert ElementTree.parse(path).getroot().tag.endswith("svg")
    for path in training.figures(tmp_path / "en"):
        assert path.read_bytes().startswith(b"\x89PNG")

    version = training.model
    assert version["report"]["balance"]["after"]["sugarcane"] > version["report"]["balance"]["before"]["sugarcane"]
    assert version["dataset_sha256"] == made.document["sha256"]
    assert version["software"]["code"]
    assert version["metrics"]["test"]["boundary_iou"] is not None
    assert set(version["details"]["test"]["scenes"]) == {"test"}
    confused = version["details"]["test"]["false_positives"]
    assert set(confused) <= set(made.document["references"])

    first = client.predict("unseen", model="drawn").wait(timeout_s=120)
    again = first.replay().wait(timeout_s=120)
    assert again.id != first.id
    assert first.differences(again) == [], "the files are the same, byte by byte"
    low, high = (client.predict("unseen", model="drawn", config={"threshold": t}) for t in (0.001, 0.999))
    assert "classes.tif differs" in low.wait(timeout_s=120).differences(high.wait(timeout_s=120))


@on_postgresql
def test_dismissing_an_experiment_stops_all_its_trainings(client: Client, dataset: str) -> None:
    experiment = client.experiment(dataset, lovasz_weights=[0, 0.5], seeds=[0], config=QUICK | {"epochs": 10_000})
    eventually(lambda: client.job(experiment.document["runs"][0]["training"])["done"] > 0)
    experiment.dismiss()
    with pytest.raises(JobDismissed):
        experiment.wait(timeout_s=120)
    trainings = [run["training"] for run in experiment.document["runs"]]
    eventually(lambda: all(client.job(id_)["status"] == "dismissed" for id_ in trainings), seconds=120)


@embedded
def test_every_fault_of_an_experiment_is_named(client: Client, dataset: str) -> None:
    variants = [{"name": "a", "config": {"epochs": 0}}, {"name": "b", "config": {"loss": {"lovasz_softmax": 1}}}]
    with pytest.raises(CanemapError) as refused:
        client.experiment(dataset, variants=variants, seeds=[0, 0])
    assert [error["pointer"] for error in refused.value.errors] == ["/seeds", "/variants/0/config/epochs"]
    with pytest.raises(CanemapError, match="lovasz_softmax is not a loss for 2 classes"):
        client.experiment(dataset, variants=variants[1:])
    with pytest.raises(CanemapError, match="no dataset"):
        client.experiment("nothing", lovasz_weights=[0])
