"""Bodies of requests for predictions, samples and surveys."""

from typing import Annotated

from pydantic import Field

from app.requests.texts import Reference, Title, example
from ml.config import PredictConfig
from ml.datasets.splits import MOST_SCENES
from ml.frozen import Frozen
from ml.sampling.design import Design
from ml.surveys.order import Rule


class PredictionRequest(Frozen):
    """Map one scene with one model."""

    model_config = example({"scene": "s3", "model": "cane@champion", "config": {"min_area_ha": 0.1}})

    scene: Reference
    model: Reference = Field(description='"cane@champion", "cane:3", or "cane" for its champion.')
    config: PredictConfig = PredictConfig()
    parts: int = Field(
        1,
        ge=1,
        le=1000,
        description="Number of jobs that the map is divided into, each with some of its rows, so that several workers "
        "share it. The pixels are the same for any number.",
    )
    title: Title | None = None


class SampleRequest(Frozen):
    """Draw a probability sample of a map, to be labelled by people."""

    model_config = example({"map": "prd_1", "design": {"kind": "stratified", "n": 400, "seed": 0}})

    map: Reference = Field(description="Id of a prediction or survey whose job has succeeded.")
    zones: Reference | None = Field(
        None, description='Id of a zone set, for strata by zone: `"strata": "class_x_zone"`.'
    )
    design: Design = Field(Design(), description="Either `n` or `target_cv` must be given.")
    title: Title | None = None


class SceneQuery(Frozen):
    """Scenes by their place and time, instead of a list."""

    bbox: tuple[Annotated[float, Field(strict=True)], ...] | None = Field(
        None, min_length=4, max_length=4, description="West, south, east and north in degrees."
    )
    interval: Reference | None = Field(
        None, alias="datetime", description="Time of acquisition, or start/end; .. leaves an end open."
    )


class SurveyOptions(Frozen):
    """How the maps of a survey are made, and put together."""

    zones: Reference | None = Field(
        None, description="Id of a zone set by which hectares are measured with the mosaic. Others can be asked later."
    )
    overlap: Rule = Field(
        "newest",
        description="Which scene a pixel comes from, of those that have observed it: newest, by `acquired`; best, the "
        "one of which the largest share was observed; priority, the first in `scenes`.",
    )
    crs: Reference | None = Field(
        None, description="CRS of the mosaic, like EPSG:32649; by default that of most scenes."
    )
    resolution_m: float | None = Field(
        None,
        gt=0,
        le=100_000,
        description="Side of a pixel of the mosaic in metres; by default its pixels continue those of the first scene "
        "in its CRS.",
    )
    config: PredictConfig = Field(
        PredictConfig(outputs=("classes",)), description="The settings of the prediction of each scene."
    )


class SurveyRequest(SurveyOptions):
    """Map many scenes with one model, as one mosaic in which each piece of ground counts once."""

    model_config = example(
        {"scenes": ["s1", "s2"], "model": "cane@champion", "zones": "counties", "overlap": "priority"}
    )

    scenes: tuple[Reference, ...] | None = Field(
        None, min_length=1, max_length=MOST_SCENES, description="Ids of scenes; or else `query`."
    )
    query: SceneQuery | None = None
    model: Reference = Field(description='"cane@champion", "cane:3", or "cane" for its champion.')
    title: Title | None = None
