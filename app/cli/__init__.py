"""The command line: `canemap up`, `canemap train` and so on, which use the client. `canemap --help` lists them."""

import sys

import httpx
import typer

from app.cli import backup, compare, demo, doctor, schedule, service, show, ways_back, work
from app.cli.output import errors
from app.client import CanemapError, JobDismissed, JobFailed

REFUSED, FAILED, DISMISSED, INTERRUPTED = 3, 4, 5, 130

app = typer.Typer(
    help="Map sugarcane: train U-Nets on satellite GeoTIFFs and predict with them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
for module in (service, doctor, backup, work, compare, show, ways_back, schedule, demo):
    module.add_to(app)


def main() -> None:
    """Run a command. Exit codes: 0 success, 2 wrong usage, 3 refused, 4 the job failed, 5 the job was dismissed."""
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
        stop("Interrupted. The service continues the work that was started; `canemap jobs` shows it.", INTERRUPTED)


def stop(message: str, code: int) -> None:
    """Print `message` to standard error, and exit with `code`."""
    errors.print(message, markup=False, highlight=False)
    sys.exit(code)
