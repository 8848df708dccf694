"""Traces of OpenTelemetry: one leads from a request to its job, and on to the stages of the job.

FastAPI makes the spans of requests, the worker those of jobs. They do nothing without the SDK of OpenTelemetry, which
belongs to the extra `tracing`: `begin` lets it send them.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import structlog
from opentelemetry import context, trace
from opentelemetry.trace import Span, SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
LENGTH = 55  # of a traceparent, as the recommendation Trace Context of the W3C has it

_HEADER = "traceparent"
_propagator = TraceContextTextMapPropagator()
_tracer = trace.get_tracer("canemap")
log = structlog.get_logger()


def begin(service: str) -> None:
    """Send the spans of this process to the collector that the environment names, if it names one.

    service: Name of this process in the traces, unless OTEL_SERVICE_NAME is set.
    """
    if not any(os.environ.get(name) for name in ENDPOINTS):
        return
    try:
        from app.core import span_export
    except ModuleNotFoundError as error:
        log.warning("no trace is sent: install canemap[tracing]", missing=error.name)
        return
    span_export.start(service)


@contextmanager
def span_of_job(name: str, parent: str | None, attributes: Mapping[str, str | int]) -> Iterator[Span]:
    """A span for the length of the block, in which it is the current one. parent: The traceparent of what asked for it.

    Of an exception that leaves the block it tells only the type, because the message may hold secrets.
    """
    with (
        continued(parent),
        _tracer.start_as_current_span(
            name, kind=SpanKind.CONSUMER, attributes=attributes, record_exception=False, set_status_on_exception=False
        ) as span,
    ):
        try:
            yield span
        except BaseException as error:
            span.set_status(StatusCode.ERROR, type(error).__name__)
            raise


def current() -> str | None:
    """The traceparent of the current span; None if there is none."""
    carrier: dict[str, str] = {}
    _propagator.inject(carrier)
    return carrier.get(_HEADER)


@contextmanager
def continued(parent: str | None) -> Iterator[None]:
    """Let what the block asks for belong to `parent`, the traceparent of a span elsewhere. None changes nothing."""
    if parent is None:
        yield
        return
    token = context.attach(_propagator.extract({_HEADER: parent}))
    try:
        yield
    finally:
        context.detach(token)


class Stages:
    """Spans for the stages of a job, one after the other, within the current span."""

    def __init__(self) -> None:
        self._span: Span | None = None

    def enter(self, name: str) -> None:
        """End the stage before, and begin the stage `name`."""
        self.end()
        self._span = _tracer.start_span(name)

    def end(self) -> None:
        """End the last stage."""
        if self._span:
            self._span.end()
