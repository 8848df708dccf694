"""Bodies of requests for datasets, corrections of scenes, and searches of the catalogue."""

from typing import Annotated, Any

from pydantic import Field

from app.requests.texts import Moment, Name, Reference, Text, Title, example
from ml.datasets.options import DatasetOptions
from ml.datasets.splits import MOST_SCENES, BlockSplit, SceneSplit
from ml.frozen import Frozen


class DatasetRequest(DatasetOptions):
    """Create an immutable version of scenes + labels + split."""

    model_config = example(
        {
            "name": "gx2018",
            "title": "广西甘蔗 2018",
            "scenes": ["s1", "s2", "s3"],
            "labels": ["plots"],
            "split": {"by": "scene", "train": ["s1"], "val": ["s2"], "test": ["s3"]},
        }
    )

    name: Name
    scenes: tuple[Reference, ...] = Field(min_length=1, max_length=MOST_SCENES)
    labels: tuple[Reference, ...] = Field(min_length=1, max_length=1000)
    split: Annotated[SceneSplit | BlockSplit, Field(discriminator="by")]
    title: Title | None = None


class ScenePatch(Frozen):
    """Correct the metadata of a scene. A field that is absent stays as it is."""

    model_config = example({"acquired": "2018-10-12", "sensor": "GF-2", "title": "武鸣 2018"})

    acquired: Moment | None = None
    sensor: Annotated[Text, Field(max_length=200)] | None = None
    title: Title | None = Field(None, description="null removes the title.")


class StacSearch(Frozen):
    """Search the STAC catalogue."""

    model_config = example({"collections": ["scenes"], "bbox": [107, 22, 109, 24], "datetime": "2018-10-01/.."})

    ids: tuple[Reference, ...] | None = Field(None, max_length=1000)
    collections: tuple[Reference, ...] | None = Field(None, max_length=100)
    bbox: tuple[Annotated[float, Field(strict=True)], ...] | None = Field(
        None, min_length=4, max_length=6, description="West, south, east and north in degrees."
    )
    interval: Reference | None = Field(
        None, alias="datetime", description="Time of acquisition, or start/end; .. leaves an end open."
    )
    intersects: dict[str, Any] | None = Field(None, description="A geometry of GeoJSON that items must touch.")
    limit: int = Field(100, ge=1, le=10_000, description="Largest number of items on a page, at most 1000.")
    token: str | None = Field(None, max_length=600, description="`next` of the previous page.")
