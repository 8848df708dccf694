"""The tables of the database, one file a subject. What a row says about a scene, a job or a model is authoritative.

Whoever imports one table has all: each names others, and a migration is compared with all of them.
"""

from sqlalchemy import Index

from app.core.idempotency import IdempotencyKey  # defined where it is used; a table like the others
from app.tables.access import AuditEntry, Key, Secret, Tenant
from app.tables.data import Dataset, DatasetLabels, DatasetScenes, LabelSet, Scene, UploadedFile, ZoneSet
from app.tables.jobs import Job, JobLog, Worker
from app.tables.learning import (
    Alias,
    AliasMove,
    EpochValues,
    Evaluation,
    Experiment,
    Model,
    ModelVersion,
    SeriesRow,
    Training,
)
from app.tables.mixins import Revised, Sized, Software, Titled
from app.tables.predictions import Part, Prediction, ZoneAreas
from app.tables.samples import Sample, SampleAnswer, SampleZones
from app.tables.schedules import Schedule, ScheduleRun
from app.tables.surveys import Survey, SurveyChange, SurveyScene, SurveyZoneAreas
from app.tables.upkeep import DamagedFile, DeletedNumber, Scrub
from app.tables.uploads import IncomingFile, UnfinishedUpload, UploadPiece
from app.tables.webhooks import Delivery, Webhook

# all tables whose rows name files of a tenant
SIZED = (Scene, LabelSet, ZoneSet, Dataset, Training, ModelVersion, Prediction, Survey)
for _table in SIZED:
    Index(f"ix_{_table.__tablename__}_size", _table.tenant, _table.size_bytes)  # their sum is read from the index alone

__all__ = (
    "SIZED",
    "Alias",
    "AliasMove",
    "AuditEntry",
    "DamagedFile",
    "Dataset",
    "DatasetLabels",
    "DatasetScenes",
    "DeletedNumber",
    "Delivery",
    "EpochValues",
    "Evaluation",
    "Experiment",
    "IdempotencyKey",
    "IncomingFile",
    "Job",
    "JobLog",
    "Key",
    "LabelSet",
    "Model",
    "ModelVersion",
    "Part",
    "Prediction",
    "Revised",
    "Sample",
    "SampleAnswer",
    "SampleZones",
    "Scene",
    "Schedule",
    "ScheduleRun",
    "Scrub",
    "Secret",
    "SeriesRow",
    "Sized",
    "Software",
    "Survey",
    "SurveyChange",
    "SurveyScene",
    "SurveyZoneAreas",
    "Tenant",
    "Titled",
    "Training",
    "UnfinishedUpload",
    "UploadPiece",
    "UploadedFile",
    "Webhook",
    "Worker",
    "ZoneAreas",
    "ZoneSet",
)
