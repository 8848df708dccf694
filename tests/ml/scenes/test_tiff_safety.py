import resource
import struct
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import rasterio

from ml.faults import InputRefused
from ml.scenes.tiff_directories import nodata_text
from ml.scenes.tiff_safety import check_tiff
from tests.ml.conftest import GRID, MakeScene

IMAGE = np.arange(3 * 40 * 50, dtype=np.uint16).reshape(3, 40, 50)


def codes(path: Path) -> list[str]:
    try:
        check_tiff(path)
    except InputRefused as refused:
        return [fault.code for fault in refused.faults]
    return []


Entry = tuple[int, int, int]
MEMORY_BYTES = 300 << 20


def tiff(path: Path, entries: dict[int, Entry], following: int = 0, tail: bytes = b"") -> Path:
    """Write a little-endian TIFF with one directory of (type, count, value) by tag, followed by `tail`."""
    return raw_tiff(path, [(tag, *entry) for tag, entry in sorted(entries.items())], following, tail)


def raw_tiff(path: Path, entries: Sequence[tuple[int, ...]], following: int = 0, tail: bytes = b"") -> Path:
    """Write a little-endian TIFF with one directory of (tag, type, count, value) in the given order."""
    path.write_bytes(struct.pack("<2sHI", b"II", 42, 8) + directory(entries, following) + tail)
    return path


def directory(entries: Sequence[tuple[int, ...]], following: int = 0) -> bytes:
    """Return the bytes of a directory."""
    body = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return struct.pack("<H", len(entries)) + body + struct.pack("<I", following)


def image(**changes: tuple[int, int, int]) -> dict[int, tuple[int, int, int]]:
    """Return a directory for a 4 x 4 image of bytes in one strip at byte 8, with changes named t<tag>."""
    entries = {256: (4, 1, 4), 257: (4, 1, 4), 258: (3, 1, 8), 273: (4, 1, 8), 278: (4, 1, 4), 279: (4, 1, 16)}
    return entries | {int(name[1:]): entry for name, entry in changes.items()}


@pytest.mark.parametrize("compress", ["none", "deflate", "lzw", "packbits", "zstd", "lerc", "lzma"])
@pytest.mark.parametrize("more", [{}, {"tiled": True, "blockxsize": 16, "blockysize": 16}, {"BIGTIFF": "YES"}])
def test_files_written_by_gdal_are_accepted(make_scene: MakeScene, compress: str, more: dict[str, object]) -> None:
    assert codes(make_scene(IMAGE, compress=compress, **more)) == []


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64"])
def test_real_types_of_every_width_are_accepted(make_scene: MakeScene, dtype: str) -> None:
    assert codes(make_scene(IMAGE.astype(dtype), interleave="band", ENDIANNESS="BIG")) == []


@pytest.mark.parametrize(
    ("space", "code"),
    [
        (0, None),
        (1, None),
        (2, None),
        (3, None),
        *((space, "unsupported_colours") for space in (4, 5, 6, 7, 8, 9, 10, 32803, 32844, 32845, 34892, 99)),
    ],
)
def test_colours_that_must_be_converted_are_refused(tmp_path: Path, space: int, code: str | None) -> None:
    assert codes(tiff(tmp_path / "x.tif", image(t262=(3, 1, space)), tail=bytes(100))) == ([code] if code else [])


@pytest.mark.parametrize(
    ("change", "note"),
    [
        ({"t262": (3, 1, 0)}, "min_is_white"),
        ({"t338": (3, 1, 1)}, "premultiplied"),
        ({"t330": (4, 1, 100)}, "sub_images"),
        ({"t338": (3, 1, 2)}, None),
    ],
)
def test_what_other_programs_would_show_of_a_file_is_noted(
    tmp_path: Path, change: dict[str, tuple[int, int, int]], note: str | None
) -> None:
    layout = check_tiff(tiff(tmp_path / "x.tif", image(**change), tail=bytes(100)))
    assert [each.code for each in layout.notes] == ([note] if note else [])


@pytest.mark.parametrize("dtype", ["complex64", "uint64", "int64"])
def test_complex_types_and_64_bit_integers_are_refused(make_scene: MakeScene, dtype: str) -> None:
    assert codes(make_scene(IMAGE.astype(dtype))) == ["unsupported_dtype"]


def test_overviews_and_masks_do_not_count_as_images(make_scene: MakeScene) -> None:
    path = make_scene(IMAGE)
    with rasterio.open(path, "r+") as dataset:
        dataset.write_mask(np.full((40, 50), 255, dtype=np.uint8))
        dataset.build_overviews([2, 4])
    assert codes(path) == []


@pytest.mark.parametrize("kept", [0, 3, 4, 7, 8, 100, 5000, -1])
def test_a_truncated_file_is_refused(make_scene: MakeScene, kept: int) -> None:
    path = make_scene(IMAGE)
    path.write_bytes(path.read_bytes()[:kept])
    assert codes(path) in (["corrupt_tiff"], ["not_a_tiff"])


@pytest.mark.parametrize("text", [b"", b"<html>", b"PK\3\4", b"GIF89a", b"<VRTDataset/>", b"II\x29\0"])
def test_files_of_other_formats_are_refused(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "x.tif"
    path.write_bytes(text)
    assert codes(path) == ["not_a_tiff"]


def test_a_minimal_image_is_accepted(tmp_path: Path) -> None:
    assert codes(tiff(tmp_path / "x.tif", image())) == []


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"t256": (4, 1, 0)}, "corrupt_tiff"),
        ({"t278": (4, 1, 0)}, "corrupt_tiff"),
        ({"t273": (4, 1, 2**32 - 1)}, "corrupt_tiff"),
        ({"t279": (4, 1, 2**32 - 1)}, "corrupt_tiff"),
        ({"t279": (4, 2**30, 8)}, "corrupt_tiff"),
        ({"t279": (99, 1, 8)}, "corrupt_tiff"),
        ({"t317": (3, 1, 77)}, "corrupt_tiff"),
        ({"t258": (3, 1, 33)}, "unsupported_dtype"),
        ({"t259": (3, 1, 50002)}, "unsupported_compression"),
        ({"t277": (3, 1, 60000)}, "too_many_bands"),
        ({"t256": (4, 1, 2**31)}, "too_many_pixels"),
        ({"t322": (4, 1, 65520), "t323": (4, 1, 65520)}, "block_too_large"),
        ({"t256": (3, 2, 4)}, "corrupt_tiff"),  # two widths
        ({"t256": (1, 1, 4)}, "corrupt_tiff"),  # a width that is a BYTE
        ({"t256": (8, 1, 4)}, "corrupt_tiff"),  # a width that may be negative
        ({"t256": (16, 1, 8)}, "corrupt_tiff"),  # a width of 8 bytes
        ({"t256": (4, 0, 4)}, "corrupt_tiff"),  # no width
        ({"t258": (4, 1, 8)}, "corrupt_tiff"),
        ({"t258": (3, 2, 8)}, "corrupt_tiff"),  # two bits per sample, but one sample
        ({"t259": (3, 2, 1)}, "corrupt_tiff"),
        ({"t284": (3, 1, 7)}, "corrupt_tiff"),
        ({"t32997": (4, 1, 2)}, "corrupt_tiff"),  # an image of two layers
        ({"t42112": (3, 4, 8)}, "corrupt_tiff"),  # metadata that are not text
        ({"t42113": (12, 1, 8)}, "corrupt_tiff"),
        ({"t279": (16, 1, 8)}, "corrupt_tiff"),
    ],
)
def test_a_bad_directory_is_refused_with_its_code(
    tmp_path: Path, changes: dict[str, tuple[int, int, int]], code: str
) -> None:
    assert code in codes(tiff(tmp_path / "x.tif", image(**changes)))


@pytest.mark.parametrize("other", [(256, 4, 1, 9), (42112, 2, 4, 0), (278, 4, 1, 4)])
def test_a_tag_that_stands_twice_is_refused(tmp_path: Path, other: tuple[int, ...]) -> None:
    entries = [(tag, *entry) for tag, entry in image(t42112=(2, 4, 0)).items()]
    for both in (sorted([*entries, other]), sorted([other, *entries], key=lambda entry: entry[0])):
        assert codes(raw_tiff(tmp_path / "x.tif", both)) == ["corrupt_tiff"]


def test_tags_out_of_order_are_refused(tmp_path: Path) -> None:
    entries = [(tag, *entry) for tag, entry in image().items()]
    assert codes(raw_tiff(tmp_path / "x.tif", entries)) == []
    assert codes(raw_tiff(tmp_path / "x.tif", [entries[1], entries[0], *entries[2:]])) == ["corrupt_tiff"]


@pytest.mark.parametrize("at", [1, 4, 7, 8, 9, 20])
def test_a_directory_inside_the_header_or_another_directory_is_refused(tmp_path: Path, at: int) -> None:
    assert codes(tiff(tmp_path / "x.tif", image(), following=at)) == ["corrupt_tiff"]


def test_a_file_without_a_directory_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.tif"
    path.write_bytes(struct.pack("<2sHI", b"II", 42, 0) + bytes(100))
    assert codes(path) == ["corrupt_tiff"]


@pytest.mark.parametrize(("tag", "length"), [(42112, (1 << 20) + 1), (700, (16 << 20) + 1), (65000, (16 << 20) + 1)])
def test_metadata_that_would_fill_the_memory_are_refused(tmp_path: Path, tag: int, length: int) -> None:
    at = 8 + 2 + 7 * 12 + 4
    entry = {f"t{tag}": (2, length, at)}
    assert_cheap(tiff(tmp_path / "x.tif", image(**entry), tail=b"<a/>" * (length // 4 + 1)), ["too_much_metadata"])


def test_an_image_that_decodes_to_too_many_bytes_is_refused(tmp_path: Path) -> None:
    size = {"driver": "GTiff", "width": 99_000, "height": 99_000, "count": 4, "dtype": "float64"}
    tiles = {"tiled": True, "blockxsize": 1024, "blockysize": 1024, "sparse_ok": True, "bigtiff": "yes"}
    with rasterio.open(tmp_path / "x.tif", "w", crs="EPSG:32648", transform=GRID, **size, **tiles):
        pass
    assert_cheap(tmp_path / "x.tif", ["too_many_pixels"])


def test_other_directories_beside_the_chain_do_not_matter(tmp_path: Path) -> None:
    pointers = {"t330": (4, 1, 8), "t34665": (4, 1, 8), "t34853": (4, 1, 8)}  # SubIFDs, EXIF and GPS
    assert codes(tiff(tmp_path / "x.tif", image(**pointers))) == []


@pytest.mark.parametrize(("side", "code"), [(400, "corrupt_tiff"), (1900, "too_many_blocks")])
def test_many_directories_that_share_one_large_array_are_refused(tmp_path: Path, side: int, code: str) -> None:
    blocks, path, pages = side**2, tmp_path / "x.tif", 24
    at = 8 + pages * (2 + 8 * 12 + 4)
    shape = {254: (4, 1, 1), 256: (4, 1, 16 * side), 257: (4, 1, 16 * side), 258: (3, 1, 8)}
    tiles = {322: (4, 1, 16), 323: (4, 1, 16), 324: (4, blocks, at), 325: (4, blocks, at)}
    entries = [(tag, *entry) for tag, entry in (shape | tiles).items()]
    step = len(directory(entries))
    chain = [directory(entries, 8 + step * (page + 1) if page + 1 < pages else 0) for page in range(pages)]
    path.write_bytes(struct.pack("<2sHI", b"II", 42, 8) + b"".join(chain) + bytes(4 * blocks))
    assert_cheap(path, [code])


def test_a_mask_whose_bits_decode_to_too_many_bytes_is_refused(tmp_path: Path) -> None:
    entries = image(t254=(4, 1, 4), t256=(4, 1, 24_576), t257=(4, 1, 24_576), t258=(3, 1, 1), t278=(4, 1, 24_576))
    path = tiff(tmp_path / "x.tif", image(), following=8 + 2 + 6 * 12 + 4)
    path.write_bytes(path.read_bytes() + directory([(tag, *entry) for tag, entry in sorted(entries.items())]))
    assert_cheap(path, ["block_too_large"])


def test_a_large_image_of_empty_blocks_is_checked_in_little_time(tmp_path: Path) -> None:
    size = {"driver": "GTiff", "width": 90_000, "height": 90_000, "count": 1, "dtype": "uint8"}
    tiles = {"tiled": True, "blockxsize": 128, "blockysize": 128, "sparse_ok": True}
    with rasterio.open(tmp_path / "x.tif", "w", crs="EPSG:32648", transform=GRID, **size, **tiles):
        pass
    assert_cheap(tmp_path / "x.tif", [])


def assert_cheap(path: Path, expected: list[str]) -> None:
    """Check a file within 2 s of the processor and 300 MB; it must have the faults `expected`."""
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    assert codes(path) == expected
    assert time.process_time() - started < 2
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < MEMORY_BYTES


def test_two_images_in_one_file_are_refused(tmp_path: Path) -> None:
    path = tiff(tmp_path / "x.tif", image(), following=8 + 2 + 6 * 12 + 4)
    path.write_bytes(path.read_bytes() + path.read_bytes()[8:-4] + bytes(4))
    assert codes(path) == ["multi_page"]


@pytest.mark.parametrize(("items", "expected"), [(10_000, []), (10_001, ["too_much_metadata"])])
def test_metadata_of_many_items_are_refused(tmp_path: Path, items: int, expected: list[str]) -> None:
    xml = "<GDALMetadata>" + "".join(f'<Item name="{number}">1</Item>' for number in range(items)) + "</GDALMetadata>"
    at = 8 + 2 + 7 * 12 + 4
    path = tiff(tmp_path / "x.tif", image(t42112=(2, len(xml), at)), tail=xml.encode())
    assert codes(path) == expected


@pytest.mark.parametrize("name", ["OVERVIEW_FILE", "overview_file", "OVERVIEW&#95;FILE", "X_DATASET"])
def test_metadata_that_refer_to_another_file_are_refused(tmp_path: Path, name: str) -> None:
    xml = f'<GDALMetadata><Item name="{name}" domain="OVERVIEWS">/etc/passwd</Item></GDALMetadata>'.encode()
    at = 8 + 2 + 7 * 12 + 4
    path = tiff(tmp_path / "x.tif", image(t42112=(2, len(xml), at)), tail=xml)
    assert codes(path) == ["external_reference"]


def test_blocks_of_a_large_image_that_share_bytes_are_refused(tmp_path: Path) -> None:
    blocks = 40_000
    at = 8 + 2 + 7 * 12 + 4
    tail = np.full(blocks, 8, "<u4").tobytes() + np.full(blocks, 16, "<u4").tobytes()
    tiles = {"t322": (4, 1, 256), "t323": (4, 1, 256), "t324": (4, blocks, at), "t325": (4, blocks, at + 4 * blocks)}
    entries = image(t256=(4, 1, 256 * 200), t257=(4, 1, 256 * 200), **tiles)
    entries = {tag: entry for tag, entry in entries.items() if tag not in (273, 278, 279)}
    assert codes(tiff(tmp_path / "x.tif", entries, tail=tail)) == ["overlapping_blocks"]


def test_the_text_of_nodata_is_read_unchanged(make_scene: MakeScene) -> None:
    assert float(nodata_text(make_scene(IMAGE, nodata=7))) == 7
    assert nodata_text(make_scene(IMAGE)) == ""
