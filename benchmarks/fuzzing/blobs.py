"""Mutations of any file, without knowledge of its format."""

import struct
from random import Random

# Numbers at the edges of integers, of signs, and of the limits of parsers.
EDGES = (0, 1, 2, 3, 7, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
_WIDTHS = "BHIQ"
MAX_BYTES = 1 << 20  # parents grow no further


def mutate_bytes(random: Random, parent: bytes) -> bytes:
    """Return a copy of `parent` after one to four of the changes below, never longer than 1 MiB."""
    child = parent
    for _ in range(random.randint(1, 4)):
        child = random.choice((_flip, _number, _cut, _shorten, _repeat, _insert))(random, child or b"\0")
    return child[:MAX_BYTES]


def number(random: Random) -> int:
    """Return an odd number of up to 64 bits: an edge, a power of two, or any."""
    return random.choice(
        (random.choice(EDGES), (1 << random.randrange(64)) - random.randint(0, 1), random.getrandbits(64))
    )


def _flip(random: Random, data: bytes) -> bytes:
    child = bytearray(data)
    child[random.randrange(len(child))] ^= 1 << random.randrange(8)
    return bytes(child)


def _number(random: Random, data: bytes) -> bytes:
    width = random.choice(_WIDTHS)
    size = struct.calcsize(width)
    at = random.randrange(max(len(data) - size, 1))
    packed = struct.pack(random.choice("<>") + width, number(random) % 256**size)
    return data[:at] + packed + data[at + size :]


def _cut(random: Random, data: bytes) -> bytes:
    start = random.randrange(len(data))
    return data[:start] + data[start + random.randint(1, 64) :]


def _shorten(random: Random, data: bytes) -> bytes:
    return data[: random.randrange(len(data))]


def _repeat(random: Random, data: bytes) -> bytes:
    start = random.randrange(len(data))
    piece = data[start : start + random.randint(1, 256)]
    return data[:start] + piece * random.choice((2, 3, 50)) + data[start:]


def _insert(random: Random, data: bytes) -> bytes:
    at = random.randrange(len(data))
    return data[:at] + random.randbytes(random.randint(1, 16)) + data[at:]
