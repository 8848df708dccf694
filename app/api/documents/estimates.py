"""The documents of what is estimated from the answers to a sample."""

from collections.abc import Iterator, Sequence
from typing import Literal

from pydantic import Field

from app.api.documents.base import Document
from app.api.documents.stac import Geometry
from app.mapping.changes import SOURCES as SOURCES_OF_CHANGE
from app.mapping.changes import Change
from app.mapping.estimates import Estimated
from app.mapping.predictions import MU_PER_HA
from app.mapping.sample_zones import ZoneEstimate
from ml.estimation.rows import SOURCES, AreaRow
from ml.estimation.values import Estimate
from ml.faults import Note
from ml.sampling.design import Frame


class EstimateRow(Document):
    """The estimated area of one class. `zone` and `name` are null in the rows for the whole map."""

    zone: str | None = Field(None, description="Code of the zone.")
    name: str | None = None
    class_name: str = Field(alias="class")
    mapped_ha: float = Field(description="Hectares of the class, as counted on the map.")
    mapped_mu: float = Field(description="`mapped_ha` in mu; a hectare has 15 mu.")
    estimated_ha: float | None = Field(
        description="Hectares of the class, estimated from the answers; null for the reason in `why`."
    )
    estimated_mu: float | None
    se_ha: float | None = Field(description="Standard error of `estimated_ha`.")
    ci95_ha: tuple[float, float] | None = Field(description="95 % confidence interval of `estimated_ha`: low, high.")
    cv: float | None = Field(description="Coefficient of variation: `se_ha` / `estimated_ha`.")
    n: int = Field(description="Number of points with a class.")
    method: str = Field(description="Name of the estimator; `methods` has its source.")
    why: str | None = None
    too_few: bool = Field(
        False,
        description="Whether the zone has fewer points than an estimate of its own needs: `method` is then composite "
        "or synthetic.",
    )
    benchmarked_ha: float | None = Field(
        None,
        description="`estimated_ha` of a zone, scaled so that the zones that are parts of the same add up to the whole "
        "map, class by class; null for the whole map, where zones overlap, and where one has no estimate.",
    )

    @classmethod
    def of(cls, row: AreaRow, frame: Frame, of_zone: ZoneEstimate | None = None) -> "EstimateRow":
        """The row for the area of one class. frame: Of the sample. of_zone: If it is that of a zone."""
        item, area = frame.classes[row.class_index], row.area
        mapped = of_zone.mapped_ha if of_zone else frame.class_area_ha[item.value]
        return cls(
            zone=of_zone and of_zone.zone.code,
            name=of_zone and of_zone.zone.name,
            too_few=row.too_few,
            benchmarked_ha=of_zone and of_zone.benchmarked_ha,
            class_name=item.name,
            mapped_ha=mapped,
            mapped_mu=MU_PER_HA * mapped,
            estimated_ha=area.value,
            estimated_mu=None if area.value is None else MU_PER_HA * area.value,
            se_ha=area.se,
            ci95_ha=area.ci95,
            cv=area.cv,
            n=row.points,
            method=row.method,
            why=area.why,
        )


class Accuracy(Document):
    """An estimated share, with its standard error and 95 % interval; all are null for the reason in `why`."""

    value: float | None
    se: float | None
    ci95: tuple[float, float] | None
    why: str | None

    @classmethod
    def of(cls, found: Estimate) -> "Accuracy":
        """The document of an estimate."""
        return cls(value=found.value, se=found.se, ci95=found.ci95, why=found.why)


class ClassAccuracy(Document):
    """The accuracies of one class of the map."""

    class_name: str = Field(alias="class")
    users: Accuracy = Field(description="User's accuracy: share of what is mapped as the class that truly is of it.")
    producers: Accuracy = Field(description="Producer's accuracy: share of the true class that is mapped as it.")


class ErrorMatrix(Document):
    """Rows are classes of the map, columns true classes."""

    classes: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...] = Field(description="Numbers of points.")
    shares: tuple[tuple[float, ...], ...] | None = Field(
        description="Estimated shares of the area; null if a stratum has too few points."
    )


class Estimates(Document):
    """What the answers to a sample tell: areas, accuracies and the error matrix.

    `methods` has the source of each estimator by its name.
    """

    sample: str
    labeller: str | None
    zones: str | None = Field(None, description="Id of the zone set by whose zones areas were estimated, too.")
    items: tuple[EstimateRow, ...]
    overall: Accuracy
    accuracies: tuple[ClassAccuracy, ...]
    matrix: ErrorMatrix
    methods: dict[str, str]
    points: int
    answered: int
    unusable: int
    left: int
    notes: tuple[Note, ...]

    @classmethod
    def of(cls, sample: str, labeller: str | None, made: Estimated, zones: str | None = None) -> "Estimates":
        """The document of what was estimated.

        sample: id. labeller: whose answers counted, if only theirs did. zones: id of the zone set, if there is one.
        """
        frame, found = made.drawn.frame, made.found
        names = tuple(item.name for item in frame.classes)
        return cls(
            sample=sample,
            labeller=labeller,
            zones=zones,
            items=(
                *(EstimateRow.of(row, frame) for row in found.rows),
                *(EstimateRow.of(each.row, frame, each) for each in made.by_zone),
            ),
            overall=Accuracy.of(found.overall),
            accuracies=tuple(_accuracies(names, found.users, found.producers)),
            matrix=ErrorMatrix(
                classes=names,
                counts=found.counts.tolist(),
                shares=None if found.shares is None else found.shares.tolist(),
            ),
            methods={row.method: SOURCES[row.method] for row in (*found.rows, *(each.row for each in made.by_zone))},
            points=made.answered + made.unusable + made.left,
            answered=made.answered,
            unusable=made.unusable,
            left=made.left,
            notes=made.notes,
        )


def _accuracies(
    names: Sequence[str], users: Sequence[Estimate], producers: Sequence[Estimate]
) -> Iterator[ClassAccuracy]:
    for name, user, producer in zip(names, users, producers, strict=True):
        yield ClassAccuracy(class_name=name, users=Accuracy.of(user), producers=Accuracy.of(producer))


class EstimateFeature(Document):
    """The estimated area of one class as a GeoJSON feature, whose geometry is the footprint of the scene."""

    type: Literal["Feature"] = "Feature"
    geometry: Geometry
    properties: EstimateRow


class EstimateFeatures(Document):
    """The estimated areas as a GeoJSON FeatureCollection."""

    type: Literal["FeatureCollection"] = "FeatureCollection"
    features: tuple[EstimateFeature, ...]


class ChangeEstimate(Document):
    """The change of the area of one class. Hectares of both seasons are estimates, each with its standard error."""

    class_name: str = Field(alias="class")
    earlier_ha: float | None
    earlier_se_ha: float | None
    later_ha: float | None
    later_se_ha: float | None
    change_ha: float | None = Field(description="Hectares of the later season less those of the earlier one.")
    se_ha: float | None = Field(description="Standard error of `change_ha`.")
    ci95_ha: tuple[float, float] | None = Field(description="95 % confidence interval of `change_ha`: low, high.")
    earlier_n: int
    later_n: int
    method: str
    why: str | None

    @classmethod
    def of(cls, found: Change) -> "ChangeEstimate":
        """The row of one class."""
        return cls(
            class_name=found.class_name,
            earlier_ha=found.earlier.value,
            earlier_se_ha=found.earlier.se,
            later_ha=found.later.value,
            later_se_ha=found.later.se,
            change_ha=found.change.value,
            se_ha=found.change.se,
            ci95_ha=found.change.ci95,
            earlier_n=found.n[0],
            later_n=found.n[1],
            method=found.method,
            why=found.change.why,
        )


class Changes(Document):
    """The change of areas between two seasons. `methods` has the source of each estimator by its name."""

    earlier: str = Field(description="Id of the sample of the earlier season.")
    later: str = Field(description="Id of the sample of the later season.")
    items: tuple[ChangeEstimate, ...]
    methods: dict[str, str]

    @classmethod
    def of(cls, earlier: str, later: str, found: Sequence[Change]) -> "Changes":
        """The document of the changes between two samples."""
        methods = {each.method: SOURCES_OF_CHANGE[each.method] for each in found}
        return cls(earlier=earlier, later=later, items=tuple(map(ChangeEstimate.of, found)), methods=methods)
