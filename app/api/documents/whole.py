"""All documents of the API by their names, for its routes: `from app.api.documents import whole as documents`."""

from app.api.documents.access import (
    AuditEntries,
    AuditEntry,
    Key,
    Keys,
    NewKey,
    Sender,
    SignedUrl,
    Tenant,
    TenantDetails,
    Tenants,
)
from app.api.documents.areas import AreaFeatures, AreaRow, AreaTable
from app.api.documents.base import Document, Link, Page, link
from app.api.documents.catalogue import Conformance, FoundItems, LandingPage, StacCollection, StacCollections
from app.api.documents.datasets import Dataset, Datasets
from app.api.documents.deletion import Deletion
from app.api.documents.estimates import Changes, EstimateFeatures, EstimateRow, Estimates
from app.api.documents.evaluations import Evaluation, Evaluations
from app.api.documents.experiments import Experiment, Experiments
from app.api.documents.jobs import Job, Jobs, Kind, Status, StatusInfo, result_of
from app.api.documents.labels import LabelSet, LabelSets
from app.api.documents.mlm import ModelItem
from app.api.documents.models import Alias, Model, ModelPage, Models, ModelVersion
from app.api.documents.others import Alive, FigureLinks, Figures, Landing, Ready, TileJson, Upload
from app.api.documents.processes import Process, ProcessConformance, Processes, ProcessSummary
from app.api.documents.samples import AnswerReport, Answers, Sample, Samples
from app.api.documents.schedules import Schedule, ScheduleRun, ScheduleRuns, Schedules
from app.api.documents.stac import Prediction, Predictions, Scene, Scenes
from app.api.documents.survey_items import SurveyItem
from app.api.documents.surveys import (
    ChangeFeature,
    ChangeFeatures,
    ChangeRow,
    ChangeTable,
    Survey,
    SurveyFeatures,
    Surveys,
    SurveyScene,
    SurveyScenes,
)
from app.api.documents.trainings import Epoch, Series, Training, Trainings
from app.api.documents.webhooks import Deliveries, Delivery, NewWebhook, Webhook, Webhooks
from app.api.documents.zones import ZoneSet, ZoneSets

__all__ = [
    "Alias",
    "Alive",
    "AnswerReport",
    "Answers",
    "AreaFeatures",
    "AreaRow",
    "AreaTable",
    "AuditEntries",
    "AuditEntry",
    "ChangeFeature",
    "ChangeFeatures",
    "ChangeRow",
    "ChangeTable",
    "Changes",
    "Conformance",
    "Dataset",
    "Datasets",
    "Deletion",
    "Deliveries",
    "Delivery",
    "Document",
    "Epoch",
    "EstimateFeatures",
    "EstimateRow",
    "Estimates",
    "Evaluation",
    "Evaluations",
    "Experiment",
    "Experiments",
    "FigureLinks",
    "Figures",
    "FoundItems",
    "Job",
    "Jobs",
    "Key",
    "Keys",
    "Kind",
    "LabelSet",
    "LabelSets",
    "Landing",
    "LandingPage",
    "Link",
    "Model",
    "ModelItem",
    "ModelPage",
    "ModelVersion",
    "Models",
    "NewKey",
    "NewWebhook",
    "Page",
    "Prediction",
    "Predictions",
    "Process",
    "ProcessConformance",
    "ProcessSummary",
    "Processes",
    "Ready",
    "Sample",
    "Samples",
    "Scene",
    "Scenes",
    "Schedule",
    "ScheduleRun",
    "ScheduleRuns",
    "Schedules",
    "Sender",
    "Series",
    "SignedUrl",
    "StacCollection",
    "StacCollections",
    "Status",
    "StatusInfo",
    "Survey",
    "SurveyFeatures",
    "SurveyItem",
    "SurveyScene",
    "SurveyScenes",
    "Surveys",
    "Tenant",
    "TenantDetails",
    "Tenants",
    "TileJson",
    "Training",
    "Trainings",
    "Upload",
    "Webhook",
    "Webhooks",
    "ZoneSet",
    "ZoneSets",
    "link",
    "result_of",
]
