"""Trainings: a net is trained on a dataset, and registered as a model version."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session, defer

from app.access import usage
from app.core.errors import Invalid, NotFound, invalid, refuse_any
from app.core.idempotency import IdempotentRequest
from app.core.names import new_id
from app.core.paging import Page, page
from app.core.rows import getter
from app.data import datasets
from app.jobs import lifecycle
from app.learning import registry, sharing
from app.requests.learning import TrainingRequest
from app.services import Services
from app.tables import Dataset, Job, SeriesRow, Training
from ml.config import TrainConfig
from ml.datasets.checks import learning_faults
from ml.datasets.splits import BlockSplit
from ml.faults import Fault
from ml.geo.windows import margin
from ml.warm_start import warm_start_faults, with_net_of

get = getter(Training, "training")
HEADER_UNREAD = defer(Training.header)  # it has thousands of values


def create(services: Services, request: TrainingRequest, once: IdempotentRequest) -> Training:
    """Accept a training on a prepared dataset. Raises `Invalid`, or `Conflict` if the dataset is not prepared."""
    id_ = new_id("trn")
    if request.config.init is not None:
        own = request.config.model_copy(update={"init": _own_model(services, request.config.init)})
        request = request.model_copy(update={"config": own})
    with services.database.write() as session:
        if earlier := once.earlier(session, id_):
            return get(session, earlier)
        dataset = trainable(session, request.dataset)
        check_configs(session, dataset, [request.config])
        job = add_requested(session, request, dataset, id_=id_)
        training = get(session, id_)
        usage.check_jobs(session, services.settings)
    services.queue.notify(job)
    return training


def add_requested(session: Session, request: TrainingRequest, dataset: Dataset, id_: str | None = None) -> Job:
    """Add the training that a request asks for, as `add` does. dataset: the one that the request names."""
    name = request.register_as or dataset.name
    return add(session, dataset, request.config, register_as=name, title=request.title, id_=id_)


def add(
    session: Session,
    dataset: Dataset,
    config: TrainConfig,
    *,
    register_as: str,
    id_: str | None = None,
    experiment: str | None = None,
    variant: str | None = None,
    title: str | None = None,
) -> Job:
    """Add a training and its job; returns the job. After the commit the caller notifies the queue of the job.

    register_as: name of the model, or "" to register nothing.
    """
    id_ = id_ or new_id("trn")
    config = config_for(session, dataset, config)
    job = lifecycle.create(session, id_, "training", parent=experiment, needs_gpu=config.needs_gpu)
    session.add(
        Training(
            id=id_,
            dataset=dataset.id,
            register_as=register_as,
            config=config,
            experiment=experiment,
            variant=variant,
            title=title,
        )
    )
    session.flush()
    return job


def config_for(session: Session, dataset: Dataset, config: TrainConfig) -> TrainConfig:
    """The config with which a training on `dataset` is done: with its loss, and with the version that it begins with.

    Raises `Invalid` if that version is not there or does not fit.
    """
    if config.init is not None:
        try:
            origin = registry.resolve(session, config.init)
        except NotFound as error:
            raise _unknown_model(error) from error
        config = with_net_of(config, origin.config.net)
        config = config.model_copy(update={"init": f"{origin.name}:{origin.version}"})
        contract = datasets.prepared(dataset).contract
        refuse_any("contract-mismatch", warm_start_faults(config, contract, origin.config.net, origin.contract))
    return config.for_classes(len(dataset.request.classes))


def _own_model(services: Services, reference: str) -> str:
    try:
        return sharing.own(services, reference)
    except NotFound as error:
        raise _unknown_model(error) from error


def _unknown_model(error: NotFound) -> Invalid:
    return invalid("unknown-model", error.detail, "GET /v1/models lists the models.", "/config/init")


def by_id(session: Session, ids: Iterable[str]) -> dict[str, Training]:
    """The trainings with these ids, by id. Their headers are not read."""
    wanted = select(Training).where(Training.id.in_(list(ids))).options(HEADER_UNREAD)
    return {row.id: row for row in session.scalars(wanted)}


def find(session: Session, *, limit: int, token: str | None) -> Page[Training]:
    """All trainings, newest first."""
    return page(session, select(Training), Training.created, Training.id, limit=limit, token=token)


def record_epoch(session: Session, training: str, values: Mapping[str, float | int | None]) -> None:
    """Store the measurements of an epoch. An epoch that is repeated after a resume replaces its row."""
    session.merge(SeriesRow(training=training, epoch=int(values["epoch"] or 0), values=dict(values)))


def series(session: Session, training: str, after: int) -> Sequence[SeriesRow]:
    """The measurements of the epochs after the epoch `after`, in their order. Raises `NotFound`."""
    if session.get(Training, training, options=[HEADER_UNREAD]) is None:
        raise NotFound("training", training)
    rows = select(SeriesRow).where(SeriesRow.training == training, SeriesRow.epoch > after).order_by(SeriesRow.epoch)
    return session.scalars(rows).all()


def trainable(session: Session, reference: str) -> Dataset:
    """The prepared dataset that a request names. Raises `Invalid` if a net cannot learn from it."""
    dataset = datasets.of_request(session, reference)
    pixels = {split: of_split.pixels for split, of_split in datasets.prepared(dataset).statistics.items()}
    faults = learning_faults([item.name for item in dataset.request.classes], pixels)
    refuse_any("untrainable-dataset", (fault.at("/dataset") for fault in faults))
    return dataset


def check_configs(session: Session, dataset: Dataset, configs: Sequence[TrainConfig]) -> None:
    """Raise `Invalid` for configs that do not fit the dataset, with each fault once."""
    configs = [config_for(session, dataset, config) for config in configs]
    classes, references = len(dataset.request.classes), tuple(datasets.prepared(dataset).references or ())
    faults = dict.fromkeys(
        fault
        for config in configs
        for fault in (*_buffer_faults(dataset, config), *config.data_faults(classes, references))
    )
    refuse_any("untrainable-dataset", faults)


def _buffer_faults(dataset: Dataset, config: TrainConfig) -> Iterator[Fault]:
    """The fault of blocks of different splits that lie closer than the net sees, so that it would be scored on pixels
    that it has learnt from.
    """
    split = dataset.request.split
    reach = margin(config.net.depth)
    if isinstance(split, BlockSplit) and split.buffer_px < reach:
        yield Fault(
            "buffer_too_small",
            f"A net of depth {config.net.depth} sees {reach} px far, but the splits are {split.buffer_px} px apart.",
            f"Make a version of the dataset with split.buffer_px {reach}, or take a smaller net.depth.",
            "/config/net/depth",
        )
