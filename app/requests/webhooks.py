"""Bodies of requests for webhooks."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints

from app.requests.texts import Title, example, storable
from ml.frozen import Frozen

EventType = Literal["job.successful", "job.failed", "job.dismissed", "alias.moved"]  # of which webhooks can tell
WebhookUrl = Annotated[
    str,
    StringConstraints(min_length=1, max_length=2000),
    AfterValidator(storable),
    Field(description="Where messages are sent: an https address on the internet, without a user name."),
]
EventTypes = Annotated[
    tuple[EventType, ...],
    Field(min_length=1, max_length=20, description="Of what to tell; null for everything, also what is added later."),
]


class WebhookRequest(Frozen):
    """Register an address to which messages about events are sent."""

    model_config = example({"url": "https://portal.example.org/canemap", "events": ["job.successful", "job.failed"]})

    url: WebhookUrl
    events: EventTypes | None = None
    title: Title | None = None


class WebhookPatch(Frozen):
    """Change a webhook, or enable or disable it. Fields that are left out stay."""

    model_config = example({"enabled": False})

    url: WebhookUrl | None = None
    events: EventTypes | None = None
    title: Title | None = None
    enabled: bool | None = None
