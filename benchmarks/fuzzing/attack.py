"""Sends mutated files to a service, and counts what it answers."""

import json
import re
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from urllib.parse import urlencode

import httpx

from benchmarks.fuzzing import tiff_mutations
from benchmarks.fuzzing.blobs import mutate_bytes
from benchmarks.fuzzing.corpus import Corpus
from benchmarks.fuzzing.geojson import mutate_geojson
from benchmarks.fuzzing.geopackage import mutate_geopackage
from benchmarks.fuzzing.shapefile import mutate_shapefile


def mutate_tiff(random: Random, parent: bytes) -> bytes:
    """Return a TIFF with another directory; other bytes if `parent` is so damaged that it has none."""
    try:
        return tiff_mutations.mutate(parent, random.getrandbits(64))
    except (KeyError, ValueError, IndexError, struct.error, OverflowError):
        return mutate_bytes(random, parent)


MUTATIONS: Mapping[str, Callable[[Random, bytes], bytes]] = {
    "tiff": mutate_tiff,
    "shapefile": mutate_shapefile,
    "geopackage": mutate_geopackage,
    "geojson": mutate_geojson,
}
_BATCH = 64  # files made from one state of the corpus, so that a seed always makes the same files
_CLIENTS = 4
_CLASSES = urlencode({"class_field": "crop", "classes": json.dumps({"甘蔗": 1, "*": 0})})
_VARYING = re.compile(r"'[^']*'|\"[^\"]*\"|[0-9][0-9,.e+-]*")  # what differs between answers of one kind


@dataclass
class Tally:
    """What the service answered to the files of one kind."""

    opens: int = 0
    accepted: int = 0
    refused: int = 0
    limited: int = 0  # of those refused: stopped by a limit of the child that read them
    crashed: int = 0  # of those refused: the child that read them crashed
    errors: list[str] = field(default_factory=list)  # 5xx, no answer, or an accepted file that cannot be served
    slowest_s: float = 0.0


@dataclass(frozen=True)
class _Case:
    kind: str
    name: str
    file: bytes


@dataclass(frozen=True)
class _Answer:
    status: int
    text: str  # codes and details without what varies
    seconds: float
    later: int  # worst status of what was asked about an accepted file


def attack(base: str, corpus: Corpus, *, opens: int, seed: int, failures: Path) -> dict[str, Tally]:
    """Send `opens` mutated files to the service at `base`; return a tally for each kind of file.

    seed: The same seed and corpus make the same files. failures: Folder for the files that the service failed on.
    """
    tallies = {kind: Tally() for kind in MUTATIONS}
    with httpx.Client(base_url=base, timeout=120) as client, ThreadPoolExecutor(_CLIENTS) as pool:
        for start in range(0, opens, _BATCH):
            cases = [_case(corpus, seed, number) for number in range(start, min(start + _BATCH, opens))]
            for case, answer in zip(cases, pool.map(lambda case: _ask(client, case), cases), strict=True):
                _count(tallies[case.kind], case, answer, failures)
                corpus.grow(case.kind, case.file, answer.text)
    return tallies


def _case(corpus: Corpus, seed: int, number: int) -> _Case:
    random = Random(f"{seed}/{number}")
    kind = random.choice(list(MUTATIONS))
    return _Case(kind, f"{seed}-{number}", MUTATIONS[kind](random, corpus.parent(kind, random)))


def _ask(client: httpx.Client, case: _Case) -> _Answer:
    path = f"/v1/{'scenes' if case.kind == 'tiff' else 'labels'}/{case.name}"
    started = time.monotonic()
    try:
        answer = client.put(path, content=case.file, params=None if case.kind == "tiff" else _CLASSES)
        seconds = time.monotonic() - started
        later = _served(client, path) if answer.status_code == 201 else 0
    except httpx.HTTPError as error:
        return _Answer(599, type(error).__name__, time.monotonic() - started, 0)
    return _Answer(answer.status_code, _text(answer), seconds, later)


def _served(client: httpx.Client, path: str) -> int:
    """Ask for what was accepted, its pixels too, and delete it; return the largest status."""
    paths = [path, f"{path}/data"] if "scenes" in path else [path]
    return max([client.get(each).status_code for each in paths] + [client.delete(path).status_code])


def _text(answer: httpx.Response) -> str:
    if answer.status_code < 300:
        return str(answer.status_code)
    problem = answer.json()
    faults = sorted({f"{fault['code']} {_VARYING.sub('#', fault['detail'])}" for fault in problem.get("errors", [])})
    return f"{answer.status_code} {problem.get('type')} {faults}"[:2000]


def _count(tally: Tally, case: _Case, answer: _Answer, failures: Path) -> None:
    tally.opens += 1
    tally.accepted += answer.status < 300
    tally.refused += 400 <= answer.status < 500
    tally.limited += "inspection-limit" in answer.text
    crashed = "makes the reader" in answer.text
    tally.crashed += crashed
    tally.slowest_s = max(tally.slowest_s, answer.seconds)
    failed = answer.status >= 500 or answer.later >= 500
    if failed:
        tally.errors.append(f"{case.name}: {answer.text[:200]} {answer.later or ''}")
    if failed or crashed or answer.seconds > 2:
        failures.mkdir(parents=True, exist_ok=True)
        (failures / f"{case.kind}-{case.name}").write_bytes(case.file)


@contextmanager
def probing(base: str) -> Iterator[list[float]]:
    """Ask for /healthz four times a second during the block. Yields the seconds that each answer took."""
    taken: list[float] = []
    stop = threading.Event()

    def probe() -> None:
        with httpx.Client(base_url=base, timeout=120) as client:
            while not stop.wait(0.25):
                started = time.monotonic()
                client.get("/healthz").raise_for_status()
                taken.append(time.monotonic() - started)

    thread = threading.Thread(target=probe)
    thread.start()
    try:
        yield taken
    finally:
        stop.set()
        thread.join()
