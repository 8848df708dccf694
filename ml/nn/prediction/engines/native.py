"""Our own layers in C (`ml/native/native.c`): Winograd's algorithm in blocks that a core's own cache holds.

The calls let go of the interpreter's lock, so with several threads each computes a part. Layers of a shape that the C
does not know are PyTorch's.
"""

import ctypes
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ml.native.library import Library
from ml.nn.prediction.engines import pytorch
from ml.nn.prediction.engines.engine import COLS, ROWS, Convolution, Engine, Operation, PixelLayer, Rows, height
from ml.nn.prediction.engines.input_buffer import InputBuffer

Addresses = NDArray[np.int64]
_TILE, _POINTS = 4, 36
_CHUNK = 4 * 16  # outputs between the steps at a time: as many as their tiles may have in the cache
_FEW = 8  # inputs for which fewer products, a quarter, make up for the transforms, unless vectors are that much shorter
# Which products lie in the first-level cache and which weights are read again for how many tiles: measured.
_TILES_OF_FEW, _TILES_OF_MANY, _MANY = 42, 112, 256


def native(library: Library) -> Engine:
    """The engine that computes with `library`, and a few layers with PyTorch."""
    version = f"{library.origin}, {library.checksum}; torch {pytorch.ENGINE.version}"
    return Engine("native", version, partial(_convolution, library), partial(_each_pixel, library))


def _convolution(library: Library, layer: nn.Conv2d, parts: int) -> Convolution:
    inputs, outputs = layer.in_channels, layer.out_channels
    by_tiles, plain = _lanes(library, inputs // parts, outputs), _lanes(library, outputs)
    if inputs >= _FEW and 4 * by_tiles > plain:
        return _winograd(library, layer, parts, by_tiles)
    if plain:
        return _direct(library, layer, plain)
    return pytorch.ENGINE.convolution(layer, parts)


def _each_pixel(library: Library, layer: PixelLayer) -> Operation:
    if isinstance(layer, nn.ConvTranspose2d) and (lanes := _lanes(library, 2 * layer.out_channels)):
        return _enlarging(library, layer, lanes)
    return pytorch.ENGINE.each_pixel(layer)


def _lanes(library: Library, *channels: int) -> int:
    """Of the widest vectors that divide all these numbers of channels; 0 if none do."""
    return next((lanes for lanes in library.by_lanes if not any(number % lanes for number in channels)), 0)


def _winograd(library: Library, layer: nn.Conv2d, count: int, lanes: int) -> Convolution:
    inputs, outputs, threads = layer.in_channels, layer.out_channels, torch.get_num_threads()
    weight, bias = transformed(_blocks(layer.weight.permute(2, 3, 1, 0), lanes)), _bias(layer)
    tiles = _TILES_OF_MANY if inputs >= _MANY else _TILES_OF_FEW
    chunk = _CHUNK if outputs % _CHUNK == 0 else outputs
    scratch_size = _POINTS * ((tiles + 1) * (inputs + chunk) + 2 * lanes)

    def convolve(parts: Sequence[Rows], above: int, below: int) -> Tensor:
        parts = [[_by_pixels(piece) for piece in part] for part in parts]
        addresses = np.concatenate([_addresses(part, above, below) for part in parts])
        rows, cols = height(parts[0]) + above + below - 2, parts[0][0].shape[COLS]
        result = _image(outputs, rows, cols)

        def part(first: int, end: int) -> None:
            _call(
                library.by_lanes[lanes].winograd,
                *(addresses, weight, bias, result, count, inputs // count, outputs, rows, cols),
                *(first, end, tiles, chunk, _scratch.of(scratch_size)),
            )

        _spread(part, -(-rows // _TILE) * -(-cols // _TILE), threads)
        return result

    return convolve


def _direct(library: Library, layer: nn.Conv2d, lanes: int) -> Convolution:
    inputs, outputs, threads = layer.in_channels, layer.out_channels, torch.get_num_threads()
    # of three pixels side by side all channels lie side by side
    weight, bias = _blocks(layer.weight.permute(2, 3, 1, 0).reshape(1, 9 * inputs, outputs), lanes), _bias(layer)
    window = InputBuffer(inputs, weight)

    def convolve(parts: Sequence[Rows], above: int, below: int) -> Tensor:
        image = window.fill(parts, above, below)
        rows, cols = image.shape[ROWS] - 2, image.shape[COLS] - 2
        result = _image(outputs, rows, cols)

        def part(first: int, end: int) -> None:
            _call(library.by_lanes[lanes].direct, image, weight, bias, result, inputs, outputs, cols, first, end)

        _spread(part, rows, threads)
        return result

    return convolve


def _enlarging(library: Library, layer: PixelLayer, lanes: int) -> Operation:
    inputs, outputs, threads = layer.in_channels, layer.out_channels, torch.get_num_threads()
    weight = _blocks(layer.weight.permute(2, 0, 3, 1).reshape(2, inputs, 2 * outputs), lanes)
    bias = torch.cat([_bias(layer)] * 2)

    def operate(features: Tensor) -> Tensor:
        rows, cols = features.shape[ROWS:]
        result = _image(outputs, 2 * rows, 2 * cols)

        def part(first: int, end: int) -> None:
            _call(library.by_lanes[lanes].enlarge, features, weight, bias, result, inputs, outputs, cols, first, end)

        _spread(part, rows, threads)
        return result

    return operate


def _by_pixels(piece: Tensor) -> Tensor:
    """With all numbers of a row side by side, pixel after pixel; a view of a wider image has that already."""
    if (piece.stride(1), piece.stride(COLS)) == (1, piece.shape[1]):
        return piece
    return piece.contiguous(memory_format=torch.channels_last)  # of few rows and columns, it may have lost that


def _addresses(part: Rows, above: int, below: int) -> Addresses:
    """Of each row, 0 for those of zeros."""
    each = [piece.data_ptr() + 4 * piece.stride(ROWS) * np.arange(piece.shape[ROWS]) for piece in part]
    return np.concatenate([np.zeros(above, np.int64), *each, np.zeros(below, np.int64)])


def transformed(weight: Tensor) -> Tensor:
    """Weights (3, 3, ...) at the points of Winograd's algorithm: float32 (36, ...).

    G g G^T (Lavin, Gray 2016, arXiv:1509.09308) for the points 0, +-sqrt(1/2), +-sqrt(2), infinity.
    """
    near, far = 0.5, 2.0  # squares of the points
    rows = [[1.0, 0.0, 0.0]]
    for square, factor in ((near, 1 / (2 * near * (near - far))), (far, 1 / (2 * far * (far - near)))):
        rows += [[factor, sign * factor * square**0.5, factor * square] for sign in (1, -1)]
    points = torch.tensor([*rows, [0.0, 0.0, 1.0]])
    half = points @ weight.reshape(3, -1)
    whole = points @ half.reshape(len(points), 3, -1)
    return whole.reshape(_POINTS, *weight.shape[2:])


def _blocks(weight: Tensor, lanes: int) -> Tensor:
    """(..., depth, outputs) as (..., outputs / block, depth, block), with the blocks of `native.c`."""
    *rest, depth, outputs = weight.shape
    block = lanes if outputs % (2 * lanes) else 2 * lanes
    return weight.detach().reshape(*rest, depth, outputs // block, block).transpose(-3, -2).contiguous()


def _bias(layer: PixelLayer) -> Tensor:
    if layer.bias is None:
        raise ValueError("the convolution has no bias: fold BatchNorm into it first")
    return layer.bias.detach().contiguous()


def _image(channels: int, rows: int, cols: int) -> Tensor:
    return torch.empty(1, channels, rows, cols, memory_format=torch.channels_last)


def _call(function: Callable[..., None], *arguments: Tensor | Addresses | int) -> None:
    """With the memory of tensors and arrays."""
    function(*map(_argument, arguments))


def _argument(value: Tensor | Addresses | int) -> ctypes.c_void_p | ctypes.c_long:
    if isinstance(value, Tensor):
        return ctypes.c_void_p(value.data_ptr())
    return ctypes.c_long(value) if isinstance(value, int) else ctypes.c_void_p(value.ctypes.data)


class _Scratch(threading.local):
    """Memory of a thread that all layers share: what lies in the cache is written over, not thrown out of it."""

    def __init__(self) -> None:
        self._memory = torch.empty(0)

    def of(self, size: int) -> Tensor:
        """At least so many floats, with anything in them."""
        if len(self._memory) < size:
            self._memory = torch.empty(size)
        return self._memory


_scratch = _Scratch()


def _spread(part: Callable[[int, int], None], count: int, threads: int) -> None:
    """Call `part(first, end)` for parts of `count` things, each in one of so many threads."""
    if threads == 1:  # in a process of one thread, which may have been forked, no other is asked
        part(0, count)
        return
    step = -(-count // threads)
    for done in [_pool(threads).submit(part, first, min(first + step, count)) for first in range(0, count, step)]:
        done.result()


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="native")
