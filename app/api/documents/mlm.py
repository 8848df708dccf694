"""Model versions as STAC Items of the extension MLM (machine learning models)."""

import re
from datetime import datetime
from typing import Any, Literal

import shapely
from pydantic import Field
from shapely.geometry import mapping
from shapely.geometry.base import BaseGeometry

from app import tables
from app.api.documents.base import Document, Link, Omitted, checksum, link
from app.api.documents.stac import FILE, Geometry, item_links
from app.api.documents.stac_assets import LegendEntry, legend
from app.learning.training_ground import version_id
from ml.contract import Contract

MLM = "https://stac-extensions.github.io/mlm/v1.5.2/schema.json"
_SEMVER = re.compile(r"\d+\.\d+\.\d+(\+[0-9A-Za-z.-]+)?")
Task = Literal["semantic-segmentation"]
_BUNDLE_TYPE, _BUNDLE_ARTIFACT = "application/octet-stream", "safetensors.torch.save_file"


class BandName(Document):
    """A band that a model needs."""

    name: str


class Array(Document):
    """The shape of what goes into a model or comes out of it. A length of -1 is any length."""

    shape: tuple[int, ...]
    dim_order: tuple[str, ...]
    data_type: str


class ZScore(Document):
    """How a band is scaled before it enters the net."""

    type: Literal["z-score"] = "z-score"
    mean: float
    stddev: float


class ModelInput(Document):
    """What goes into a model."""

    name: str = "scene"
    bands: tuple[str, ...]
    input: Array
    scaling: tuple[ZScore, ...] = Field(alias="value_scaling")
    description: str


class ModelOutput(Document):
    """What comes out of a model."""

    name: str = "logits"
    tasks: tuple[Task, ...] = ("semantic-segmentation",)
    result: Array
    description: str
    classes: tuple[LegendEntry, ...] = Field(alias="classification:classes")


class ModelProperties(Document):
    """The properties of a model version. `datetime` is the time of its registration."""

    created: datetime = Field(alias="datetime")
    name: str = Field(alias="mlm:name")
    architecture: Literal["U-Net"] = Field("U-Net", alias="mlm:architecture")
    tasks: tuple[Task, ...] = Field(("semantic-segmentation",), alias="mlm:tasks")
    framework: Literal["PyTorch"] = Field("PyTorch", alias="mlm:framework")
    framework_version: Omitted[str] = Field(None, alias="mlm:framework_version")
    input: tuple[ModelInput, ...] = Field(alias="mlm:input")
    output: tuple[ModelOutput, ...] = Field(alias="mlm:output")
    hyperparameters: dict[str, Any] = Field(alias="mlm:hyperparameters")
    gsd: float
    bands: tuple[BandName, ...]


class ModelAsset(Document):
    """A file of a model."""

    href: str
    type: str = Field(description="Media type.")
    title: str
    roles: tuple[str, ...]
    artifact_type: str = Field(alias="mlm:artifact_type")
    bands: tuple[BandName, ...]
    checksum: Omitted[str] = Field(None, alias="file:checksum")
    size: Omitted[int] = Field(None, alias="file:size")


class ModelItem(Document):
    """A model version as a STAC Item. Its geometry is the ground of its training; null if that is unknown."""

    type: Literal["Feature"] = "Feature"
    stac_version: Literal["1.1.0"] = "1.1.0"
    stac_extensions: tuple[str, ...] = (MLM, FILE)
    id: str
    collection: Literal["models"] = "models"
    geometry: Geometry | None
    bbox: Omitted[tuple[float, float, float, float]] = None
    properties: ModelProperties
    assets: dict[str, ModelAsset]
    links: tuple[Link, ...]

    @classmethod
    def of(cls, row: tables.ModelVersion, ground: BaseGeometry | None, address: str) -> "ModelItem":
        """The document of the version in `row`. ground: of its training, in degrees. address: of the service."""
        id_, version = version_id(row), f"{address}/v1/models/{row.name}/versions/{row.version}"
        own = f"{address}/v1/stac/collections/models/items/{id_}"
        return cls(
            id=id_,
            geometry=ground and mapping(shapely.orient_polygons(ground)),
            bbox=ground and ground.bounds,
            properties=_properties(row),
            assets={"bundle": _bundle(row, version)} | _onnx(row.contract, version),
            links=(*item_links(address, "models", own), link(version, "alternate")),
        )


def _properties(row: tables.ModelVersion) -> ModelProperties:
    torch = row.versions.get("torch", "")
    return ModelProperties(
        created=row.created,
        name=f"{'' if row.name[0].isalpha() else 'model '}{row.name} {row.version}",  # it must begin with a letter
        framework_version=torch if _SEMVER.fullmatch(torch) else None,
        input=(_input(row.contract),),
        output=(_output(row),),
        hyperparameters=row.config.model_dump(mode="json"),
        gsd=row.contract.gsd,
        bands=_bands(row.contract),
    )


def _input(contract: Contract) -> ModelInput:
    shape, order = (-1, len(contract.bands), -1, -1), ("batch", "bands", "height", "width")
    prepared = "It is homogenised first. " if contract.homogenise else ""
    if any(band.low is not None for band in contract.statistics):
        prepared += "Each band is clipped to `low` and `high` of the contract. "
    return ModelInput(
        bands=contract.bands,
        input=Array(shape=shape, dim_order=order, data_type=contract.dtype),
        scaling=tuple(ZScore(mean=band.mean, stddev=band.std) for band in contract.statistics),
        description=f"A scene in physical units. {prepared}Pixels without data are 0 after scaling.",
    )


def _output(row: tables.ModelVersion) -> ModelOutput:
    contract = row.contract
    logits = 1 if len(contract.classes) == 2 else len(contract.classes)
    what = "The logit of class 1" if logits == 1 else "A logit for each class"
    return ModelOutput(
        result=Array(shape=(-1, logits, -1, -1), dim_order=("batch", "class", "height", "width"), data_type="float32"),
        description=f"{what}, at each pixel.{_calibrated(row)}",
        classes=legend(contract.classes),
    )


def _calibrated(row: tables.ModelVersion) -> str:
    found = row.report.calibration if row.report else None
    return f" Divided by {found.temperature:g}, it gives calibrated probabilities." if found else ""


def _bands(contract: Contract) -> tuple[BandName, ...]:
    return tuple(BandName(name=name) for name in contract.bands)


def _bundle(row: tables.ModelVersion, version: str) -> ModelAsset:
    return ModelAsset(
        href=f"{version}/bundle",
        type=_BUNDLE_TYPE,
        title="Weights, config and input contract",
        roles=("mlm:model", "mlm:weights"),
        artifact_type=_BUNDLE_ARTIFACT,
        bands=_bands(row.contract),
        checksum=checksum(row.sha256),
        size=row.size_bytes,
    )


def _onnx(contract: Contract, version: str) -> dict[str, ModelAsset]:
    """The asset `onnx`, if the model can be exported."""
    if contract.homogenise is not None:
        return {}
    asset = ModelAsset(
        href=f"{version}/onnx",
        type=_BUNDLE_TYPE,
        title="ONNX: from the numbers of a file to probabilities",
        roles=("mlm:model", "mlm:inference-runtime"),
        artifact_type="onnx",
        bands=_bands(contract),
    )
    return {"onnx": asset}
