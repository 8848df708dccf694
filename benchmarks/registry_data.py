"""Fills a registry with as many rows as a service has after years, by SQL."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from pydantic_core import to_json
from sqlalchemy import Connection, text

from app.core.columns import Base
from app.results import ModelMetrics, PreparedDataset
from ml.checkpoint_header import CheckpointHeader
from ml.config import PredictConfig, TrainConfig
from ml.contract import BandStatistics, Contract
from ml.datasets.class_counts import SplitStatistics
from ml.datasets.splits import SPLITS
from ml.evaluation.assessment import Assessment
from ml.evaluation.comparison import Comparison, ScoredTraining, compare
from ml.evaluation.metrics import BlockCounts, Metrics
from ml.evaluation.report import BalanceReport, TrainReport
from ml.faults import Note
from ml.labels.classes import LabelOptions
from ml.labels.inspect import ClassReport, LabelReport
from ml.scenes.inspect import SceneInfo, inspect_scene

BANDS = ("blue", "green", "red", "nir")
CONFUSION = ((180_123, 5_021), (7_345, 69_655))
BLOCKS = 16  # scored blocks of a split
_MASK = f"datasets/area/1/1/{'0' * 64}-mask.tif"
PRODUCTS = ("classes.tif", "probability.tif", "polygons.geojson", "polygons.gpkg", "classes.qml")


@dataclass(frozen=True)
class Size:
    """Numbers of rows. Of 100 jobs 1 makes a dataset, 24 are trainings, 1 is an experiment of 6 of them, 74 predict."""

    models: int = 100_000
    jobs: int = 1_000_000
    accepted: int = 10_000
    running: int = 8
    scenes: int = 20_000
    labels: int = 2_000

    @property
    def versions(self) -> int:
        """Number of versions: of ten models one has 12 versions, the others have 2."""
        return 3 * self.models


QUICK = Size(models=2_000, jobs=20_000, accepted=500, scenes=500, labels=100)


def fill(connection: Connection, size: Size) -> None:
    """Fill the empty tables of a PostgreSQL, as its superuser."""
    connection.execute(
        text("SET session_replication_role = replica")
    )  # foreign keys are not checked: the rows are consistent
    connection.execute(text("SET synchronous_commit = off"))
    connection.execute(text(_FUNCTIONS))
    values = {**vars(size), "versions": size.versions, **_documents()}
    for statement in _STATEMENTS:
        wanted = {name: value for name, value in values.items() if f":{name}" in statement}
        connection.execute(text(statement), wanted)
    connection.execute(text("SET session_replication_role = DEFAULT"))
    connection.commit()


def settle(connection: Connection) -> None:
    """Do what autovacuum would do in time. connection: Must be in autocommit."""
    for table in Base.metadata.tables:
        connection.execute(text(f"VACUUM ANALYZE {table}"))
    connection.execute(text("CHECKPOINT"))


def _documents() -> dict[str, str]:
    """Values of the JSON columns: documents of ordinary size, as canemap writes them."""
    header = _header()
    stored = {"object": "predictions/prd/1/file.tif", "sha256": "0" * 64, "size_bytes": 123_456_789}
    predict = PredictConfig().model_dump(mode="json")
    dataset: dict[str, Any] = {
        "name": "area",
        "scenes": ["scene-00001", "scene-00002", "scene-00003"],
        "labels": ["fields"],
        "classes": [{"value": 0, "name": "other"}, {"value": 1, "name": "sugarcane"}],
        "split": {"by": "scene", "train": ["scene-00001"], "val": ["scene-00002"], "test": ["scene-00003"]},
        "homogenise": "none",
        "clip_outliers": True,
        "leaks": "refuse",
    }
    pixels = SplitStatistics(
        pixels={"other": 3_000_000, "sugarcane": 1_000_000, "unlabelled": 0},
        fraction={"other": 0.75, "sugarcane": 0.25},
        area_ha={"other": 192.0, "sugarcane": 64.0, "unlabelled": 0.0},
    )
    prepared = PreparedDataset(
        statistics=dict.fromkeys(SPLITS, pixels),
        by_scene=dict.fromkeys(dataset["scenes"], pixels),
        total=pixels,
        references={"other": 3_000_000, "sugarcane": 1_000_000},
        sha256="0" * 64,
        contract=header.contract,
        notes=(),
        masks={split: {scene: _MASK} for split, scene in zip(SPLITS, dataset["scenes"], strict=True)},
    )
    plan: dict[str, Any] = {
        "dataset": "area-00000:1",
        "config": header.config.model_dump(mode="json"),
        "variants": [{"name": name, "config": {}} for name in ("ce", "ce+0.5*lovasz")],
        "seeds": [0, 1, 2],
        "lovasz_weights": [],
        "register_as": None,
    }
    documents: dict[str, Any] = {
        "header": header,
        "metrics": ModelMetrics(val=header.val, test=header.test),
        **{key: getattr(header, key) for key in ("contract", "config", "details", "report")},
        "software": header.versions,
        "info": _scene_info(),
        "request": dataset,
        "prepared": prepared,
        "plan": plan,
        "compared": _comparison(header),
        "predict": predict,
        "products": dict.fromkeys(PRODUCTS, stored),
        "areas": {"observed_ha": 1000.0, "unobserved_ha": 0.0, "area_ha": {"0": 900.0, "1": 100.0}},
        "options": LabelOptions(class_field="crop", classes={"sugarcane": 1}),
        "layer": _label_report(),
        "error": {"type": "out-of-memory", "title": "The work could not be done", "status": 500, "detail": "Too big."},
        "values": {"epoch": 1, "loss": 0.51, "ce": 0.4, "accuracy": 0.9, "iou": 0.7, "kappa": 0.7},
    }
    return {name: to_json(document).decode() for name, document in documents.items()}


def _header() -> CheckpointHeader:
    metrics = Metrics.from_confusion(np.array(CONFUSION))
    statistics = (BandStatistics(mean=400, std=250, min=100, max=700),) * len(BANDS)
    assessment = Assessment(
        scenes={"scene-00003": metrics},
        scene_mean={"accuracy": 0.9, "iou": 0.7, "kappa": 0.7},
        false_positives={"cassava": 3_120, "maize": 1_901},
        blocks={"scene-00003": (BlockCounts(row=256, col=512, confusion=CONFUSION),) * BLOCKS},
        boundary_m=8.0,
    )
    balance = BalanceReport(mode="oversample", before={"other": 3, "sugarcane": 1}, after={"other": 2, "sugarcane": 2})
    return CheckpointHeader(
        contract=Contract(bands=BANDS, dtype="uint16", gsd=0.8, nodata=0, statistics=statistics),
        config=TrainConfig(),
        val=metrics,
        test=metrics,
        details={"val": assessment, "test": assessment},
        report=TrainReport(balance=balance, dropped={}, dropped_chips=(), suspects=0),
        best_epoch=17,
        dataset_sha256="0" * 64,
        versions={"canemap": "0.1.0", "torch": "2.13.0", "rasterio": "1.4.4", "gdal": "3.10.3", "numpy": "2.3.0"},
    )


def _comparison(header: CheckpointHeader) -> Comparison:
    assert header.test
    return compare(
        [ScoredTraining(variant=name, seed=0, metrics=header.test) for name in ("ce", "ce+0.5*lovasz")], resamples=10
    )


def _label_report() -> LabelReport:
    classes = (ClassReport(value=1, name="sugarcane", features=812, area_ha=640.0),)
    note = Note(code="repaired", detail="3 polygons crossed themselves and were repaired.")
    return LabelReport(
        kind="geojson",
        features=812,
        crs="EPSG:4326",
        bbox=(108.0, 22.0, 108.2, 22.2),
        by_class=classes,
        repairs=(note,),
        warnings=(),
    )


def _scene_info() -> SceneInfo:
    pixels = np.random.default_rng(0).integers(100, 700, (len(BANDS), 64, 64), dtype=np.uint16)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scene.tif"
        transform = rasterio.transform.from_origin(640_000, 2_550_000, 0.8, 0.8)
        profile = {"driver": "GTiff", "count": len(BANDS), "width": 64, "height": 64, "dtype": "uint16"}
        with rasterio.open(path, "w", crs="EPSG:32648", transform=transform, **profile) as file:
            file.write(pixels)
        return inspect_scene(path, bands=BANDS)


_START = "timestamptz '2021-01-01 00:00:00+00'"
# Ids are spread like those that the service draws. All is computed from a running number: the rows refer to each other.
_FUNCTIONS = f"""
CREATE FUNCTION pg_temp.kind(i bigint) RETURNS text IMMUTABLE LANGUAGE sql AS $$
  SELECT CASE WHEN i % 100 = 0 THEN 'dataset' WHEN i % 100 < 25 THEN 'training'
              WHEN i % 100 = 25 THEN 'experiment' ELSE 'prediction' END $$;
CREATE FUNCTION pg_temp.dataset(k bigint) RETURNS text IMMUTABLE LANGUAGE sql AS $$
  SELECT 'area-' || lpad(((k - 1) / 2)::text, 5, '0') || ':' || (k - 1) % 2 + 1 $$;
CREATE FUNCTION pg_temp.id(i bigint) RETURNS text IMMUTABLE LANGUAGE sql AS $$
  SELECT CASE pg_temp.kind(i) WHEN 'dataset' THEN pg_temp.dataset(i / 100) ELSE
    CASE pg_temp.kind(i) WHEN 'training' THEN 'trn_' WHEN 'experiment' THEN 'exp_' ELSE 'prd_' END
    || substr(md5(i::text), 1, 16) END $$;
CREATE FUNCTION pg_temp.at(i bigint) RETURNS timestamptz IMMUTABLE LANGUAGE sql AS $$
  SELECT {_START} + i * interval '150 s' $$;
CREATE FUNCTION pg_temp.model(n bigint) RETURNS text IMMUTABLE LANGUAGE sql AS $$
  SELECT 'model-' || lpad(((n - 1) / 30 * 10 + greatest(0, (n - 1) % 30 - 10) / 2)::text, 6, '0') $$;
CREATE FUNCTION pg_temp.version(n bigint) RETURNS int IMMUTABLE LANGUAGE sql AS $$
  SELECT CASE WHEN (n - 1) % 30 < 12 THEN (n - 1) % 30 + 1 ELSE (n - 1) % 2 + 1 END $$;
"""
_STATEMENTS = (
    """
    INSERT INTO jobs (id, kind, parent, status, attempt, beat_seq, failures, revision, dismissal_requested, stage, done,
      total, eta_s, message, error, created, started, finished, updated)
    SELECT pg_temp.id(i), pg_temp.kind(i),
      CASE WHEN i % 100 BETWEEN 19 AND 24 THEN pg_temp.id(i - i % 100 + 25) END, status,
      CASE status WHEN 'accepted' THEN 0 ELSE 1 END, 100, 0, 20, false, '', 20, 20, NULL, 'done',
      CASE status WHEN 'failed' THEN cast(:error AS jsonb) END, at, at, at, at
    FROM (SELECT i, pg_temp.at(i) AS at, CASE WHEN i > :jobs - :accepted THEN 'accepted'
      WHEN i > :jobs - :accepted - :running THEN 'running'
      WHEN i % 101 = 7 THEN 'failed' WHEN i % 211 = 9 THEN 'dismissed' ELSE 'successful' END AS status
      FROM generate_series(1, :jobs) AS i) AS numbered
    """,
    """
    INSERT INTO scenes (id, sha256, size_bytes, object, acquired, sensor, nodata, info, west, south, east, north,
      created, updated, revision)
    SELECT 'scene-' || lpad(n::text, 5, '0'), md5(n::text) || md5(n::text), 200000000, 'scenes/x',
      CASE WHEN n % 50 > 0 THEN pg_temp.at(n * 7919 % :scenes * 50) END, 'GF-2', NULL, cast(:info AS jsonb),
      x, y, x + 0.2, y + 0.2, pg_temp.at(n * 50), pg_temp.at(n * 50), 1
    FROM (SELECT n, 100 + n * 7919 % 10007 / 500.0 AS x, 20 + n * 104729 % 10009 / 700.0 AS y
      FROM generate_series(0, :scenes - 1) AS n) AS placed
    """,
    """
    INSERT INTO labels (id, sha256, size_bytes, object, options, report, created)
    SELECT 'labels-' || n, md5(n::text) || md5(n::text), 2000000, 'labels/x', cast(:options AS jsonb),
      cast(:layer AS jsonb), pg_temp.at(n * 500) FROM generate_series(1, :labels) AS n
    """,
    """
    INSERT INTO datasets (id, name, version, request, scenes, labels, prepared, figures, created)
    SELECT pg_temp.id(100 * k), split_part(pg_temp.id(100 * k), ':', 1), (k - 1) % 2 + 1, cast(:request AS jsonb),
      cast(:request AS jsonb) -> 'scenes', '["labels-1"]', cast(:prepared AS jsonb), NULL, pg_temp.at(100 * k)
    FROM generate_series(1, :jobs / 100) AS k
    """,
    """
    INSERT INTO trainings (id, dataset, register_as, config, version, experiment, variant, header, figures, created)
    SELECT pg_temp.id(i), pg_temp.dataset(i / 100 + 1), coalesce(pg_temp.model(n), 'cane'), cast(:config AS jsonb),
      pg_temp.version(n), CASE WHEN i % 100 BETWEEN 19 AND 24 THEN pg_temp.id(i - i % 100 + 25) END,
      CASE WHEN i % 100 BETWEEN 19 AND 24 THEN 'ce' END,
      CASE WHEN i <= :jobs - :accepted THEN cast(:header AS jsonb) END, NULL, pg_temp.at(i)
    FROM (SELECT i, i / 100 * 24 + i % 100 AS n FROM generate_series(1, :jobs) AS i
      WHERE pg_temp.kind(i) = 'training') AS numbered
    """,
    """
    INSERT INTO experiments (id, dataset, request, comparison, created)
    SELECT pg_temp.id(i), pg_temp.dataset(i / 100 + 1), cast(:plan AS jsonb),
      CASE WHEN i <= :jobs - :accepted THEN cast(:compared AS jsonb) END, pg_temp.at(i)
    FROM generate_series(25, :jobs, 100) AS i
    """,
    """
    INSERT INTO series (training, epoch, values)
    SELECT pg_temp.id(i), epoch, cast(:values AS jsonb)
    FROM generate_series(1, :jobs, 1000) AS i, generate_series(1, 100) AS epoch
    """,
    """
    INSERT INTO job_log (job_id, attempt, at, text)
    SELECT pg_temp.id(i), 1, pg_temp.at(i), 'training: 20 to do'
    FROM generate_series(1, :jobs, 20) AS i, generate_series(1, 5) AS line
    """,
    """
    INSERT INTO model_versions (name, version, training, dataset, metrics, contract, config, versions,
      details, report, dataset_sha256, object, sha256, size_bytes, created)
    SELECT pg_temp.model(n), pg_temp.version(n), CASE WHEN i < :jobs THEN pg_temp.id(i) END,
      CASE WHEN i < :jobs THEN pg_temp.dataset(i / 100 + 1) END, cast(:metrics AS jsonb),
      cast(:contract AS jsonb), cast(:config AS jsonb), cast(:software AS jsonb), cast(:details AS jsonb),
      cast(:report AS jsonb), md5(n::text) || md5(n::text), 'trainings/' || pg_temp.id(i) || '/1/model.safetensors',
      md5(n::text) || md5(n::text), 31000000, pg_temp.at(3 * n)
    FROM (SELECT n, (n - 1) / 24 * 100 + (n - 1) % 24 + 1 AS i FROM generate_series(1, :versions) AS n) AS numbered
    """,
    """
    INSERT INTO aliases (model, alias, version, updated, revision)
    SELECT name, alias, version, created, 1 FROM model_versions
    JOIN (VALUES ('champion', 1), ('staging', 2)) AS wanted (alias, which) ON version = which
    """,
    """
    INSERT INTO alias_moves (model, alias, version, reason, at)
    SELECT model, alias, version, 'the first version', updated FROM aliases
    """,
    """
    INSERT INTO predictions (id, scene, model, version, config, products, areas, software, created)
    SELECT pg_temp.id(i), 'scene-' || lpad((i::bigint * 7919 % :scenes)::text, 5, '0'),
      'model-' || lpad((i::bigint * 31 % :models)::text, 6, '0'), 1, cast(:predict AS jsonb),
      CASE WHEN i <= :jobs - :accepted THEN cast(:products AS jsonb) END,
      CASE WHEN i <= :jobs - :accepted THEN cast(:areas AS jsonb) END, cast(:software AS jsonb), pg_temp.at(i)
    FROM generate_series(1, :jobs) AS i WHERE pg_temp.kind(i) = 'prediction'
    """,
    """
    INSERT INTO workers (id, queues, seen)
    SELECT 'host:' || n, '["light", "prediction", "training"]', now() FROM generate_series(1, 20) AS n
    """,
)
