"""Finds the files of one Shapefile in a zip. Nothing is unpacked to disk."""

import stat
import struct
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ml.faults import Fault, InputRefused, Note
from ml.labels.features import MAX_FILE_BYTES, listed
from ml.labels.formats.several_layers import chosen_layer
from ml.other_formats import ZIP, other_format_of

MAX_ENTRIES = 100  # files in a zip
MAX_DIRECTORY_BYTES = 1 << 20  # of the list of the files in a zip
MAX_RATIO = 200  # not for .dbf: twenty wide columns of blanks compress 400 times; MAX_FILE_BYTES limits them
_NEEDED = (".shp", ".shx", ".dbf")
_READ = (*_NEEDED, ".prj", ".cpg")
_UTF_8 = 0x800  # flag of a file in a zip whose name is in UTF-8
_END, _END_64, _END_BYTES = b"PK\5\6", b"PK\6\7", 22  # records at the end of a zip
_TAIL_BYTES = _END_BYTES + 20 + (1 << 16)  # these records, and the longest comment
_METADATA = ("__MACOSX/", ".DS_Store")  # what the Finder of macOS adds


@dataclass(frozen=True)
class ShapefileParts:
    """Contents of the files of one Shapefile.

    name: Path of the files in the zip, without a suffix.
    files: Contents by suffix, which is in lower case: .shp, .shx and .dbf always, .prj and .cpg if there are any.
    notes: A note that names files of the same kinds that do not belong to the Shapefile.
    """

    name: str
    files: dict[str, bytes]
    notes: tuple[Note, ...]


def read_parts(path: Path, layer: str | None = None) -> ShapefileParts:
    """Read the files of a Shapefile in a zip: those with the folder and the name of the .shp file, in any case.

    layer: Name of the Shapefile to read, which may be omitted if there is one only.

    Raises:
        InputRefused: bad_archive, unknown_layer.
    """
    try:
        _check_directory(path)
        with zipfile.ZipFile(path) as archive:
            entries = _entries(archive)
            shapes = [entry for entry in entries if _suffix(entry) == ".shp"]
            if not shapes:
                raise _without_shapefile(path, entries)
            names = [_name(shape) for shape in shapes]
            chosen = names[chosen_layer(names, layer)]
            parts = _parts(entries, chosen)
            files = {suffix: archive.read(entry) for suffix, entry in parts.items()}
    except InputRefused:
        raise
    except Exception:  # zipfile raises exceptions of any type on damaged bytes
        raise _bad("The zip is damaged, encrypted or compressed by an unknown method.") from None
    return ShapefileParts(chosen, files, _others(entries, list(parts.values())))


def _bad(detail: str) -> InputRefused:
    hint = "Zip the .shp, .shx, .dbf, .prj and .cpg of one layer, without folders or passwords."
    return InputRefused(Fault("bad_archive", detail, hint))


def _without_shapefile(path: Path, entries: Sequence[zipfile.ZipInfo]) -> InputRefused:
    other = other_format_of(path)
    if other is None or other.name == ZIP:
        return _bad(f"The zip holds no .shp file, but {listed(sorted(map(_suffix, entries)))}.")
    return InputRefused(Fault("bad_archive", other.detail, other.as_labels))


def _check_directory(path: Path) -> None:
    """Raise bad_archive if the list of the files in the zip is long: zipfile holds all of it in memory."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
        tail = file.read()
    at = len(tail) - _END_BYTES if tail[-_END_BYTES:].startswith(_END) else tail.rfind(_END)  # where zipfile looks
    if at < 0 or len(tail) - at < _END_BYTES:
        raise _bad("The zip is cut off: it has no list of its files.")
    (size,) = struct.unpack_from("<I", tail, at + 12)
    if size > MAX_DIRECTORY_BYTES or tail[max(0, at - 20) :].startswith(_END_64):
        raise _bad("The list of the files in the zip is long, or that of an archive of over 4 GiB.")


def _entries(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    entries = [entry for entry in archive.infolist() if not entry.is_dir()]
    entries = [entry for entry in entries if not any(mark in entry.filename for mark in _METADATA)]
    if len(entries) > MAX_ENTRIES:
        raise _bad(f"The zip holds {len(entries)} files.")
    for entry in entries:
        _check_entry(entry)
    if len({_key(entry) for entry in entries}) < len(entries):
        raise _bad("Two files in the zip have the same name, or names that differ in their case only.")
    return entries


def _check_entry(entry: zipfile.ZipInfo) -> None:
    name = _path(entry)
    if name.is_absolute() or ".." in name.parts:
        raise _bad("A file name in the zip points outside the zip.")
    if stat.S_ISLNK(entry.external_attr >> 16):
        raise _bad("The zip holds a symbolic link.")
    if entry.flag_bits & 1:
        raise _bad("The zip is encrypted.")
    if _suffix(entry) != ".dbf" and entry.file_size > MAX_RATIO * max(entry.compress_size, 1 << 10):
        raise _bad(f"A file in the zip unpacks to {entry.file_size:,} bytes, over {MAX_RATIO} times its packed size.")


def _path(entry: zipfile.ZipInfo) -> PurePosixPath:
    return PurePosixPath(_filename(entry).replace("\\", "/"))


def _filename(entry: zipfile.ZipInfo) -> str:
    """Return the name of a file in the zip; without the mark for UTF-8, which many tools omit, UTF-8 or GB 18030."""
    if entry.flag_bits & _UTF_8 or entry.filename.isascii():
        return entry.filename
    raw = entry.filename.encode("cp437")  # as which zipfile has decoded it
    for encoding in ("utf-8", "gb18030"):
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError:
            continue
    return entry.filename


def _key(entry: zipfile.ZipInfo) -> str:
    return str(_path(entry)).casefold()


def _suffix(entry: zipfile.ZipInfo) -> str:
    return _path(entry).suffix.lower()


def _name(entry: zipfile.ZipInfo) -> str:
    return str(_path(entry).with_suffix(""))


def _parts(entries: Sequence[zipfile.ZipInfo], name: str) -> dict[str, zipfile.ZipInfo]:
    """Return the files of the Shapefile `name`, by suffix."""
    own = [entry for entry in entries if _name(entry).casefold() == name.casefold() and _suffix(entry) in _READ]
    parts = {_suffix(entry): entry for entry in own}
    if missing := [suffix for suffix in _NEEDED if suffix not in parts]:
        raise _bad(f"The zip lacks the {' and the '.join(missing)} of the Shapefile {name[:80]!r}.")
    if sum(entry.file_size for entry in own) > MAX_FILE_BYTES:
        raise _bad(f"The Shapefile has more than {MAX_FILE_BYTES:,} bytes when unpacked.")
    return parts


def _others(entries: Sequence[zipfile.ZipInfo], own: Sequence[zipfile.ZipInfo]) -> tuple[Note, ...]:
    others = [str(_path(entry)) for entry in entries if _suffix(entry) in _READ and entry not in own]
    if not others:
        return ()
    detail = f"These files do not belong to the Shapefile, and are not read: {listed(others)}."
    hint = "The files of a Shapefile have one name and lie in one folder. Rename them if they do belong to it."
    return (Note(code="other_files", detail=detail, hint=hint),)
