"""Whether all packages of canemap are canemap's own. Their names are common: another distribution may have one, too.

pip lets one distribution overwrite files of another, and these would be run in silence.
"""

import base64
from collections.abc import Iterator
from hashlib import sha256
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from app.cli.failures import Refused

PACKAGES = ("app", "ml", "worker", "migrations")
HINT = "Install canemap into an environment of its own, with pipx, uv tool or a container."


def check() -> None:
    """Raise `Refused` if a package that Python finds by a name of canemap's is not canemap's."""
    here = Path(__file__).resolve().parents[2]
    if faults := [*_elsewhere(here), *_overwritten(here)]:
        raise Refused("installation", "\n".join([*faults, HINT]))


def _elsewhere(here: Path) -> Iterator[str]:
    """Packages that are missing, or lie in another folder than this one's parent."""
    for name in PACKAGES:
        spec = find_spec(name)
        if spec is None or spec.origin is None:
            yield f"canemap's package `{name}` is missing beside {here / 'app'}."
        elif (found := Path(spec.origin).resolve().parents[1]) != here:
            yield f"The package `{name}` comes from {found}, and canemap's from {here}."


def _overwritten(here: Path) -> Iterator[str]:
    """Packages of which another distribution has replaced files. A file that was edited by hand is not its affair."""
    changed = {path.parts[0] for path in _recorded(here) if not _is_as_installed(path)}
    if changed:  # to name the others takes long
        owners = metadata.packages_distributions()
        for name in sorted(changed):
            if others := sorted(set(owners.get(name, ())) - {"canemap"}):
                yield f"{', '.join(others)} has overwritten files of canemap's package `{name}`."


def _recorded(here: Path) -> Iterator[metadata.PackagePath]:
    """The files directly in the packages, as the installer recorded them; none in a checkout."""
    try:
        files = metadata.distribution("canemap").files or ()
    except metadata.PackageNotFoundError:
        return
    for path in files:
        ours = len(path.parts) == 2 and path.parts[0] in PACKAGES and path.suffix == ".py"
        if ours and Path(str(path.locate())).resolve().parents[1] == here:
            yield path


def _is_as_installed(path: metadata.PackagePath) -> bool:
    try:
        digest = sha256(Path(str(path.locate())).read_bytes()).digest()
    except OSError:
        return False
    return path.hash is None or path.hash.value == base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
