"""Areas and their change as tables for spreadsheets, and as GeoJSON with the outlines of zones."""

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import xlsxwriter
from pydantic import BaseModel
from sqlalchemy.orm import Session
from starlette.responses import Response, StreamingResponse

from app.api.documents import whole as documents
from app.api.documents.stac import GEOJSON
from app.api.http.csv_tables import SENTENCES, csv_answer
from app.language import choice
from app.language.catalogue import chinese, heading
from app.mapping.zones import features
from app.services import Services
from app.tables import Prediction, Scene
from ml.csv_text import plain_cells

XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
Line = dict[str, Any]
Row = documents.AreaRow | documents.ChangeRow
PlacedRow = Row | documents.EstimateRow
COLUMNS = (  # new ones come last: programs may count columns
    *("zone", "name", "class", "observed_ha", "unobserved_ha", "mapped_ha", "mapped_mu", "adjusted_ha", "why"),
    *("applicability", "outside_share", "outside_ha", "ci95_low_ha", "ci95_high_ha", "scene", "model", "acquired"),
    *("indicative_ha", "indicative_ci95_low_ha", "indicative_ci95_high_ha", "prediction"),
)
OF_SURVEYS = (
    *("zone", "name", "class", "observed_ha", "unobserved_ha", "mapped_ha", "mapped_mu", "why", "survey", "model"),
)
OF_CHANGES = (
    *("zone", "name", "class", "gain_ha", "loss_ha", "net_ha", "net_ci95_low_ha", "net_ci95_high_ha", "earlier_ha"),
    *("later_ha", "observed_ha", "only_earlier_ha", "only_later_ha", "unobserved_ha", "why", "survey", "earlier"),
    *("gain_estimated_ha", "gain_ci95_low_ha", "gain_ci95_high_ha", "loss_estimated_ha", "loss_ci95_low_ha"),
    *("loss_ci95_high_ha", "net_estimated_ha", "net_se_ha", "earlier_n", "later_n", "method"),
    *("earlier_sample", "later_sample"),
)
OF_ZONES = ("parent", "overlap_ha")  # columns that only tables of zones have


def origin_of(prediction: Prediction, scene: Scene) -> Line:
    """What the map of a prediction was made of."""
    return {
        "scene": scene.id,
        "model": f"{prediction.model}:{prediction.version}",
        "acquired": scene.acquired and f"{scene.acquired:%Y-%m-%d}",
        "prediction": prediction.id,
    }


def lines(items: Sequence[Row], columns: Sequence[str], origin: Line, *, by_zone: bool) -> list[Line]:
    """A line of a table for each item, with what its map was made of.

    Hectares and mu have four decimals, which is a square metre, and shares six. columns: Those beside `OF_ZONES`.
    """
    every = (*columns, *OF_ZONES) if by_zone else columns
    found = (cells(item) | origin for item in items)
    return [{name: rounded(name, each.get(name)) for name in every} for each in found]


def cells(item: BaseModel) -> Line:
    """What an item tells, by column: an interval has two, which come last."""
    found = item.model_dump()
    for name in [each for each in found if each.endswith("ci95_ha")]:
        low, high = found.pop(name) or (None, None)
        found[name.replace("_ha", "_low_ha")], found[name.replace("_ha", "_high_ha")] = low, high
    return found


def answer(table: Sequence[Line], f: str, name: str, language: choice.Language, sheet: str = "areas") -> Response:
    """A table as CSV or as a workbook. name: Of the file, without what says its format. sheet: Name of the sheet."""
    if f == "csv":
        return csv_answer(as_csv(table), language)
    headers = {"Content-Disposition": f'attachment; filename="{name}.xlsx"', "Vary": "Accept-Language"}
    return Response(as_xlsx(table, language, sheet), media_type=XLSX, headers=headers)


def rounded(name: str, value: object) -> object:
    """A value with six decimals if it is a share, else with four. name: Of its column."""
    return round(value, 6 if name.endswith("_share") or name == "cv" else 4) if isinstance(value, float) else value


def as_csv(table: Sequence[Line]) -> str:
    """A table as CSV. No text in it is a formula."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(table[0])
    writer.writerows(plain_cells(line.values()) for line in table)
    return text.getvalue()


def as_xlsx(table: Sequence[Line], language: choice.Language, name: str) -> bytes:
    """A table as a workbook of Excel, with texts as texts: none is a formula or a link. name: Of its sheet."""
    target = io.BytesIO()
    with xlsxwriter.Workbook(target, {"in_memory": True}) as book:
        sheet, bold = book.add_worksheet(name), book.add_format({"bold": True})
        sheet.freeze_panes(1, 0)
        for col, column in enumerate(table[0]):
            sheet.write_string(0, col, heading(column) if language == "zh" else column, bold)
        for row, line in enumerate(table, 1):
            for col, (column, value) in enumerate(line.items()):
                if isinstance(value, bool):
                    sheet.write_boolean(row, col, value)
                elif isinstance(value, int | float):
                    sheet.write_number(row, col, value)
                elif value is not None:
                    told = chinese(str(value)) if language == "zh" and column in SENTENCES else str(value)
                    sheet.write_string(row, col, told)
        sheet.autofit()
    return target.getvalue()


def geojson_answer(
    services: Services,
    items: Sequence[PlacedRow],
    zones: str | None,
    footprint: Callable[[Session], Mapping[str, object]],
) -> Response:
    """A feature for each item, with the outline of its zone, or of the whole map if no zones are asked for.

    items: The items of one zone follow each other, in the order of the zones. zones: Id of the zone set. footprint:
    Finds the outline of the map, as GeoJSON in WGS 84.
    """
    if zones:
        outlines = services.store.file(features(services, zones).object)
        return StreamingResponse(_collection(_in_zones(items, outlines)), media_type=GEOJSON)
    with services.database.read() as session:
        outline = json.dumps(footprint(session))
    return Response("".join(_collection((outline, item) for item in items)), media_type=GEOJSON)


def _in_zones(items: Iterable[PlacedRow], zones: Path) -> Iterator[tuple[str, PlacedRow]]:
    """Each item with the outline of its zone. zones: GeoJSON, one zone on each line between a first and a last line."""
    with zones.open(encoding="utf-8") as lines_:
        next(lines_)
        for _, rows in groupby(items, key=lambda item: item.zone):
            outline = json.dumps(json.loads(next(lines_).rstrip().removesuffix(","))["geometry"])
            yield from ((outline, row) for row in rows)


def _collection(placed: Iterable[tuple[str, PlacedRow]]) -> Iterator[str]:
    """A FeatureCollection in pieces. placed: Outline, as GeoJSON, and properties of each feature."""
    separator = '{"type":"FeatureCollection","features":['
    for outline, row in placed:
        yield f'{separator}\n{{"type":"Feature","geometry":{outline},"properties":{row.model_dump_json()}}}'
        separator = ","
    yield "\n]}\n"
