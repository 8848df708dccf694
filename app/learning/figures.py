"""Figures of datasets, trainings and experiments, drawn when they are requested.

Import this module only then, because importing matplotlib takes seconds.
"""

from sqlalchemy.orm import Session

from app.core.errors import NotFound, NotReady
from app.data import datasets
from app.learning import experiments, trainings
from app.requests.learning import FiguresOf
from app.services import Services
from app.tables import Dataset, Experiment, Training
from ml.figures import Format, Lang
from ml.figures.catalogue import Figures, Trained, dataset_figures, experiment_figures, training_figures
from ml.figures.cutouts import load_pictures
from ml.figures.style import drawing, render


def names(services: Services, kind: FiguresOf, id_: str) -> list[str]:
    """The names of all figures of a resource. Raises `NotFound`, or `NotReady` before its job has succeeded."""
    return list(_figures(services, kind, id_))


def draw(services: Services, kind: FiguresOf, id_: str, name: str, *, lang: Lang, format_: Format) -> bytes:
    """The bytes of one figure as a file. Raises `NotFound`, or `NotReady` before the job has succeeded."""
    figures = _figures(services, kind, id_)
    if name not in figures:
        raise NotFound("figure", f"{id_}/{name}")
    with drawing():
        return render(figures[name](lang=lang), format_)


def _figures(services: Services, kind: FiguresOf, id_: str) -> Figures:
    with services.database.read() as session:
        if kind == "datasets":
            return _of_dataset(services, datasets.get(session, id_))
        if kind == "trainings":
            return training_figures(_trained(services, session, trainings.get(session, id_)))
        return _of_experiment(services, session, experiments.get(session, id_))


def _of_dataset(services: Services, row: Dataset) -> Figures:
    if row.prepared is None or row.figures is None:
        raise _not_ready(row.id)
    pictures = load_pictures(services.store.file(row.figures))
    return dataset_figures(row.prepared.statistics["train"], row.request.classes, pictures)


def _of_experiment(services: Services, session: Session, row: Experiment) -> Figures:
    if row.comparison is None:
        raise _not_ready(row.id)
    runs = [_trained(services, session, run) for run in experiments.runs(session, row.id) if run.header]
    return experiment_figures(row.comparison, runs)


def _trained(services: Services, session: Session, row: Training) -> Trained:
    if row.header is None or row.figures is None:
        raise _not_ready(row.id)
    series = [epoch.values for epoch in trainings.series(session, row.id, 0)]
    name = row.variant or row.title or row.id  # the comparison of an experiment names variants
    return Trained(name, row.header, series, load_pictures(services.store.file(row.figures)))


def _not_ready(id_: str) -> NotReady:
    return NotReady("result-not-ready", f"{id_!r} has no figures yet: its job has not succeeded.")
