"""The command line: `canemap up`, `canemap train` and so on, which use the client. `canemap --help` lists them."""

from app.core import calm_start  # noqa: F401

# isort: split

import typer

from app.cli import (
    audit,
    backup,
    compare,
    demo,
    doctor,
    failures,
    installation,
    keys,
    lists,
    output,
    preview,
    samples,
    schedule,
    service,
    sheet,
    show,
    sign,
    surveys,
    tenants,
    uploads,
    variables,
    ways_back,
    webhooks,
    work,
    zones,
)
from app.cli.common import with_common_options
from app.cli.help_texts import in_language
from app.cli.version import Version

app = typer.Typer(
    help="Map sugarcane: train U-Nets on satellite GeoTIFFs and predict with them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
for module in (
    *(service, doctor, keys, tenants, audit, backup, uploads, work, compare, lists, show, ways_back, schedule),
    *(surveys, samples, webhooks, zones, sheet, preview, sign, demo),
):
    module.add_to(app)


@app.callback()
def canemap(version: Version = False) -> None:
    """Map sugarcane: train U-Nets on satellite GeoTIFFs and predict with them."""
    installation.check()
    variables.warn_of_unknown()


def main() -> None:
    """Run a command. Exit codes: 0 success, 2 wrong usage, 3 refused, 4 the job failed, 5 the job was dismissed."""
    output.tell_of_pauses()
    failures.run(in_language(with_common_options(typer.main.get_command(app))))
