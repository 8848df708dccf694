"""The Python client. It needs only httpx2, or httpx, and is one file that a portal can copy.

c = Client("http://127.0.0.1:8000")
c.upload_scene("s1.tif", acquired="2018-10-12")
c.upload_labels("plots.gpkg", class_field="crop", classes={"sugarcane": 1, "*": 0})
d = c.create_dataset("gx", scenes=["s1", "s2", "s3"], labels=["plots"], train=["s1"], val=["s2"], test=["s3"]).wait()
t = c.train(d.id, register_as="cane", config={"epochs": 20}).wait(progress=True)
e = c.experiment(d.id, lovasz_weights=[0, 0.5]).wait()
print(e.table())
e.figures("figures/")
p = c.predict("s4", model=t.reference).wait()
p.download("out/")
print(p.areas())
"""

import base64
import hashlib
import json
import logging
import os
import re
import sys
import time
import unicodedata
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote, urlencode

try:
    import httpx2 as httpx
except ImportError:  # httpx has the same interface, and had its last release in 2024
    import httpx  # type: ignore[no-redef]

Json = dict[str, Any]
Show = Callable[[Json], None]
FINAL = ("successful", "failed", "dismissed")
Unreachable = httpx.TransportError
"""What every request raises when the service cannot be reached."""
TRIES = 5
LONGEST_PAUSE_S = 60  # a service that asks for more is not asked again: whoever called decides
TRANSIENT = (423, 429, 503)
ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,79}")  # of an uploaded file
PIECE_BYTES = 32 * 1024**2  # a larger file is uploaded in pieces of this size
log = logging.getLogger("canemap")


class CanemapError(Exception):
    """The service refused a request.

    status: the HTTP status, 0 if unknown. type: the stable code of the problem. detail: the problem in one sentence.
    errors: all faults of the request, each with pointer, code, detail and hint. subject: name of the file, or "".
    retry_after_s: seconds after which the service says that another try is sensible; None if it does not say.
    """

    def __init__(self, problem: Json, subject: str = "") -> None:
        self.problem = problem
        self.subject = subject
        self.status: int = problem.get("status", 0)
        self.type: str = problem.get("type", "about:blank")
        self.detail: str = problem.get("detail", "")
        self.errors: list[Json] = problem.get("errors", [])
        self.retry_after_s: float | None = problem.get("retry_after_s")
        super().__init__(self._text())

    def _text(self) -> str:
        lines = [f"{self._where(error)}{_ended(error['detail'])} {error['hint']}" for error in self.errors]
        if self.status == 409 or not lines:  # the errors name other resources, and not places in the request
            lines.insert(0, f"{self.subject}: {self.detail}" if self.subject else self.detail)
        return "\n".join(lines)

    def _where(self, error: Json) -> str:
        if self.status == 409:
            return "  "
        return (", ".join(filter(None, (self.subject, error["pointer"]))) or "the input") + ": "


class JobFailed(CanemapError):
    """The job failed."""


class JobDismissed(CanemapError):
    """The job was dismissed."""


class Client:
    """A connection to a canemap service.

    url: Address of the service; by default the environment variable CANEMAP_URL, or http://127.0.0.1:8000 without it.
    key: API key, sent as a bearer token; by default the environment variable CANEMAP_KEY, if it is set.
    language: Language of texts, like "zh"; by default the environment variable CANEMAP_LANG, or else English.
    timeout_s: Longest time that one request may wait for the service, in seconds.
    """

    def __init__(
        self, url: str | None = None, key: str | None = None, *, language: str | None = None, timeout_s: float = 120
    ) -> None:
        self.url = (url or os.environ.get("CANEMAP_URL") or "http://127.0.0.1:8000").rstrip("/")
        key = key or os.environ.get("CANEMAP_KEY")
        if key and not (key.isascii() and key.isprintable()):
            raise _problem("bad-key", "The key has characters that no key has. Correct CANEMAP_KEY.")
        language = language or os.environ.get("CANEMAP_LANG")
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        headers |= {"Accept-Language": language} if language else {}
        try:
            self._http = httpx.Client(base_url=self.url, headers=headers, timeout=timeout_s)
        except httpx.InvalidURL as error:
            raise _problem("bad-url", f"{self.url!r} is no address of a service: {error}.") from error
        if self._http.base_url.scheme not in ("http", "https") or not self._http.base_url.host:
            self._http.close()
            raise _problem("bad-url", f"{self.url!r} is no address of a service. Write it like http://127.0.0.1:8000.")

    def __enter__(self) -> Self:
        """Return this client, which is closed at the end of the `with` block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connection."""
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def upload_scene(
        self,
        path: str | Path,
        id: str | None = None,
        *,
        acquired: str | None = None,
        sensor: str | None = None,
        bands: Sequence[str] | None = None,
        nodata: float | None = None,
        title: str | None = None,
    ) -> Json:
        """Upload a GeoTIFF and return its STAC Item. Uploading the same file again is harmless.

        id: by default `id_of_file` of the file's name. acquired: date or RFC 3339 time. title: Name for people, in any
        script; by default the file's name, if the id had to be made from it. Of a scene that is there it stays.
        """
        parameters = {
            "acquired": acquired,
            "sensor": sensor,
            "bands": ",".join(bands) if bands else None,
            "nodata": nodata,
            "title": title,
        }
        return self._upload("scenes", Path(path), id, parameters)

    def upload_labels(
        self,
        path: str | Path,
        id: str | None = None,
        *,
        class_field: str | None = None,
        classes: Mapping[str, int] | None = None,
        crs: str | None = None,
        background: int | None = None,
        field_id: str | None = None,
        layer: str | None = None,
        title: str | None = None,
    ) -> Json:
        """Upload labels, as polygons or as a raster, and return their document with the report of the inspection.

        id, title: as for `upload_scene`. classes: class value of each value of `class_field`.
        background: class of what no polygon covers: 255 for unlabelled, which is the default, or 0 if all of it is of
        class 0. layer: the layer to read, of a file that holds several.
        """
        parameters = {
            "class_field": class_field,
            "classes": json.dumps(classes, ensure_ascii=False) if classes else None,
            "crs": crs,
            "background": background,
            "field_id": field_id,
            "layer": layer,
            "title": title,
        }
        return self._upload("labels", Path(path), id, parameters)

    def upload_zones(
        self,
        path: str | Path,
        id: str | None = None,
        *,
        code_field: str | None = None,
        name_field: str | None = None,
        parent_field: str | None = None,
        crs: str | None = None,
        layer: str | None = None,
        title: str | None = None,
    ) -> Json:
        """Upload administrative polygons and return their document with the report of the inspection.

        id, title: as for `upload_scene`. code_field, name_field, parent_field: the attributes that hold the code and
        the name of a zone, and the code of what it is a part of.
        """
        parameters = {
            "code_field": code_field,
            "name_field": name_field,
            "parent_field": parent_field,
            "crs": crs,
            "layer": layer,
            "title": title,
        }
        return self._upload("zones", Path(path), id, parameters)

    def create_dataset(
        self,
        name: str,
        *,
        scenes: Sequence[str],
        labels: Sequence[str],
        train: Sequence[str] = (),
        val: Sequence[str] = (),
        test: Sequence[str] = (),
        split: Json | None = None,
        **more: Any,
    ) -> "Work":
        """Create a new version of a dataset.

        train, val, test: The scenes of each split. split: Replaces these three; see `split` in docs/http-api.md.
        more: Further fields of the request, such as title.
        """
        by_scene = {"by": "scene", "train": list(train), "val": list(val), "test": list(test)}
        body = {"name": name, "scenes": list(scenes), "labels": list(labels), "split": split or by_scene, **more}
        return Work(self, "datasets", self._post("/v1/datasets", body))

    def train(
        self, dataset: str, *, register_as: str | None = None, config: Json | None = None, title: str | None = None
    ) -> "Training":
        """Train a net on a dataset. register_as: name of the model; by default the dataset's name."""
        body = {"dataset": dataset, "register_as": register_as, "config": config or {}, "title": title}
        return Training(self, "trainings", self._post("/v1/trainings", body))

    def experiment(
        self,
        dataset: str,
        *,
        variants: Sequence[Json] = (),
        lovasz_weights: Sequence[float] = (),
        seeds: Sequence[int] = (0, 1, 2),
        config: Json | None = None,
        register_as: str | None = None,
        title: str | None = None,
    ) -> "Experiment":
        """Train each variant with each seed and compare the variants.

        variants: Each is like {"name": "ce", "config": {"loss": {"ce": 1}}}.
        """
        body = {
            "dataset": dataset,
            "variants": list(variants),
            "lovasz_weights": list(lovasz_weights),
            "seeds": list(seeds),
            "config": config or {},
            "register_as": register_as,
            "title": title,
        }
        return Experiment(self, "experiments", self._post("/v1/experiments", body))

    def predict(
        self, scene: str, *, model: str, config: Json | None = None, parts: int = 1, title: str | None = None
    ) -> "Prediction":
        """Map a scene with a model: "cane@champion", "cane:3", or "cane" for its champion.

        parts: Number of jobs that the map is divided into, so that several workers share it.
        """
        body = {"scene": scene, "model": model, "config": config or {}, "parts": parts, "title": title}
        return Prediction(self, "predictions", self._post("/v1/predictions", body))

    def survey(
        self,
        scenes: Sequence[str] | None = None,
        *,
        model: str,
        query: Json | None = None,
        overlap: str = "newest",
        **more: Any,
    ) -> "Survey":
        """Map many scenes with a model, as one mosaic in which each piece of ground counts once.

        query: Instead of scenes, like {"bbox": [107, 22, 109, 24], "datetime": "2024-10-01/2025-02-28"}. overlap: Which
        scene a pixel comes from: "newest", "best", or "priority", which is the order of `scenes`. more: zones, crs,
        resolution_m, config and title; see docs/surveys.md.
        """
        body = {"scenes": scenes, "query": query, "model": model, "overlap": overlap, **more}
        given = {name: value for name, value in body.items() if value is not None}
        return Survey(self, "surveys", self._post("/v1/surveys", given))

    def draw_sample(self, map: str, *, design: Json, title: str | None = None, zones: str | None = None) -> "Sample":
        """Draw a probability sample of the map of a prediction, or of the mosaic of a survey.

        map: Id of the prediction or survey. design: Like {"n": 400} or {"target_cv": 0.05}; see docs/samples.md.
        zones: Id of a zone set, for the strata "class_x_zone".
        """
        body = {"map": map, "zones": zones, "design": design, "title": title}
        return Sample(self, "samples", self._post("/v1/samples", body))

    def create_schedule(
        self, name: str, *, cron: str, training: Json, timezone: str = "UTC", promote: Json | None = None, **more: Any
    ) -> Json:
        """Retrain at the times of a cron expression.

        For example training={"dataset": "gx", "register_as": "cane"} and promote={"min_gain": 0.005}.
        """
        body = {"name": name, "cron": cron, "timezone": timezone, "training": training, "promote": promote, **more}
        return self._post("/v1/schedules", body)

    def change_schedule(self, name: str, **changes: Any) -> Json:
        """Change single fields of a schedule: cron, timezone, training, promote, enabled."""
        return _json(self._send("PATCH", f"/v1/schedules/{_quoted(name)}", json=changes))

    def delete_schedule(self, name: str) -> None:
        """Delete a schedule and its runs. The models that they trained stay."""
        self._send("DELETE", f"/v1/schedules/{_quoted(name)}")

    def run_schedule(self, name: str) -> Json:
        """Run a schedule now and return the run; `training` in it is the id of the training and of its job."""
        return self._post(f"/v1/schedules/{_quoted(name)}/run", {})

    def dataset(self, id: str) -> "Work":
        """The dataset with the id "name:version"."""
        return Work(self, "datasets", self.get(f"/v1/datasets/{_quoted(id)}"))

    def training(self, id: str) -> "Training":
        """The training with this id."""
        return Training(self, "trainings", self.get(f"/v1/trainings/{_quoted(id)}"))

    def experiment_of(self, id: str) -> "Experiment":
        """The experiment with this id."""
        return Experiment(self, "experiments", self.get(f"/v1/experiments/{_quoted(id)}"))

    def prediction(self, id: str) -> "Prediction":
        """The prediction with this id."""
        return Prediction(self, "predictions", self.get(f"/v1/predictions/{_quoted(id)}"))

    def surveys(self) -> Iterator[Json]:
        """All surveys, newest first."""
        return self._list("/v1/surveys", {})

    def survey_of(self, id: str) -> "Survey":
        """The survey with this id."""
        return Survey(self, "surveys", self.get(f"/v1/surveys/{_quoted(id)}"))

    def samples(self) -> Iterator[Json]:
        """All samples, newest first."""
        return self._list("/v1/samples", {})

    def sample(self, id: str) -> "Sample":
        """The sample with this id."""
        return Sample(self, "samples", self.get(f"/v1/samples/{_quoted(id)}"))

    def schedules(self) -> Iterator[Json]:
        """All schedules, newest first."""
        return self._list("/v1/schedules", {})

    def schedule(self, name: str) -> Json:
        """The schedule with this name."""
        return self.get(f"/v1/schedules/{_quoted(name)}")

    def schedule_runs(self, name: str) -> Iterator[Json]:
        """All runs of a schedule, newest first, each with its verdict."""
        return self._list(f"/v1/schedules/{_quoted(name)}/runs", {})

    def create_webhook(self, url: str, *, events: Sequence[str] | None = None, title: str | None = None) -> Json:
        """Let signed messages about events be sent to an https address; `secret` of the answer is shown only now.

        events: Like ["job.successful", "job.failed"]; by default all.
        """
        return self._post("/v1/webhooks", {"url": url, "events": events and list(events), "title": title})

    def webhooks(self) -> Iterator[Json]:
        """All webhooks, newest first, without their secrets."""
        return self._list("/v1/webhooks", {})

    def webhook(self, id: str) -> Json:
        """The webhook with this id, without its secret."""
        return self.get(f"/v1/webhooks/{_quoted(id)}")

    def change_webhook(self, id: str, **changes: Any) -> Json:
        """Change single fields of a webhook: url, events, title, enabled."""
        return _json(self._send("PATCH", f"/v1/webhooks/{_quoted(id)}", json=changes))

    def delete_webhook(self, id: str) -> None:
        """Delete a webhook and its deliveries, also those that wait."""
        self._send("DELETE", f"/v1/webhooks/{_quoted(id)}")

    def rotate_webhook(self, id: str, *, overlap: str = "1d") -> Json:
        """Make a new secret; for the time `overlap` messages are signed with the old one as well."""
        return self._post(f"/v1/webhooks/{_quoted(id)}/rotate", {"overlap": overlap})

    def test_webhook(self, id: str) -> Json:
        """Send a message that tells nothing, and return its delivery."""
        return self._post(f"/v1/webhooks/{_quoted(id)}/test", {})

    def deliveries(self, webhook: str) -> Iterator[Json]:
        """The deliveries of a webhook, newest first, each with its attempts."""
        return self._list(f"/v1/webhooks/{_quoted(webhook)}/deliveries", {})

    def delivery(self, webhook: str, id: str) -> Json:
        """One delivery of a webhook."""
        return self.get(f"/v1/webhooks/{_quoted(webhook)}/deliveries/{_quoted(id)}")

    def redeliver(self, webhook: str, id: str) -> Json:
        """Send a message once more, with the same webhook-id, and return its delivery."""
        return self._post(f"/v1/webhooks/{_quoted(webhook)}/deliveries/{_quoted(id)}/redeliver", {})

    def signed_url(self, path: str, *, expires_s: int = 3600) -> str:
        """An address that works without a key until it expires, for map programs that can show none.

        path: That of a file, a picture or tiles, like "/v1/predictions/ID/classes.tif". expires_s: In seconds.
        """
        url: str = self._post("/v1/signed-urls", {"path": path, "expires_s": expires_s})["url"]
        return url

    def scenes(self, **filters: Any) -> Iterator[Json]:
        """All scenes, newest first; filters: bbox="w,s,e,n", datetime="start/end"."""
        return self._list("/v1/scenes", filters)

    def scene_preview(
        self,
        id: str,
        path: str | Path,
        *,
        max_size: int = 1024,
        bands: Sequence[str] = (),
        stretch: str | None = None,
    ) -> Path:
        """Save a picture of a scene as a .png.

        max_size: Its longest side in pixels. bands: One band, drawn in grey, or three, by names or numbers; by default
        red, green and blue. stretch: The values that are drawn dark and bright, like "0,3000" or "p2,p98".
        """
        given = {"bands": ",".join(bands), "stretch": stretch}
        query = {"max_size": max_size} | {name: value for name, value in given.items() if value}
        return self._download(f"/v1/scenes/{_quoted(id)}/preview.png?{urlencode(query)}", Path(path))

    def labels(self) -> Iterator[Json]:
        """All label sets, newest first."""
        return self._list("/v1/labels", {})

    def zones(self) -> Iterator[Json]:
        """All zone sets, newest first."""
        return self._list("/v1/zones", {})

    def zone_set(self, id: str) -> Json:
        """The zone set with this id, with its report."""
        return self.get(f"/v1/zones/{_quoted(id)}")

    def zone_features(self, id: str) -> Json:
        """The zones of a zone set as GeoJSON in WGS 84, with code, name, parent and area_ha."""
        return self.get(f"/v1/zones/{_quoted(id)}/features")

    def datasets(self) -> Iterator[Json]:
        """All datasets, newest first."""
        return self._list("/v1/datasets", {})

    def trainings(self) -> Iterator[Json]:
        """All trainings, newest first."""
        return self._list("/v1/trainings", {})

    def experiments(self) -> Iterator[Json]:
        """All experiments, newest first."""
        return self._list("/v1/experiments", {})

    def predictions(self, **filters: Any) -> Iterator[Json]:
        """All predictions, newest first; filters: status, bbox, datetime."""
        return self._list("/v1/predictions", filters)

    def jobs(self, **filters: Any) -> Iterator[Json]:
        """All jobs, newest first; filters: status, processID."""
        return self._list("/v1/jobs", filters)

    def job(self, id: str, *, wait_s: float = 0) -> Json:
        """The job with this id. wait_s: wait until the job has ended, at most this number of seconds (60 at most)."""
        return self.get(f"/v1/jobs/{_quoted(id)}", wait=wait_s or None)

    def wait(self, id: str, *, progress: bool | Show = False, timeout_s: float | None = None) -> Json:
        """Wait until the job with this id has succeeded, and return it. See `Work.wait`."""
        show = progress if callable(progress) else _show_line if progress else _ignore
        deadline = time.monotonic() + (float("inf") if timeout_s is None else timeout_s)
        while True:
            try:
                job = self.job(id, wait_s=1 if progress else 30)
            except CanemapError as error:
                if error.status != 429 or time.monotonic() > deadline:  # too many wait at once: this one goes on later
                    raise
                continue
            show(job)
            if job["status"] in FINAL:
                break
            if time.monotonic() > deadline:
                raise TimeoutError(f"{id} is still {job['status']} after {timeout_s} s")
        if job["status"] == "failed":
            raise JobFailed(job["error"])
        if job["status"] == "dismissed":
            raise JobDismissed({"type": "dismissed", "status": 410, "detail": f"{id} was dismissed."})
        return job

    def dismiss(self, id: str) -> Json:
        """Dismiss a job and return it. A running job stops as soon as its worker has noticed."""
        return _json(self._send("DELETE", f"/v1/jobs/{_quoted(id)}"))

    def retry(self, id: str) -> "Work":
        """Do a job again that failed or was dismissed; returns the resource that it makes."""
        headers = {"Idempotency-Key": str(uuid.uuid4())}
        url = f"/v1/jobs/{_quoted(id)}/retry"
        answer = _send_with_retries(lambda: self._http.post(url, headers=headers))
        path = answer.headers["Location"]
        return Work(self, path.split("/")[2], self.get(path))

    def would_delete(self, kind: str, id: str, *, cascade: bool = False) -> Json:
        """What `delete` would delete with the same arguments: `items`, each with kind, id and href, and `counts`."""
        query = {"dry_run": True, "cascade": cascade}
        answer: Json = self._send("DELETE", _path_of(kind, id), params=query).json()
        return answer

    def delete(self, kind: str, id: str, *, cascade: bool = False) -> None:
        """Delete a resource. It is refused while something needs it.

        kind: scene, labels, zones, dataset, training, experiment, evaluation, prediction, survey, sample, model or
            schedule.
        id: of a dataset "name:1", of a model "name" or of one version "name:1".
        cascade: Delete everything that needs the resource with it; `would_delete` says what that is.
        """
        self._send("DELETE", _path_of(kind, id), params={"cascade": cascade} if cascade else {})

    def set_title(self, kind: str, id: str, title: str | None) -> Json:
        """Give a resource another title, or none; returns its document. kind, id: as for `delete`."""
        return _json(self._send("PATCH", _path_of(kind, id), json={"title": title}))

    def log(self, id: str) -> str:
        """The log of a job, as text."""
        return self._send("GET", f"/v1/jobs/{_quoted(id)}/log").text

    def models(self) -> Iterator[Json]:
        """All models in the order of their names, each with its newest version."""
        return self._list("/v1/models", {})

    def model(self, name: str) -> Json:
        """A model with its versions."""
        return self.get(f"/v1/models/{_quoted(name)}")

    def model_version(self, name: str, which: str | int = "@champion") -> Json:
        """A version of a model with its metrics and contract. which: its number, or "@" and an alias."""
        return self.get(f"/v1/models/{_quoted(name)}/versions/{_quoted(str(which))}")

    def evaluate(self, name: str, dataset: str, *, which: str | int = "@champion", split: str = "test") -> "Work":
        """Score a model version on one split of any dataset. When it has ended, the document holds `metrics`."""
        path = f"/v1/models/{_quoted(name)}/versions/{_quoted(str(which))}/evaluations"
        return Work(self, "evaluations", self._post(path, {"dataset": dataset, "split": split}))

    def promote(self, name: str, version: int, *, alias: str = "champion", reason: str = "") -> Json:
        """Point an alias at a version. To undo this, point it at the earlier version again."""
        url = f"/v1/models/{_quoted(name)}/aliases/{_quoted(alias)}"
        return _json(self._send("PUT", url, json={"version": version, "reason": reason}))

    def ask_for_approval(self, name: str, approval: bool = True) -> Json:
        """Let only keys with the scope approve move the aliases of a model, or everybody who may train."""
        return _json(self._send("PATCH", f"/v1/models/{_quoted(name)}", json={"approval": approval}))

    def export_model(self, name: str, path: str | Path, which: str | int = "@champion") -> Path:
        """Download a version as one file, which `import_model` of any canemap service accepts."""
        return self._download(f"/v1/models/{_quoted(name)}/versions/{_quoted(str(which))}/bundle", Path(path))

    def import_model(self, name: str, path: str | Path) -> Json:
        """Register a downloaded version as the next version of `name`."""
        headers = {"Idempotency-Key": str(uuid.uuid4())}  # so that a second attempt cannot make a second version

        def send() -> httpx.Response:
            with Path(path).open("rb") as file:  # streamed; opened anew for each attempt
                return self._http.post(f"/v1/models/{_quoted(name)}/versions", content=file, headers=headers)

        return _json(_send_with_retries(send))

    def ready(self) -> bool:
        """Whether the service can be reached and everything that it needs is available."""
        try:
            return self._http.get("/readyz").is_success
        except httpx.TransportError:
            return False

    def get(self, path: str, **parameters: Any) -> Json:
        """The JSON document at a path of the API. parameters: query parameters; those that are None are left out."""
        query = {name: value for name, value in parameters.items() if value is not None}
        return _json(self._send("GET", path, params=query))

    def _upload(self, kind: str, path: Path, id_: str | None, parameters: Json) -> Json:
        chosen = id_ or id_of_file(path.name)
        if not id_ and chosen != stem_of(path.name):
            parameters = {**parameters, "title": parameters["title"] or title_of_file(path.name)}
        try:
            return self._upload_file(kind, path, chosen, parameters)
        except CanemapError as error:
            raise CanemapError(error.problem, path.name) from error

    def _upload_file(self, kind: str, path: Path, id_: str, parameters: Json) -> Json:
        with path.open("rb") as file:
            digest = base64.b64encode(hashlib.file_digest(file, "sha256").digest()).decode()
        url = f"/v1/{kind}/{_quoted(id_)}"
        headers = {"Content-Digest": f"sha-256=:{digest}:"}
        query = {key: value for key, value in parameters.items() if value is not None}

        def send_whole() -> httpx.Response:
            with path.open("rb") as file:  # streamed; opened anew for each attempt
                return self._http.put(url, content=file, params=query, headers=headers)

        if path.stat().st_size > PIECE_BYTES:
            with_upload = query | {"upload": self._send_pieces(path)}
            try:
                answer = self._send("PUT", url, params=with_upload, headers=headers)
            except CanemapError as error:
                if error.status != 404:
                    raise
                # the upload was used already and that answer was lost: sending the same file again is harmless
                answer = _send_with_retries(send_whole)
        else:
            answer = _send_with_retries(send_whole)
        return _json(answer)

    def _send_pieces(self, path: Path) -> str:
        """Upload the file in pieces and return the id of the upload.

        When the connection breaks, bytes that have arrived are not sent again.
        """
        size = path.stat().st_size
        headers = {"Idempotency-Key": str(uuid.uuid4()), "Upload-Length": str(size)}
        id_: str = _json(_send_with_retries(lambda: self._http.post("/v1/uploads", headers=headers)))["id"]
        url = f"/v1/uploads/{id_}"

        def send_next() -> httpx.Response:
            if (state := self._http.head(url)).is_error:
                return state
            offset = _offset(state)
            with path.open("rb") as file:
                file.seek(offset)
                piece = file.read(PIECE_BYTES)
            return self._http.patch(url, content=piece, headers={"Upload-Offset": str(offset)})

        while _offset(_send_with_retries(send_next)) < size:
            pass
        return id_

    def _post(self, path: str, body: Json) -> Json:
        content = {key: value for key, value in body.items() if value is not None}
        headers = {"Idempotency-Key": str(uuid.uuid4())}  # so that a second attempt cannot start the work twice
        return _json(_send_with_retries(lambda: self._http.post(path, json=content, headers=headers)))

    def _send(self, method: str, path: str, **options: Any) -> httpx.Response:
        if method == "POST":  # without an Idempotency-Key it must not be sent twice
            return _checked(self._http.request(method, path, **options))
        return _send_with_retries(lambda: self._http.request(method, path, **options))

    def _list(self, path: str, filters: Json) -> Iterator[Json]:
        token = None
        while True:
            page = self.get(path, token=token, **filters)
            items: list[Json] = page["items"] if "items" in page else page["features"]
            yield from items
            token = page["next"]
            if token is None:
                return

    def _download(self, path: str, target: Path) -> Path:
        """Download to a file beside `target` and rename it at the end, so that `target` is always complete."""
        part = target.with_name(target.name + ".part")

        def send() -> httpx.Response:
            with self._http.stream("GET", path) as answer:
                if answer.is_error:
                    answer.read()
                    return answer
                target.parent.mkdir(parents=True, exist_ok=True)
                with part.open("wb") as file:
                    for chunk in answer.iter_bytes(1024 * 1024):
                        file.write(chunk)
                return answer

        _send_with_retries(send)
        return part.replace(target)


class Work:
    """A resource that a job makes. document: the resource as the API last returned it."""

    def __init__(self, client: Client, kind: str, document: Json) -> None:
        self.client = client
        self.kind = kind
        self.document = document

    @property
    def id(self) -> str:
        """Id of the resource, and of its job."""
        return str(self.document["id"])

    @property
    def status(self) -> str:
        """Status of the job when the document was last fetched."""
        return str(self.document["job"]["status"])

    def refresh(self) -> Self:
        """Fetch the document again."""
        self.document = self.client.get(f"/v1/{self.kind}/{_quoted(self.id)}")
        return self

    def wait(self, *, progress: bool | Show = False, timeout_s: float | None = None) -> Self:
        """Wait until the job has succeeded, and fetch the document.

        progress: True shows the progress as a line on standard error; a function is called with each job document.
        timeout_s: Longest time to wait, in seconds; None waits without a limit.

        Raises:
            JobFailed: The job failed.
            JobDismissed: The job was dismissed.
            TimeoutError: The job has not ended within `timeout_s`. It is not stopped.
        """
        self.client.wait(self.id, progress=progress, timeout_s=timeout_s)
        return self.refresh()

    def _measured(self, name: str, **query: str | None) -> httpx.Response:
        """Ask for what is measured when it is asked for first, until it is known. query: Those that are not None."""
        given = {key: value for key, value in query.items() if value is not None}
        while True:
            try:
                return self.client._send("GET", f"/v1/{self.kind}/{_quoted(self.id)}/{name}", params=given)
            except CanemapError as error:
                if error.type != "being-measured":
                    raise

    def dismiss(self) -> Self:
        """Dismiss the job and fetch the document."""
        self.client.dismiss(self.id)
        return self.refresh()

    def figures(self, folder: str | Path, *, language: str = "en", format: str = "png") -> list[Path]:
        """Download all figures of a dataset, training or experiment into `folder`.

        language: "en" or "zh". format: "png" or "svg".
        """
        base = f"/v1/{self.kind}/{_quoted(self.id)}/figures"
        names = [item["name"] for item in self.client.get(base)["items"]]
        return [
            self.client._download(f"{base}/{name}.{format}?lang={language}", Path(folder) / f"{name}.{format}")
            for name in names
        ]


class Training(Work):
    """A training and its job."""

    def series(self, after: int = 0) -> list[Json]:
        """The measured values of each epoch later than `after`. They can be read while the training still runs."""
        rows: list[Json] = self.client.get(f"/v1/trainings/{_quoted(self.id)}/series", after=after)["items"]
        return rows

    @property
    def reference(self) -> str:
        """The model version that the training registered, like "cane:2", as `predict` takes it.

        Only the first version of a model becomes its champion; `document["champion"]` is the number of the one now.
        """
        return "{name}:{version}".format(**self.document["model"])

    @property
    def model(self) -> Json:
        """The model version that the training registered, with its metrics."""
        made = self.document["model"]
        return self.client.model_version(made["name"], made["version"])


class Experiment(Work):
    """The comparison of variants, each trained with several seeds. The document holds the table and differences."""

    def table(self, f: str = "md") -> str:
        """The table of the comparison, as text. f: its format, "md", "csv" or "json"."""
        return self.client._send("GET", f"/v1/experiments/{_quoted(self.id)}", params={"f": f}).text


class _Map(Work):
    """A map that is drawn on a sheet: that of a prediction, or the mosaic of a survey."""

    def sheet(
        self,
        path: str | Path,
        *,
        paper: str = "a4",
        language: str = "en",
        title: str | None = None,
        zones: str | None = None,
    ) -> Path:
        """Save a map sheet to print: a .pdf or a .png by the name of `path`.

        paper: "a4" or "a3". language: "en" or "zh". title: Of the sheet; by default that of the prediction or survey.
        zones: Id of a zone set that is drawn, too, with its hectares.
        """
        target = Path(path)
        name = f"sheet{target.suffix.lower()}"
        answer = self._measured(name, paper=paper, lang=language, title=title or None, zones=zones or None)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(answer.content)
        return target


class Prediction(_Map):
    """The map of one scene, made by one model version, and its job."""

    def replay(self) -> "Prediction":
        """Start a new prediction with the same scene, model version and config."""
        properties = self.document["properties"]
        model = "{name}:{version}".format(**properties["model"])
        return self.client.predict(properties["scene"], model=model, config=properties["config"])

    def differences(self, other: "Prediction") -> list[str]:
        """The differences between two predictions, one sentence each; empty if all products are equal byte by byte.

        If a product differs, differences of what made the two are listed, too: model, engine, precision, processor,
        number of threads, libraries and code, as far as they are recorded.
        """
        mine, theirs = (self.refresh().document, other.refresh().document)
        sums = [{name: asset["file:checksum"] for name, asset in d["assets"].items()} for d in (mine, theirs)]
        changed = [name for name in sums[0] if sums[0][name] != sums[1].get(name)]
        if not changed:
            return []
        made = [{"model": d["properties"]["model"], **(d["properties"].get("software") or {})} for d in (mine, theirs)]
        causes = [
            f"{key} was {made[0].get(key)}, is {made[1].get(key)}"
            for key in sorted(made[0].keys() | made[1].keys())
            if made[0].get(key) != made[1].get(key)
        ]
        return [f"{name} differs" for name in changed] + (causes or ["what made them is the same"])

    @property
    def warnings(self) -> list[Json]:
        """How the scene is unlike the training of the model, each with code, detail and hint, as far as it is known."""
        found: list[Json] = self.document["properties"].get("warnings", [])
        return found

    def areas(self, zones: str | None = None) -> list[Json]:
        """Areas in hectares of class 1, or of each class if there are more than two.

        zones: Id of a zone set; each zone has these rows then. A large map is measured in minutes when this is asked
        first.

        Each row has the observed and the mapped area, and the adjusted area with its 95 % prediction interval. Where
        these cannot be estimated they are None, and "why" is the reason. "applicability" is "inside", "partly" or
        "outside", and "outside_ha" the area whose values lie outside those of the training.
        """
        rows: list[Json] = _json(self._areas("json", zones))["items"]
        return rows

    def areas_csv(self, zones: str | None = None) -> str:
        """The rows of `areas` as a table for spreadsheets, with columns for scene, model, date and prediction."""
        return self._areas("csv", zones).text

    def save_areas(self, path: str | Path, *, zones: str | None = None, language: str = "en") -> Path:
        """Save the rows of `areas` as a table: a .csv, .xlsx or .json by the name of `path`, or .geojson of zones.

        language: "en" or "zh", of the headings and sentences.
        """
        target = Path(path)
        answer = self._areas(target.suffix[1:].lower(), zones, language)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(answer.content)
        return target

    def _areas(self, f: str, zones: str | None, language: str | None = None) -> httpx.Response:
        return self._measured("areas", f=f, zones=zones, lang=language)

    def download(self, folder: str | Path, names: Sequence[str] | None = None) -> list[Path]:
        """Download files of the result into `folder`. names: names of the files; by default all files."""
        wanted = self.refresh().document["assets"] if names is None else names
        base = f"/v1/predictions/{_quoted(self.id)}"
        return [self.client._download(f"{base}/{name}", Path(folder) / name) for name in wanted]

    def polygons(self, path: str | Path, zones: str) -> Path:
        """Save the polygons, cut at the borders of zones, with the zone of each: a .geojson or .gpkg by its name.

        zones: Id of a zone set.
        """
        name = f"zoned-polygons{Path(path).suffix.lower()}?{urlencode({'zones': zones})}"
        return self.client._download(f"/v1/predictions/{_quoted(self.id)}/{name}", Path(path))

    def describe(self, folder: str | Path) -> list[Path]:
        """Save what describes the result into `folder`: its hectares as areas.csv, and its STAC Item as item.json."""
        base, target = f"/v1/predictions/{_quoted(self.id)}", Path(folder)
        wanted = {f"{base}/areas?f=csv": "areas.csv", base: "item.json"}
        return [self.client._download(url, target / name) for url, name in wanted.items()]

    @property
    def tiles(self) -> str | None:
        """Address of the TileJSON of the map, for web maps and QGIS; None if the map has no tiles."""
        link = next((link for link in self.document["links"] if link["rel"] == "tilejson"), None)
        return link and str(httpx.URL(f"{self.client.url}/").join(link["href"]))


class Survey(_Map):
    """Many scenes as one map, and its job."""

    def scenes(self) -> list[Json]:
        """The scenes of the survey: the prediction of each, its status, and how much of the mosaic comes from it."""
        rows: list[Json] = self.client.get(f"/v1/surveys/{_quoted(self.id)}/scenes")["items"]
        return rows

    def areas(self, zones: str | None = None) -> list[Json]:
        """Hectares of the mosaic by class, as `Prediction.areas` has them. zones: Id of a zone set."""
        rows: list[Json] = _json(self._measured("areas", zones=zones))["items"]
        return rows

    def areas_csv(self, zones: str | None = None) -> str:
        """The rows of `areas` as a table for spreadsheets."""
        return self._measured("areas", zones=zones, f="csv").text

    def compare(self, earlier: str, zones: str | None = None, **samples: str | None) -> list[Json]:
        """What each class has gained and lost since an earlier survey, in hectares that both have observed.

        earlier: Id of that survey. zones: Id of a zone set; each zone has these rows then. samples: From which the
        intervals come, as sample, earlier_sample, labeller and earlier_labeller; by default the newest with answers.
        """
        rows: list[Json] = _json(self._measured("compare", **{"with": earlier}, zones=zones, **samples))["items"]
        return rows

    def compare_csv(self, earlier: str, zones: str | None = None, **samples: str | None) -> str:
        """The rows of `compare` as a table for spreadsheets."""
        return self._measured("compare", **{"with": earlier}, zones=zones, f="csv", **samples).text

    def download(self, folder: str | Path) -> list[Path]:
        """Download mosaic.tif, its style mosaic.qml, and sources.tif: the number of the scene of each pixel."""
        links = [each["href"] for each in self.refresh().document["links"] if each["rel"] == "enclosure"]
        return [self.client._download(href, Path(folder) / href.rpartition("/")[2]) for href in links]


class Sample(Work):
    """A probability sample of a map, and its job."""

    def export(self, path: str | Path, *, map_class: bool = False) -> Path:
        """Download the points as a file to label: .csv, .geojson, .gpkg or .kml.

        map_class: Tell also what the map says there, which labellers should not see.
        """
        target = Path(path)
        query = f"f={_quoted(target.suffix[1:].lower())}&map_class={str(map_class).lower()}"
        return self.client._download(f"/v1/samples/{_quoted(self.id)}/points?{query}", target)

    def chips(self, folder: str | Path, points: Sequence[int] | None = None) -> list[Path]:
        """Download pictures of points into `folder`, 1.png and so on. points: their ids; by default all."""
        base = f"/v1/samples/{_quoted(self.id)}/chips"
        wanted = range(1, self.refresh().document["n"] + 1) if points is None else points
        return [self.client._download(f"{base}/{point}.png", Path(folder) / f"{point}.png") for point in wanted]

    def answer(self, path: str | Path, *, labeller: str = "main") -> Json:
        """Send the filled file of points, as CSV or GeoJSON; returns how far the sample is labelled."""
        url, content = f"/v1/samples/{_quoted(self.id)}/answers", Path(path).read_bytes()
        return _json(self.client._send("PUT", url, content=content, params={"labeller": labeller}))

    def answers(self, *, labeller: str | None = None, history: bool = False) -> Json:
        """The answers, how far the sample is labelled, and how well labellers agree.

        history: All answers that were ever given, oldest first.
        """
        return self.client.get(f"/v1/samples/{_quoted(self.id)}/answers", labeller=labeller, history=history)

    def change(
        self, earlier: str, *, labeller: str | None = None, earlier_labeller: str | None = None
    ) -> list[dict[str, Any]]:
        """By how many hectares each class has changed since an earlier sample of the same ground, with a 95 % interval.

        earlier: Its id; or the id of this sample, if `earlier_labeller` and `labeller` have labelled its points as they
        were in the two seasons.
        """
        named = {"earlier": earlier, "labeller": labeller, "earlier_labeller": earlier_labeller}
        items: list[dict[str, Any]] = self.client.get(f"/v1/samples/{_quoted(self.id)}/change", **named)["items"]
        return items

    def estimates(self, *, labeller: str | None = None, zones: str | None = None, min_n: int | None = None) -> Json:
        """Hectares of each class with their 95 % interval, accuracies and the error matrix, from the answers.

        labeller: Whose answers count alone; needed while labellers disagree. zones: Zone set for whose zones there are
        rows, too. min_n: Number of points that a zone needs for an estimate of its own.
        """
        path = f"/v1/samples/{_quoted(self.id)}/estimates"
        return self.client.get(path, labeller=labeller, zones=zones, min_n=min_n)


def id_of_file(name: str) -> str:
    """A valid id for the file `name`, always the same one: its name up to its first dot, if that is valid.

    Otherwise it loses its accents, and other characters become hyphens. Where these were letters, or the name is too
    long, a digest of it follows, so that 武鸣2018.tif and 宾阳2018.tif have different ids: 2018-e44942a3, for instance.
    """
    stem = stem_of(name)
    if ID.fullmatch(stem):
        return stem
    plain = "".join(char for char in unicodedata.normalize("NFKD", stem) if not unicodedata.combining(char))
    kept = re.sub(r"[^A-Za-z0-9_]+", "-", plain).strip("-")
    if kept and plain.isascii() and len(kept) <= 80:
        return kept
    digest = hashlib.sha256(unicodedata.normalize("NFC", stem).encode("utf-8", "surrogatepass")).hexdigest()
    return f"{kept[:71] or 'file'}-{digest[:8]}"


def stem_of(name: str) -> str:
    """The name of a file up to its first dot that is not its first character."""
    return name[:1] + name[1:].split(".")[0]


def title_of_file(name: str) -> str | None:
    """The title of a file whose id was made by `id_of_file`: its name as it is; None if that cannot be a title."""
    return name[:200] if name.isprintable() and name.strip() else None


def _send_with_retries(send: Callable[[], httpx.Response]) -> httpx.Response:
    """Send a request that may be sent twice, `TRIES` times at most, until the service answers and is not busy.

    Between two tries it waits as long as the service asks, if that is not longer than `LONGEST_PAUSE_S`.

    Raises `CanemapError` when the service refuses the request, httpx.TransportError when it cannot be reached.
    """
    for attempt in range(TRIES):
        pause_s = 0.5 * 2**attempt
        try:
            answer = send()
        except httpx.TransportError:
            if attempt + 1 == TRIES:
                raise
        else:
            if answer.status_code not in TRANSIENT or attempt + 1 == TRIES:
                return _checked(answer)
            pause_s = pause_s if (after := _retry_after_s(answer)) is None else after
            if pause_s > LONGEST_PAUSE_S:
                return _checked(answer)
            log.info("%s Trying again in %g s.", _problem_of(answer)["detail"], pause_s)
        time.sleep(pause_s)
    raise AssertionError("unreachable")


def _quoted(text: str) -> str:
    """`text` as one segment of a path: a slash in it must not lead to another address."""
    return quote(text, safe="@")


def _path_of(kind: str, id_: str) -> str:
    """The path of a resource, as `Client.delete` names it."""
    if kind == "model" and ":" in id_:
        name, _, number = id_.rpartition(":")
        return f"/v1/models/{_quoted(name)}/versions/{_quoted(number)}"
    return f"/v1/{kind if kind in ('labels', 'zones') else kind + 's'}/{_quoted(id_)}"


def _offset(answer: httpx.Response) -> int:
    return int(answer.headers["Upload-Offset"])


def _checked(answer: httpx.Response) -> httpx.Response:
    if answer.is_error:
        raise CanemapError(_problem_of(answer))
    return answer


def _problem_of(answer: httpx.Response) -> Json:
    """The problem document of an answer, with the seconds that it asks to wait, if it does."""
    try:
        problem = answer.json()
    except ValueError:
        problem = None
    if not isinstance(problem, dict) or "detail" not in problem:  # it is from a proxy, or from another program
        detail = f"{answer.request.url} answers {answer.status_code} {answer.reason_phrase}."
        problem = {"status": answer.status_code, "detail": detail}
    after = _retry_after_s(answer)
    return problem if after is None else {**problem, "retry_after_s": after}


def _retry_after_s(answer: httpx.Response) -> float | None:
    after = answer.headers.get("retry-after", "")
    return float(after) if after.isdecimal() else None


def _json(answer: httpx.Response) -> Json:
    """The document of an answer. Raises `CanemapError` if it is no document: another program answers there."""
    try:
        document = answer.json()
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise _problem("not-canemap", f"{answer.request.url} does not answer as canemap does: is the address right?")
    return document


def _problem(type_: str, detail: str) -> CanemapError:
    return CanemapError({"type": type_, "detail": detail})


def _ended(sentence: str) -> str:
    """A sentence before another one: with a stop, if it has none."""
    return sentence if sentence.endswith((".", "!", "?", ":", "。")) else f"{sentence}."


def _ignore(job: Json) -> None:
    pass


def _show_line(job: Json) -> None:
    """Show the job's progress as one line on standard error, which the next call overwrites until the job ends."""
    left = f", about {job['eta_s']:.0f} s left" if job["eta_s"] else ""
    line = f"{job['processID']} {job['status']} {job['stage']} {job['done']}/{job['total']}{left}"
    sys.stderr.write(f"\r\x1b[K{line}" + ("\n" if job["status"] in FINAL else ""))
    sys.stderr.flush()
