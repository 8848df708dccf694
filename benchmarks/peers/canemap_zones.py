"""canemap: the hectares of a map by zone."""

from pathlib import Path

from ml.zones.areas import classes_by_zone
from ml.zones.read import ZoneOptions, Zones


def hectares(map_: str, zones: str) -> dict[str, float]:
    """The observed hectares of each zone, by its code."""
    found = classes_by_zone(Path(map_), Zones(Path(zones), ZoneOptions(code_field="code")))
    return {code: sum(area_ha.values()) for code, area_ha in found.by_code.items()}
