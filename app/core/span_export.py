"""Sends spans to a collector, with the SDK of OpenTelemetry, which the extra `tracing` installs."""

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, OTELResourceDetector, Resource
from opentelemetry.sdk.trace import Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from app.core.masking import masked


class Discretion(SpanProcessor):
    """Masks secrets in the paths of requests, and leaves out their queries, since those of signed URLs are secrets."""

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Change what the span of a request tells."""
        told = span.attributes or {}
        if "url.path" in told:
            span.set_attribute("url.path", masked(str(told["url.path"])))
        if "url.query" in told:
            span.set_attribute("url.query", "...")


def start(service: str) -> None:
    """Send the spans of this process from now on. service: Its name, unless OTEL_SERVICE_NAME says another one."""
    named = Resource.create({SERVICE_NAME: service}).merge(OTELResourceDetector().detect())
    provider = TracerProvider(resource=named)
    provider.add_span_processor(Discretion())
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
