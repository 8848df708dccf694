"""The JSON of jobs, datasets, trainings and models."""

from collections.abc import Sequence
from typing import Any
from zoneinfo import ZoneInfo

from app.jobs.kinds import KINDS
from app.learning.experiments import Run
from app.tables import (
    Alias,
    AliasMove,
    Dataset,
    Evaluation,
    Experiment,
    Job,
    LabelSet,
    ModelVersion,
    Schedule,
    ScheduleRun,
    SeriesRow,
    Training,
)

Json = dict[str, Any]


def result_of(row: Job) -> str:
    """Where the result of a job is; that of a part is the whole map."""
    kind = KINDS[row.kind]
    return f"/v1/{kind.collection}/{row.parent if kind.for_parent else row.id}"


def link(href: str, rel: str, type_: str = "application/json") -> Json:
    """A web link."""
    return {"href": href, "rel": rel, "type": type_}


def job(row: Job) -> Json:
    """OGC API - Processes `statusInfo`, and ours."""
    url = f"/v1/jobs/{row.id}"
    return {
        "jobID": row.id,
        "type": "process",
        "processID": row.kind,
        "status": row.reported_status,
        "message": row.message,
        "progress": 100 if row.status == "successful" else min(99, 100 * row.done // max(row.total, 1)),
        "created": row.created,
        "started": row.started,
        "finished": row.finished,
        "updated": row.updated,
        "stage": row.stage,
        "done": row.done,
        "total": row.total,
        "eta_s": row.eta_s,
        "attempt": row.attempt,
        "parent": row.parent,
        "dismissal_requested": row.dismissal_requested,
        "error": row.error,
        "links": [
            link(url, "self"),
            link(f"{url}/events", "monitor", "text/event-stream"),
            link(f"{url}/log", "log", "text/plain"),
            link(f"{url}/results", "http://www.opengis.net/def/rel/ogc/1.0/results"),
            link(result_of(row), "related"),
        ],
    }


def labels(row: LabelSet) -> Json:
    """A label set with its report."""
    return {
        "id": row.id,
        "created": row.created,
        "size_bytes": row.size_bytes,
        "file:checksum": checksum(row.sha256),
        "options": row.options,
        "report": row.report,
    }


def dataset(row: Dataset, work: Job) -> Json:
    """A dataset with what its job found; statistics, contract and notes are null until then."""
    return {
        "id": row.id,
        "name": row.name,
        "version": row.version,
        "created": row.created,
        **{key: getattr(row.request, key) for key in ("scenes", "labels", "classes", "split", "homogenise")},
        **{key: getattr(row.request, key) for key in ("clip_outliers", "leaks")},
        "statistics": row.prepared and row.prepared.statistics,
        "statistics_by_scene": row.prepared and row.prepared.by_scene,
        "statistics_total": row.prepared and row.prepared.total,
        "references": row.prepared and row.prepared.references,
        "sha256": row.prepared and row.prepared.sha256,
        "contract": row.prepared and row.prepared.contract,
        "notes": row.prepared and row.prepared.notes,
        "job": job(work),
    }


def training(row: Training, work: Job) -> Json:
    """A training; `model` is null until it is registered."""
    return {
        "id": row.id,
        "dataset": row.dataset,
        "register_as": row.register_as or None,
        "experiment": row.experiment,
        "variant": row.variant,
        "config": row.config,
        "created": row.created,
        "metrics": row.header and {"val": row.header.val, "test": row.header.test},
        "details": row.header and row.header.details,
        "report": row.header and row.header.report,
        "model": {"name": row.register_as, "version": row.version} if row.version else None,
        "job": job(work),
    }


def experiment(row: Experiment, work: Job, runs: Sequence[Run]) -> Json:
    """An experiment with its runs; table and differences are null until all runs have ended."""
    compared = row.comparison
    return {
        "id": row.id,
        "dataset": row.dataset,
        "created": row.created,
        **{key: getattr(row.request, key) for key in ("config", "variants", "seeds", "lovasz_weights", "register_as")},
        "runs": [_run(run) for run in runs],
        "table": compared and compared.table,
        "differences": compared and compared.differences,
        "notes": compared and compared.notes,
        "job": job(work),
    }


def _run(run: Run) -> Json:
    return {
        "training": run.training,
        "variant": run.variant,
        "seed": run.seed,
        "status": run.status,
        "metrics": {"val": run.val, "test": run.test} if run.val else None,
    }


def epoch(row: SeriesRow) -> Json:
    """What an epoch measured."""
    return {**row.values, "epoch": row.epoch}


def model(name: str, versions: Sequence[ModelVersion], aliases: Sequence[Alias]) -> Json:
    """A model with all its aliases and a page of its versions."""
    return {
        "name": name,
        "aliases": {alias.alias: alias.version for alias in aliases},
        "versions": [model_version(row, aliases) for row in versions],
    }


def model_version(row: ModelVersion, aliases: Sequence[Alias]) -> Json:
    """A version with its metrics, its lineage and its input contract. aliases: all of the model."""
    pointing = [alias.alias for alias in aliases if alias.version == row.version]
    url = f"/v1/models/{row.name}/versions/{row.version}"
    return {
        "name": row.name,
        "version": row.version,
        "aliases": pointing,
        "created": row.created,
        "training": row.training,
        "dataset": row.dataset,
        "metrics": row.metrics,
        "details": row.details,
        "report": row.report,
        "contract": row.contract,
        "config": row.config,
        "dataset_sha256": row.dataset_sha256,
        "software": row.versions,
        "size_bytes": row.size_bytes,
        "file:checksum": checksum(row.sha256),
        "links": [link(url, "self"), link(f"{url}/bundle", "enclosure", "application/octet-stream")],
    }


def evaluation(row: Evaluation, work: Job) -> Json:
    """A version scored on a split; metrics, details and software are null until the job has succeeded."""
    return {
        "id": row.id,
        "model": {"name": row.model, "version": row.version},
        "dataset": row.dataset,
        "split": row.split,
        "created": row.created,
        "metrics": row.metrics,
        "details": row.details,
        "software": row.software,
        "job": job(work),
    }


def schedule(row: Schedule) -> Json:
    """A schedule; `next` is when it is to run next, null while it is disabled."""
    local = row.due and row.due.astimezone(ZoneInfo(row.timezone))
    return {
        "id": row.id,
        "name": row.id,
        "cron": row.cron,
        "timezone": row.timezone,
        "training": row.training,
        "promote": row.promote,
        "enabled": row.enabled,
        "next": row.due,
        "next_local": local and local.isoformat(),
        "created": row.created,
        "updated": row.updated,
        "links": [link(f"/v1/schedules/{row.id}", "self"), link(f"/v1/schedules/{row.id}/runs", "runs")],
    }


def schedule_run(row: ScheduleRun, made: Training | None) -> Json:
    """A run of a schedule; `model` is null until its training has registered a version."""
    return {
        "id": row.id,
        "schedule": row.schedule,
        "due": row.due,
        "trigger": row.trigger,
        "missed": row.missed,
        "status": row.status,
        "message": row.message,
        "promote": row.promote,
        "training": row.training,
        "evaluations": row.evaluations,
        "model": {"name": made.register_as, "version": made.version} if made and made.version else None,
        "verdict": row.verdict,
        "error": row.error,
        "created": row.created,
        "finished": row.finished,
    }


def alias(row: Alias, history: list[AliasMove]) -> Json:
    """An alias with all its moves."""
    moves = [{"version": move.version, "reason": move.reason, "at": move.at} for move in history]
    return {"name": row.model, "alias": row.alias, "version": row.version, "updated": row.updated, "history": moves}


def checksum(sha256: str) -> str:
    """A sha256 as a multihash, which STAC's `file:checksum` wants."""
    return f"1220{sha256}"
