"""Foreign clients of OGC API - Processes map a scene with a running service: OWSLib and ogc-api-processes-client.

    python -m venv clients && clients/bin/pip install -r benchmarks/ogc_clients.txt
    clients/bin/python benchmarks/ogc_clients.py URL SCENE MODEL

The service needs a worker. CANEMAP_KEY is sent if it is set. ogc-api-processes-client is generated from the schemas of
the standard, and refuses documents that do not fit them. A line is printed for each step; the exit status is 1 if a
step fails.
"""

import os
import sys
import time
import urllib.request
from collections.abc import Callable
from functools import partial
from typing import Any

from ogc_api_processes_client import ApiClient, Configuration  # type: ignore[import-not-found]
from ogc_api_processes_client.api import (  # type: ignore[import-not-found]
    capabilities_api,
    conformance_declaration_api,
    job_list_api,
    process_description_api,
    process_list_api,
    result_api,
    status_api,
)
from ogc_api_processes_client.models.status_info import StatusInfo  # type: ignore[import-not-found]
from owslib.ogcapi.processes import Processes  # type: ignore[import-not-found]

KEY = {"Authorization": f"Bearer {key}"} if (key := os.environ.get("CANEMAP_KEY")) else {}
END = ("successful", "failed", "dismissed")
Step = Callable[[], Any]


def main(url: str, scene: str, model: str) -> int:
    """Let both clients map the scene; the exit status."""
    inputs = {"scene": scene, "model": model, "config": {"value": {"outputs": ["polygons"], "simplify_m": 20}}}
    return int(not all([by_owslib(f"{url}/v1/", inputs), by_generated_client(f"{url}/v1", inputs)]))


def by_owslib(url: str, inputs: dict[str, Any]) -> bool:
    """What OWSLib can do: all but reading jobs."""
    client = Processes(url, headers=KEY)
    said: dict[str, Any] = {}

    def execute() -> str:
        said.update(client.execute("prediction", inputs, async_=True))
        return f"{said['jobID']} {said['status']}"

    return all(
        [
            told("OWSLib: conformance", lambda: len(client.conformance()["conformsTo"])),
            told("OWSLib: processes", lambda: [each["id"] for each in client.processes()]),
            told("OWSLib: description", lambda: list(client.process("prediction")["inputs"])),
            told("OWSLib: execution", execute),
            told("OWSLib: job", lambda: ended(lambda: client._request(path=f"jobs/{said['jobID']}")["status"])),
            told("OWSLib: results", lambda: fetched(client._request(path=f"jobs/{said['jobID']}/results"))),
        ]
    )


def by_generated_client(url: str, inputs: dict[str, Any]) -> bool:
    """What the generated client can do: everything."""
    client = ApiClient(Configuration(host=url))
    client.default_headers.update(KEY)
    jobs: list[str] = []

    def execute() -> str:  # not by its Execute, which takes no text as an input: it would also be bytes
        headers = {"Content-Type": "application/json", "Prefer": "respond-async"} | KEY
        answer = client.call_api("POST", f"{url}/processes/prediction/execution", headers, body={"inputs": inputs})
        status = StatusInfo.from_json(answer.read())
        jobs.append(status.job_id)
        return f"{status.job_id} {status.status.value}"

    def status() -> str:
        return str(status_api.StatusApi(client).get_status(jobs[0]).status.value)

    def description(name: str) -> list[str]:
        described = process_description_api.ProcessDescriptionApi(client)
        return list(described.get_process_description(name).inputs)

    return all(
        [
            told(
                "generated: landing page",
                lambda: len(capabilities_api.CapabilitiesApi(client).get_landing_page().links),
            ),
            told(
                "generated: conformance",
                lambda: len(
                    conformance_declaration_api.ConformanceDeclarationApi(client).get_conformance_classes().conforms_to
                ),
            ),
            told(
                "generated: processes",
                lambda: [each.id for each in process_list_api.ProcessListApi(client).get_processes().processes],
            ),
            *(
                told(f"generated: {name}", partial(description, name))
                for name in ("dataset", "training", "experiment", "evaluation", "prediction")
            ),
            told("generated: execution", execute),
            told("generated: job", lambda: ended(status)),
            told("generated: jobs", lambda: len(job_list_api.JobListApi(client).get_jobs().jobs)),
            told("generated: results", lambda: list(result_api.ResultApi(client).get_result(jobs[0]))),
        ]
    )


def told(step: str, do: Step) -> bool:
    """Whether a step can be done; its result, or its error, is printed."""
    try:
        print(f"{step}: {do()}")
    except Exception as error:
        print(f"{step}: FAILED {type(error).__name__} {str(error)[:300]}")
        return False
    return True


def ended(status: Callable[[], str]) -> str:
    """The status of a job when it has ended. Raises `TimeoutError` after five minutes."""
    for _ in range(300):
        if (now := status()) in END:
            return now
        time.sleep(1)
    raise TimeoutError("the job has not ended: is there a worker?")


def fetched(results: dict[str, Any]) -> dict[str, int]:
    """The number of bytes of each output, which is fetched from its address."""
    asked = {name: urllib.request.Request(link["href"], headers=KEY) for name, link in results.items()}
    return {name: len(urllib.request.urlopen(request).read()) for name, request in asked.items()}


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
