"""The command line: `canemap up`, `canemap train`, ... over the client; see `canemap --help`."""

import sys

import httpx
import typer

from app.cli import backup, compare, demo, doctor, schedule, service, show, work
from app.cli.output import errors
from app.client import CanemapError, JobDismissed, JobFailed

REFUSED, FAILED, DISMISSED, INTERRUPTED = 3, 4, 5, 130

app = typer.Typer(
    help="Map sugarcane: train U-Nets on satellite GeoTIFFs and predict with them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
for part in (service, doctor, backup, work, compare, show, schedule, demo):
    part.add_to(app)


def main() -> None:
    """Run a command; the exit code says how it went: 0 ok, 2 usage, 3 refused, 4 the job failed, 5 dismissed."""
    try:
        app()
    except JobDismissed as error:
        stop(str(error), DISMISSED)
    except JobFailed as error:
        stop(str(error), FAILED)
    except CanemapError as error:
        stop(str(error), REFUSED)
    except httpx.TransportError as error:
        stop(f"The service cannot be reached ({error}). Start it with `canemap up`, or set CANEMAP_URL.", REFUSED)
    except KeyboardInterrupt:
        stop("Interrupted; the service goes on with what it was asked for. `canemap jobs` shows it.", INTERRUPTED)


def stop(message: str, code: int) -> None:
    """Say why, and end."""
    errors.print(message, markup=False, highlight=False)
    sys.exit(code)
