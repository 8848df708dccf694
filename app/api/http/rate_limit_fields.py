"""The fields RateLimit and RateLimit-Policy of draft-ietf-httpapi-ratelimit-headers, which are structured fields."""

from app.core.errors import Quota


def fields_of(quota: Quota) -> dict[str, str]:
    """What a limit is, and what is left of it, as fields of an answer."""
    unit = "" if quota.unit == "requests" else f';qu="{quota.unit}"'  # these are what the draft takes without a unit
    window = "" if quota.window_s is None else f";w={quota.window_s}"
    reset = "" if quota.retry_after_s is None else f";t={quota.retry_after_s}"
    return {
        "ratelimit-policy": f'"{quota.name}";q={quota.most}{unit}{window}',
        "ratelimit": f'"{quota.name}";r={quota.left}{reset}',
    }
