"""Bodies of requests of OGC API - Processes."""

from typing import Any, Literal

from pydantic import Field

from app.requests.learning import EvaluationRequest
from app.requests.texts import Reference, example
from ml.frozen import Frozen


class EvaluationInputs(EvaluationRequest):
    """Score a model version on one split of a dataset."""

    model: Reference = Field(description='"cane@champion", "cane:3", or "cane" for its champion.')


class Execution(Frozen):
    """Do the work of a process with these inputs, as OGC API - Processes 1.0 has it."""

    model_config = example({"inputs": {"scene": "s3", "model": "cane@champion"}})

    inputs: dict[str, Any] = Field(
        default_factory=dict,
        max_length=100,
        description='Values by name, as the process describes them. {"value": ...} is the value in it.',
    )
    outputs: dict[str, Any] = Field(
        default_factory=dict,
        max_length=100,
        description="Names of outputs. The results have all outputs, whichever stand here.",
    )
    response: Literal["document"] = Field("document", description="The results are a document with links.")
    mode: Literal["async", "auto"] = Field("async", description="The work is always done as a job.")
