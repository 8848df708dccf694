"""A whole soak: fleet, customers and storm at the same time, then the history checker and the measurements."""

import math
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random, random
from typing import Any

from app.client import Client
from app.core.db import Database, migrate
from app.settings import Settings
from benchmarks.soak.customers import Customers, Menu
from benchmarks.soak.figures import recoveries, summary
from benchmarks.soak.fleet import Fleet, fleet
from benchmarks.soak.history import FINAL, untold, violations
from benchmarks.soak.receiver import Receiver, receiving
from benchmarks.soak.recorder import Recorder
from benchmarks.soak.storm import Storm
from ml.synthetic import make_scene

Json = dict[str, Any]
QUICK = {
    "lease_s": 4.0,
    "heartbeat_s": 0.5,
    "sweep_s": 0.5,
    "retry_pauses_s": "0.5,1",
    "return_pauses_s": "0.5,1,2",
} | {
    "torch_threads": 1,
    "log_format": "json",
    "webhook_networks": "127.0.0.0/8",
    "webhook_timeout_s": 2.0,
    "webhook_pauses_s": "0.5,1,2,4,8,16,32,64",
}
TRAINING = {
    "net": {"depth": 2, "width": 8},
    "chip_size": 32,
    "batch_size": 4,
    "epochs": 8,
    "steps_per_epoch": 4,
    "optimizer": {"name": "adamw", "lr": 0.003},
}
READY_S = 120.0
DRAIN_S = 180.0  # after the last order: an order that is not complete then never will be
PROGRESS_S = 5.0
MOMENT_S = 0.5


@dataclass(frozen=True)
class Plan:
    """What a soak does.

    jobs, kills: Numbers of orders and of blows. minutes: Time after which no new orders and no blows come. crowd:
    Number of customers, each with one order at a time. only: Names of the blows that are used; empty for all.
    """

    jobs: int
    kills: int
    seed: int
    embedded: bool = False
    minutes: float = math.inf
    apis: int = 2
    workers: int = 3
    crowd: int = 16
    only: tuple[str, ...] = ()


def soak(plan: Plan, folder: Path, say: Callable[[str], None] = print) -> Json:
    """Run a soak; its report, whose `violations` are empty if all promises were kept. folder: For data and logs."""
    settings = Settings(data_dir=folder / "data", database_url="", broker_url="").model_copy(update=QUICK)
    with (
        receiving(plan.seed) as receiver,
        fleet(folder, settings, apis=plan.apis, workers=plan.workers, embedded=plan.embedded) as stage,
    ):
        migrate(stage.settings)
        database = Database(stage.settings.database)
        recorder = Recorder(database)
        with stage:
            customers = Customers(stage.urls, _set_up(stage, folder), plan.jobs, plan.seed)
            with Client(stage.urls[0]) as client:
                events = [f"job.{status}" for status in FINAL]
                receiver.secret = client.create_webhook(receiver.url, events=events)["secret"]
            recorder.install()
            storm = Storm(stage, Random(plan.seed), plan.only)
            start = time.monotonic()
            _run(plan, customers, storm, say)
            seconds = time.monotonic() - start
            _wait_for_messages(stage, recorder, receiver)
            report = _report(recorder, customers, storm, receiver, seconds)
        database.close()
    return {"plan": asdict(plan), **report}


def _set_up(stage: Fleet, folder: Path) -> Menu:
    """Make a dataset and a model, which all orders need; the bodies of the orders."""
    with Client(stage.urls[0]) as client:
        deadline = time.monotonic() + READY_S
        while not client.ready():
            if time.monotonic() > deadline:
                raise TimeoutError(f"the service did not become ready; see the logs in {folder}")
            time.sleep(0.2)
        for seed, name in enumerate(("train", "val")):
            scene = make_scene(folder, name, seed=seed, size_px=128)
            client.upload_scene(scene.image)
            client.upload_labels(scene.plots, class_field="crop", classes={"sugarcane": 1, "*": 0})
        client.upload_scene(make_scene(folder, "tiny", seed=2, size_px=64).image)
        names = ["train", "val"]
        dataset = client.create_dataset("soak", scenes=names, labels=names, train=["train"], val=["val"]).wait()
        client.train(dataset.id, register_as="cane", config=TRAINING | {"epochs": 1}).wait()
        prediction = {"scene": "tiny", "model": "cane:1", "config": {"outputs": ["classes"]}}
        client.predict("tiny", model="cane:1").wait()  # the first prediction may compile convolutions
    return Menu(prediction, {"dataset": dataset.id, "register_as": "storm", "config": TRAINING})


def _run(plan: Plan, customers: Customers, storm: Storm, say: Callable[[str], None]) -> None:
    """Run until all orders are complete. Orders are admitted as blows fall, so that each blow meets running jobs."""
    pace = plan.jobs / (plan.kills + 1)
    deadline, next_line = time.monotonic() + 60 * plan.minutes, 0.0
    customers.start(plan.crowd)
    try:
        while not customers.gone and time.monotonic() < deadline + DRAIN_S:
            blows = len(storm.strikes)
            customers.admitted = math.ceil(pace * (blows + 2))
            if time.monotonic() > deadline:
                customers.take_no_more()
            elif blows < plan.kills and customers.served >= pace * blows:
                storm.strike()
            storm.fleet.tend()
            if time.monotonic() > next_line:
                say(f"{customers.served} of {plan.jobs} orders served, {len(storm.strikes)} of {plan.kills} blows")
                next_line = time.monotonic() + PROGRESS_S
            time.sleep(MOMENT_S * random())  # not from the seed: the number of rounds depends on the machine
    finally:
        customers.close()


def _wait_for_messages(stage: Fleet, recorder: Recorder, receiver: Receiver) -> None:
    """Wait until the receiver was told of every end of a job, or for so long that it never will be."""
    deadline, jobs = time.monotonic() + DRAIN_S, recorder.rows().keys()
    while jobs - {message.job for message in receiver.told} and time.monotonic() < deadline:
        stage.tend()
        time.sleep(MOMENT_S)


def _report(recorder: Recorder, customers: Customers, storm: Storm, receiver: Receiver, seconds: float) -> Json:
    events, rows, told = recorder.events(), recorder.rows(), list(receiver.told)
    ends = {event.job: event.at for event in events if event.status in FINAL}
    first = {message.job: message.at for message in reversed(told)}
    again = {job for job, row in rows.items() if row.attempt > 1}
    kills = {"worker_killed": "a worker killed", "all_killed": "everything killed"}
    struck = [(strike.at, strike.kind) for strike in storm.strikes if strike.kind in kills]
    recovered = list(recoveries(events, struck))
    exits = {"worker_told_to_end": "SIGTERM to exit, worker", "api_told_to_end": "SIGTERM to exit, API"}
    return {
        "violations": violations(customers.orders, events, rows) + untold(rows, told),
        "messages": {
            "jobs told": len(rows.keys() & first.keys()),
            "jobs not told": len(rows.keys() - first.keys()),
            "requests": receiver.requests,
            "taken again": len(told) - len(first),
        },
        "strange_answers": customers.strange,
        "acknowledged": sum(bool(order.ids) for order in customers.orders),
        "ended": Counter(row.status for row in rows.values()),
        "worker_lost": sum(row.error == "worker-lost" for row in rows.values()),
        "attempts": Counter(row.attempt for row in rows.values()),
        "blows": Counter(strike.kind for strike in storm.strikes),
        "strikes": [asdict(strike) for strike in storm.strikes],
        "disturbed": [asdict(event) for event in events if event.job in again],  # these explain what was slow
        "died_by_themselves": storm.fleet.died,
        "minutes": round(seconds / 60, 2),
        "jobs_per_s": round(len(rows) / seconds, 2),
        "figures": {
            **{
                f"{what} to its job {how.replace('_', ' ')}, s": summary(
                    [getattr(found, how) for found in recovered if found.kind == kind]
                )
                for kind, what in kills.items()
                for how in ("given_back", "claimed_again")
            },
            **{
                name: summary([strike.exit_s for strike in storm.strikes if strike.kind == kind and strike.exit_s])
                for kind, name in exits.items()
            },
            "epochs done again in a resumed training": summary(recorder.epochs_again()),
            "end of a job to its message, s": summary([first[job] - ends[job] for job in ends.keys() & first.keys()]),
            "POST, s": summary(customers.submit_s),
            "GET of a job, s": summary(customers.status_s),
        },
    }
