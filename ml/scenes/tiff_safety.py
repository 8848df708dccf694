"""Checks an untrusted TIFF before GDAL opens it.

GDAL follows references inside a TIFF to other files and hosts, allocates as much memory as a header declares, and
detects an incomplete file only when it reads the missing pixels. The directories show all of these before any pixel
is read.
"""

import html
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ml.faults import Fault, Note, refuse_any
from ml.scenes import tiff_directories as tag
from ml.scenes.colours import colour_faults, colour_notes
from ml.scenes.tiff_directories import Directory, corrupt, directories

MAX_PIXELS = 10_000_000_000
MAX_SIDE = 1_000_000
MAX_BANDS = 256
MAX_BLOCKS = 4_000_000
MAX_BLOCK_BYTES = 256 << 20  # decoded
MAX_IMAGE_BYTES = 256 << 30  # decoded
MAX_TAG_BYTES = 16 << 20  # of anything that is not the list of blocks: GDAL keeps all of it in memory
MAX_XML_BYTES = 1 << 20  # of GDAL's metadata: as a tree they take some thirty times the memory
MAX_ITEMS = 10_000  # of GDAL's metadata: GDAL compares each name with all before it; 256 bands have some 2,300

COMPRESSIONS = {1, 5, 7, 8, 32773, 32946, 34887, 34925, 50000, 50001}
# none, LZW, JPEG, Deflate, PackBits, old Deflate, LERC, LZMA, ZSTD, WEBP

_BLOCK_LISTS = {tag.TILE_OFFSETS, tag.TILE_BYTE_COUNTS, tag.STRIP_OFFSETS, tag.STRIP_BYTE_COUNTS}
_REDUCED, _MASK = 1, 4  # bits of NewSubfileType
_UNSIGNED, _SIGNED, _FLOAT = 1, 2, 3  # values of SampleFormat; 4 is untyped, 5 and 6 are complex
_BITS = {_UNSIGNED: {*range(1, 17), 32}, _SIGNED: {8, 16, 32}, _FLOAT: {16, 24, 32, 64}}
# Metadata items that make GDAL open another file or URL, with any of its drivers.
REFERENCES = re.compile(r"\b(OVERVIEW_FILE|MASK_FILE|[XY]_DATASET)\b", re.IGNORECASE)


@dataclass(frozen=True)
class TiffLayout:
    """What the directories of a TIFF say about its image.

    rows, cols, bands: Size of the image.
    dtype: NumPy name of the type in which GDAL returns the pixels.
    block_rows, block_cols: Size of a block in pixels.
    tiled: Whether blocks are tiles; otherwise they are strips.
    overviews: Number of reduced images with the same number of bands.
    masked: Whether the file has a mask for the image.
    nodata: Text that the file declares as nodata, unchanged; "" if there is none.
    notes: Notes about colours, alpha and images that are not read.
    rpc: Whether the file has rational polynomials (RPC).
    """

    rows: int
    cols: int
    bands: int
    dtype: str
    block_rows: int
    block_cols: int
    tiled: bool
    overviews: int
    masked: bool
    nodata: str
    notes: tuple[Note, ...]
    rpc: bool


def check_tiff(path: Path) -> TiffLayout:
    """Check the directories of a TIFF or BigTIFF; time and memory are bounded for any file.

    Raises:
        InputRefused: The faults found. Codes: not_a_tiff, corrupt_tiff, multi_page, external_reference,
            too_much_metadata, unsupported_colours, unsupported_dtype, unsupported_compression, too_many_pixels,
            too_many_bands, too_many_blocks, block_too_large, overlapping_blocks.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        found = list(directories(file, size))
        if not found:
            raise corrupt("The file has no image.")
        pages = [_page(directory) for directory in found]
        for number, (directory, page) in enumerate(zip(found, pages, strict=True)):
            refuse_any(_structure_faults(number, directory, page))
        refuse_any(_number_faults(pages))
        for directory, page in zip(found, pages, strict=True):
            if page.has_blocks:
                refuse_any(_block_faults(directory, page, size))
        return _layout(found[0], pages)


@dataclass(frozen=True)
class _Page:
    """Shape of one image of the file and of its blocks, which are tiles or strips.

    kind: NewSubfileType. sample: SampleFormat. bits: Bits per sample.
    block_rows, block_cols: Size of a block in pixels.
    planar: Whether each band has its own blocks.
    has_blocks: False for the JPEG thumbnail that cameras add after the image, a reduced image in old-style JPEG.
    """

    kind: int
    rows: int
    cols: int
    bands: int
    sample: int
    bits: int
    block_rows: int
    block_cols: int
    tiled: bool
    planar: bool
    has_blocks: bool

    @property
    def pixel_bits(self) -> int:
        """Bits of a decoded sample; GDAL decodes 1 bit to 8 bits, and 12 bits to 16."""
        return next((width for width in (8, 16, 32) if self.bits <= width), self.bits)

    @property
    def block_bytes(self) -> int:
        """Size of one decoded block."""
        bands = 1 if self.planar else self.bands
        return self.block_rows * self.block_cols * bands * self.pixel_bits // 8

    @property
    def decoded_bytes(self) -> int:
        """Size of all decoded blocks."""
        return self.blocks * self.block_bytes

    @property
    def blocks(self) -> int:
        """Number of blocks."""
        across, down = -(-self.cols // self.block_cols), -(-self.rows // self.block_rows)
        return across * down * (self.bands if self.planar else 1)

    @property
    def dtype(self) -> str:
        """NumPy name of the type in which GDAL returns the pixels; it has no float16 and no 24 bits."""
        if self.sample == _FLOAT:
            return f"float{max(self.pixel_bits, 32)}"
        return f"{'int' if self.sample == _SIGNED else 'uint'}{self.pixel_bits}"


def _page(directory: Directory) -> _Page:
    rows, cols = directory.number(tag.IMAGE_LENGTH, 0), directory.number(tag.IMAGE_WIDTH, 0)
    bands, tiled = directory.number(tag.SAMPLES_PER_PIXEL, 1), tag.TILE_WIDTH in directory.entries
    block_rows = directory.number(tag.TILE_LENGTH, 0) if tiled else directory.number(tag.ROWS_PER_STRIP, rows)
    kind, planar = directory.number(tag.NEW_SUBFILE_TYPE, 0), directory.number(tag.PLANAR_CONFIGURATION, 1)
    page = _Page(
        kind=kind,
        rows=rows,
        cols=cols,
        bands=bands,
        sample=min(directory.of_bands(tag.SAMPLE_FORMAT, bands, _UNSIGNED)),
        bits=min(directory.of_bands(tag.BITS_PER_SAMPLE, bands, 1)),
        block_rows=block_rows if tiled else min(block_rows, rows),
        block_cols=directory.number(tag.TILE_WIDTH, 0) if tiled else cols,
        tiled=tiled,
        planar=planar == 2,
        has_blocks=not (directory.number(tag.COMPRESSION, 1) == 6 and kind & _REDUCED),
    )
    depth = directory.number(tag.IMAGE_DEPTH, 1), directory.number(tag.TILE_DEPTH, 1)
    if min(page.rows, page.cols, page.bands, page.bits, page.block_rows, page.block_cols) < 1 or depth != (1, 1):
        raise corrupt(
            f"An image cannot have {rows} x {cols} px and {page.bands} bands of {page.bits} bits"
            f" in blocks of {page.block_rows} x {page.block_cols} px and a depth of {max(depth)}."
        )
    if planar not in (1, 2):
        raise corrupt(f"Planar configuration {planar} does not exist.")
    return page


def _layout(image: Directory, pages: list[_Page]) -> TiffLayout:
    page, others = pages[0], pages[1:]
    reduced = [other for other in others if other.has_blocks and other.kind & (_REDUCED | _MASK) == _REDUCED]
    return TiffLayout(
        rows=page.rows,
        cols=page.cols,
        bands=page.bands,
        dtype=page.dtype,
        block_rows=page.block_rows,
        block_cols=page.block_cols,
        tiled=page.tiled,
        overviews=sum(other.bands == page.bands for other in reduced),
        masked=any(other.kind & (_REDUCED | _MASK) == _MASK for other in others),
        nodata=image.text(tag.GDAL_NODATA).strip(),
        notes=tuple(colour_notes(image)),
        rpc=tag.RPC_COEFFICIENTS in image.entries,
    )


def _structure_faults(number: int, directory: Directory, page: _Page) -> Iterator[Fault]:
    """Yield the faults of a directory; number 0 is the image, other numbers are its overviews and masks."""
    if number and not page.kind & (_REDUCED | _MASK):
        yield Fault("multi_page", "The file holds several images.", "Send one image per file.")
    yield from _metadata_faults(directory)
    metadata = directory.text(tag.GDAL_METADATA)
    if metadata.lower().count("<item") > MAX_ITEMS:
        yield _too_much_metadata(f"GDAL's metadata have over {MAX_ITEMS:,} items.")
    if REFERENCES.search(html.unescape(metadata)):
        yield external_reference()
    if number == 0:
        yield from colour_faults(directory)
    if number == 0 or page.kind & _MASK:
        yield from _dtype_faults(directory, page)
    yield from _size_faults(page)


def _metadata_faults(directory: Directory) -> Iterator[Fault]:
    limits = dict.fromkeys(directory.entries, MAX_TAG_BYTES) | {tag.GDAL_METADATA: MAX_XML_BYTES}
    for number in sorted(directory.entries.keys() - _BLOCK_LISTS):
        if directory.length(number) > limits[number]:
            detail = f"Tag {number} has {directory.length(number):,} bytes; the limit is {limits[number]:,}."
            yield _too_much_metadata(detail)


def _too_much_metadata(detail: str) -> Fault:
    hint = "Rewrite the file without its metadata: gdal_translate -co PROFILE=GeoTIFF in.tif out.tif"
    return Fault("too_much_metadata", detail, hint)


def external_reference() -> Fault:
    """Return the fault of a file whose metadata make GDAL open another file or a URL."""
    detail = "The GDAL metadata of the file refer to another file."
    hint = "Rewrite the file without them: gdal_translate -co COPY_SRC_MDD=NO in.tif out.tif"
    return Fault("external_reference", detail, hint)


def _dtype_faults(directory: Directory, page: _Page) -> Iterator[Fault]:
    kinds = directory.of_bands(tag.SAMPLE_FORMAT, page.bands, _UNSIGNED)
    widths = directory.of_bands(tag.BITS_PER_SAMPLE, page.bands, 1)
    kind, bits = min(kinds), min(widths)
    kind = _UNSIGNED if kind == 4 else kind
    if len(kinds) > 1 or len(widths) > 1 or bits not in _BITS.get(kind, ()):
        names = {_UNSIGNED: "unsigned integer", _SIGNED: "signed integer", _FLOAT: "floating point"}
        detail = f"The pixels are {names.get(kind, 'complex')}, of {', '.join(map(str, sorted(widths)))} bits."
        into = {_SIGNED: "Int32", _FLOAT: "Float32"}.get(kind, "UInt32" if max(widths) > 16 else "UInt16")
        mend = f" Convert them, if they fit: gdal_translate -ot {into} in.tif out.tif" if kind in names else ""
        hint = "Pixels must be real: uint8, int8, uint16, int16, uint32, int32, float16, float32 or float64."
        yield Fault("unsupported_dtype", detail, hint + mend)
    compression = directory.number(tag.COMPRESSION, 1)
    if compression not in COMPRESSIONS:
        hint = "Rewrite the file with DEFLATE, LZW or ZSTD: gdal_translate -co COMPRESS=DEFLATE in.tif out.tif"
        yield Fault("unsupported_compression", f"The compression method {compression} is not supported.", hint)
    predictor = directory.number(tag.PREDICTOR, 1)
    if predictor not in ({1, 2, 3} if kind == _FLOAT else {1, 2}):
        raise corrupt(f"Predictor {predictor} does not exist for this type of pixels.")


def _size_faults(page: _Page) -> Iterator[Fault]:
    if page.rows * page.cols > MAX_PIXELS or max(page.rows, page.cols) > MAX_SIDE:
        limit = f"the limits are {MAX_PIXELS:,} px and {MAX_SIDE:,} px a side"
        detail = f"The image has {page.rows:,} x {page.cols:,} px; {limit}."
        yield Fault("too_many_pixels", detail, "Split it into several scenes.")
    if page.bands > MAX_BANDS:
        detail = f"The image has {page.bands:,} bands; the limit is {MAX_BANDS}."
        yield Fault("too_many_bands", detail, "Send only the bands that you need: gdal_translate -b 1 -b 2 ...")
    elif page.decoded_bytes > MAX_IMAGE_BYTES and page.rows * page.cols <= MAX_PIXELS:
        detail = f"The image decodes to {page.decoded_bytes:,} bytes; the limit is {MAX_IMAGE_BYTES:,}."
        yield Fault("too_many_pixels", detail, "Split it into several scenes, or send only the bands that you need.")
    if page.block_bytes > MAX_BLOCK_BYTES:
        detail = f"One block decodes to {page.block_bytes:,} bytes; the limit is {MAX_BLOCK_BYTES:,}."
        yield Fault("block_too_large", detail, "Rewrite the file in tiles: gdal_translate -co TILED=YES in.tif out.tif")


def _number_faults(pages: Sequence[_Page]) -> Iterator[Fault]:
    """Yield too_many_blocks if the image with its overviews and masks has too many blocks to check them all."""
    blocks = sum(page.blocks for page in pages)
    if blocks > MAX_BLOCKS:
        detail = f"The images of the file have {blocks:,} blocks; the limit is {MAX_BLOCKS:,}."
        yield Fault("too_many_blocks", detail, "Rewrite the file in tiles: gdal_translate -co TILED=YES in.tif out.tif")


def _block_faults(directory: Directory, page: _Page, size: int) -> Iterator[Fault]:
    """Yield the faults of the blocks. A block of 0 bytes is empty.

    Every block must lie inside the file, else corrupt_tiff is raised. If the decoded image is over 256 MiB, no two
    blocks may share bytes.
    """
    offsets = directory.array(tag.TILE_OFFSETS if page.tiled else tag.STRIP_OFFSETS).astype(np.uint64)
    counts = directory.array(tag.TILE_BYTE_COUNTS if page.tiled else tag.STRIP_BYTE_COUNTS).astype(np.uint64)
    if not page.blocks == len(offsets) == len(counts):
        raise corrupt(f"The image has {page.blocks} blocks, but {len(offsets)} offsets and {len(counts)} byte counts.")
    offsets, counts = offsets[counts > 0], counts[counts > 0]
    if (offsets > size).any() or (counts > size - offsets).any():
        raise corrupt(
            f"{int((counts > size - np.minimum(offsets, size)).sum())} blocks lie beyond the end of the file."
        )
    order = np.argsort(offsets)
    ends = (offsets + counts)[order]
    shared = int((offsets[order][1:] < ends[:-1]).sum())
    if shared and page.decoded_bytes > MAX_BLOCK_BYTES:
        detail = f"{shared} blocks share bytes with another block, so the file decodes to far more than it contains."
        yield Fault("overlapping_blocks", detail, "Rewrite the file: gdal_translate in.tif out.tif")
