"""Changes GeoTIFFs at random where readers of TIFF may differ: tags, types, counts, values, the chain.

Everything here is pure and depends on a seed only, so that a file that shows a fault can be made again.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random

_ODD = (0, 1, 2, 3, 7, 8, 255, 256, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_LONG, _ASCII = 4, 2
# Tags with numbers that a reader may take notice of: subfile types, orientation, depth, SubIFDs, EXIF, GPS, extra
# samples, colour spaces, predictor, sample format, and the limits of samples.
_NUMBERS = (254, 255, 262, 266, 274, 284, 297, 317, 330, 338, 339, 340, 530, 32997, 32998, 34665, 34853)
_GDAL_METADATA, _GDAL_NODATA = 42112, 42113
_REFERENCES = (
    '<Item name="OVERVIEW_FILE" domain="OVERVIEWS">{}</Item>',
    '<Item name="&#79;VERVIEW_FILE" domain="&#x4f;VERVIEWS">{}</Item>',
    '<Item domain="overviews" name="overview_file"><![CDATA[{}]]></Item>',
    '<Item name="X_DATASET" domain="GEOLOCATION">{}</Item>',
    '<Item name="MASK_FILE" domain="">{}</Item>',
    '<Item name="NBITS" domain="IMAGE_STRUCTURE" sample="0">3</Item>',
    '<Item name="SOURCE" domain="xml:VRT">{}</Item>',
    '<Item name="SCALE" sample="0" role="scale">nan</Item>',
    '<Item name="COLORINTERP" sample="0" role="colorinterp">alpha</Item>',
)


@dataclass(frozen=True)
class Entry:
    """One entry of a directory; `value` is the number in its last field: a value, or the offset of the values."""

    tag: int
    kind: int
    count: int
    value: int


@dataclass(frozen=True)
class Tiff:
    """A TIFF with its first directory taken apart.

    order: Byte order as in `struct`. big: Whether it is a BigTIFF. content: All bytes. entries: Entries of the
    directory. following: Offset of the next directory.
    """

    order: str
    big: bool
    content: bytes
    entries: tuple[Entry, ...]
    following: int

    @classmethod
    def parse(cls, content: bytes) -> "Tiff":
        """Take apart a well-formed TIFF."""
        order, big = {b"II": "<", b"MM": ">"}[content[:2]], content[2:4] in (b"\x2b\0", b"\0\x2b")
        (at,) = struct.unpack_from(order + ("Q" if big else "I"), content, 8 if big else 4)
        (count,) = struct.unpack_from(order + ("Q" if big else "H"), content, at)
        start, entry = at + (8 if big else 2), struct.Struct(order + ("HHQQ" if big else "HHII"))
        fields = [entry.unpack_from(content, start + number * entry.size) for number in range(count)]
        (following,) = struct.unpack_from(order + ("Q" if big else "I"), content, start + count * entry.size)
        return cls(order, big, content, tuple(Entry(*each) for each in fields), following)

    def build(self) -> bytes:
        """Return the file with its first directory written anew, at the end."""
        content = self.content + bytes(len(self.content) % 2)
        entry = struct.Struct(self.order + ("HHQQ" if self.big else "HHII"))
        most = 2 ** (64 if self.big else 32)
        body = b"".join(entry.pack(e.tag, e.kind, e.count % most, e.value % most) for e in self.entries)
        count = struct.pack(self.order + ("Q" if self.big else "H"), len(self.entries))
        pointer = self.order + ("Q" if self.big else "I")
        head = bytearray(content)
        struct.pack_into(pointer, head, 8 if self.big else 4, len(content))
        return bytes(head) + count + body + struct.pack(pointer, self.following % most)

    def with_entry(self, at: int, entry: Entry) -> "Tiff":
        """Return the file with another entry in place number `at`."""
        return replace(self, entries=(*self.entries[:at], entry, *self.entries[at + 1 :]))

    def adding(self, entry: Entry) -> "Tiff":
        """Return the file with one more entry, in the order of the tags."""
        return replace(self, entries=tuple(sorted((*self.entries, entry), key=lambda each: each.tag)))

    def adding_text(self, tag: int, text: bytes) -> "Tiff":
        """Return the file with one more entry of text."""
        longer = replace(self, content=self.content + text)
        return longer.adding(Entry(tag, _ASCII, len(text), len(self.content)))


def mutate(content: bytes, seed: int, foreign: str = "/nowhere.tif") -> bytes:
    """Return a changed copy of a well-formed TIFF; the same seed makes the same change.

    foreign: Path of a file to which some of the changed files refer.
    """
    random = Random(seed)
    tiff = Tiff.parse(content)
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        tiff = random.choice(_EDITS)(tiff, random)
    if random.random() < 0.15:
        tiff = _refer(tiff, random, foreign)
    built = tiff.build()
    return _damage(built, random) if random.random() < 0.15 else built


def _retype(tiff: Tiff, random: Random) -> Tiff:
    at = random.randrange(len(tiff.entries))
    return tiff.with_entry(at, replace(tiff.entries[at], kind=random.randrange(20)))


def _recount(tiff: Tiff, random: Random) -> Tiff:
    at = random.randrange(len(tiff.entries))
    count = tiff.entries[at].count
    return tiff.with_entry(at, replace(tiff.entries[at], count=random.choice((0, 1, 2, count - 1, count + 1, *_ODD))))


def _revalue(tiff: Tiff, random: Random) -> Tiff:
    at = random.randrange(len(tiff.entries))
    value = tiff.entries[at].value
    other = random.choice((*_ODD, value + 1, value - 1, value ^ (1 << random.randrange(32)), value << 16))
    return tiff.with_entry(at, replace(tiff.entries[at], value=other))


def _repeat(tiff: Tiff, random: Random) -> Tiff:
    """Add an entry a second time, with another value, before or after the first."""
    entry = random.choice(tiff.entries)
    other = replace(entry, value=random.choice((*_ODD, entry.value + 1)))
    at = tiff.entries.index(entry) + random.randrange(2)
    return replace(tiff, entries=(*tiff.entries[:at], other, *tiff.entries[at:]))


def _reorder(tiff: Tiff, random: Random) -> Tiff:
    entries = list(tiff.entries)
    one, other = random.randrange(len(entries)), random.randrange(len(entries))
    entries[one], entries[other] = entries[other], entries[one]
    return replace(tiff, entries=tuple(entries))


def _drop(tiff: Tiff, random: Random) -> Tiff:
    entry = random.choice(tiff.entries)
    return replace(tiff, entries=tuple(each for each in tiff.entries if each is not entry) or (entry,))


def _add(tiff: Tiff, random: Random) -> Tiff:
    value = random.choice((0, 1, 2, 3, 4, 5, 6, len(tiff.content) // 2, tiff.following, 0xFFFF))
    return tiff.adding(Entry(random.choice(_NUMBERS), random.choice((3, 4)), random.choice((1, 1, 1, 2)), value))


def _chain(tiff: Tiff, random: Random) -> Tiff:
    size = len(tiff.content)
    return replace(tiff, following=random.choice((0, 2, 8, 16, size, size + size % 2, random.randrange(size))))


def _declare_nodata(tiff: Tiff, random: Random) -> Tiff:
    texts = (b"7\0", b"7abc\0", b"nan\0", b"1_0\0", b" 7 \0", b"0x10\0", b"1e400\0", b"-9999\0", b"7\x009\0", b"7")
    dropped = replace(tiff, entries=tuple(each for each in tiff.entries if each.tag != _GDAL_NODATA))
    return dropped.adding_text(_GDAL_NODATA, random.choice(texts) + b"\0" * 8)


def _move_block(tiff: Tiff, random: Random) -> Tiff:
    """Change one number in the values of a tag that lie outside the directory, like the offset of a block."""
    outside = [e for e in tiff.entries if e.count * _SIZES.get(e.kind, 1) > 8 and e.value < len(tiff.content) - 8]
    if not outside:
        return tiff
    entry = random.choice(outside)
    size = _SIZES.get(entry.kind, 1)
    at = min(entry.value + size * random.randrange(entry.count), len(tiff.content) - size)
    changed = bytearray(tiff.content)
    changed[at : at + size] = random.choice(_ODD).to_bytes(8, "little" if tiff.order == "<" else "big")[:size]
    return replace(tiff, content=bytes(changed))


_EDITS: tuple[Callable[[Tiff, Random], Tiff], ...] = (
    _retype,
    _recount,
    _revalue,
    _revalue,
    _repeat,
    _reorder,
    _drop,
    _add,
    _add,
    _chain,
    _declare_nodata,
    _move_block,
)


def _refer(tiff: Tiff, random: Random, foreign: str) -> Tiff:
    """Add metadata in which GDAL may find the name of another file; the tag may stand twice afterwards."""
    items = random.choice(_REFERENCES).format(foreign)
    return tiff.adding_text(_GDAL_METADATA, f"<GDALMetadata>{items}</GDALMetadata>\0".encode())


def _damage(content: bytes, random: Random) -> bytes:
    damaged = bytearray(content)
    for _ in range(random.randrange(1, 5)):
        damaged[random.randrange(len(damaged))] = random.randrange(256)
    return bytes(damaged[: random.randrange(len(damaged))] if random.random() < 0.2 else damaged)
