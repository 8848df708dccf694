"""The test splits of the versions before one that begins with their weights."""

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy.orm import Session

from app.core.errors import NotFound
from app.data import datasets, scenes
from app.tables import Dataset, ModelVersion
from ml.contract import Contract
from ml.evaluation.metrics import Metrics
from ml.scenes.compatibility import contract_faults
from ml.warm_start import same_classes


@dataclass(frozen=True)
class EarlierDataset:
    """A dataset with a test split on which an earlier version was scored.

    model: The version, like "cane:3". metrics: Those of the version on the split.
    """

    model: str
    dataset: Dataset
    metrics: Metrics


def splits_before(session: Session, origin: ModelVersion, contract: Contract) -> Iterator[EarlierDataset]:
    """The test split of the version `origin`, and those in its own report, if scenes and classes fit `contract`.

    A dataset that was deleted, or is of another tenant, is passed over.
    """
    known = [(each.model, each.dataset, each.before) for each in (origin.report.earlier if origin.report else ())]
    if origin.dataset and origin.metrics.test:
        known.insert(0, (f"{origin.name}:{origin.version}", origin.dataset, origin.metrics.test))
    for model, reference, metrics in known:
        try:
            dataset = datasets.get(session, reference)
        except NotFound:
            continue
        if dataset.id == reference and dataset.prepared is not None and _fits(session, dataset, contract):
            yield EarlierDataset(model, dataset, metrics)


def _fits(session: Session, dataset: Dataset, contract: Contract) -> bool:
    found = datasets.prepared(dataset)
    used = scenes.by_id(session, found.masks["test"])
    fit = all(not [*contract_faults(scene.info, contract)] for scene in used.values())
    return bool(used) and fit and same_classes(found.contract, contract)
