"""Rows with files, for tests."""

from pathlib import Path

from app.services import Services
from app.storage import new_place
from app.tables import LabelSet
from ml.labels.classes import LabelOptions
from ml.labels.inspect import LabelReport


def label_set(services: Services, folder: Path, name: str, content: bytes = b"some labels") -> str:
    """Store a file and record it as a label set; returns its key."""
    source = folder / f"{name}.source"
    source.write_bytes(content)
    stored = services.store.put(source, new_place("labels", name, "layer"))
    report = LabelReport(
        kind="geojson", features=0, crs="EPSG:4326", bbox=(0, 0, 1, 1), by_class=(), repairs=(), warnings=()
    )
    with services.database.write() as session:
        session.add(
            LabelSet(
                id=name,
                sha256=stored.sha256,
                size_bytes=stored.size_bytes,
                object=stored.object,
                options=LabelOptions(),
                report=report,
            )
        )
    return stored.object
