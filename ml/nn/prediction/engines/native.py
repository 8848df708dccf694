"""The engine that uses canemap's own layers in C (`ml/native/native.c`).

They compute Winograd's algorithm in blocks that fit into the cache of a core. The calls release the interpreter's lock,
so several threads can share a layer. Layers whose shape the C code does not support are computed by PyTorch.
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
_TILE, _POINTS = 4, 36  # rows and columns of a tile, and points of Winograd's algorithm, as in `native.c`
_CHUNK = 4 * 16  # output channels that are computed at a time, so that their tiles fit into the cache
# Least number of input channels for Winograd's algorithm. It needs a quarter of the products, but with fewer inputs its
# transforms cost more than that saves. Neither does it pay with vectors of at most a quarter of the length.
_MIN_WINOGRAD_INPUTS = 8
# Tiles at a time for layers with fewer and with at least 256 inputs, chosen by measurement. More tiles take more of the
# first-level cache; fewer tiles read the weights more often.
_TILES_FOR_FEW_INPUTS, _TILES_FOR_MANY_INPUTS, _MANY_INPUTS = 42, 112, 256


def native(library: Library) -> Engine:
    """Make the engine that computes with `library`, and the layers that it does not support with PyTorch."""
    version = f"{library.origin}, {library.checksum}; torch {pytorch.ENGINE.version}"
    return Engine("native", version, partial(_convolution, library), partial(_pixelwise, library))


def _convolution(library: Library, layer: nn.Conv2d, branches: int) -> Convolution:
    inputs, outputs = layer.in_channels, layer.out_channels
    by_tiles, plain = _lanes(library, inputs // branches, outputs), _lanes(library, outputs)
    if inputs >= _MIN_WINOGRAD_INPUTS and 4 * by_tiles > plain:
        return _winograd(library, layer, branches, by_tiles)
    if plain:
        return _direct(library, layer, plain)
    return pytorch.ENGINE.convolution(layer, branches)


def _pixelwise(library: Library, layer: PixelLayer) -> Operation:
    if isinstance(layer, nn.ConvTranspose2d) and (lanes := _lanes(library, 2 * layer.out_channels)):
        return _transposed_convolution(library, layer, lanes)
    return pytorch.ENGINE.pixelwise(layer)


def _lanes(library: Library, *channels: int) -> int:
    """Return the largest number of lanes of a vector that divides all of `channels`; 0 if there is none."""
    return next((lanes for lanes in library.by_lanes if not any(number % lanes for number in channels)), 0)


def _winograd(library: Library, layer: nn.Conv2d, count: int, lanes: int) -> Convolution:
    inputs, outputs, threads = layer.in_channels, layer.out_channels, torch.get_num_threads()
    weight, bias = transformed(_blocks(layer.weight.permute(2, 3, 1, 0), lanes)), _bias(layer)
    tiles = _TILES_FOR_MANY_INPUTS if inputs >= _MANY_INPUTS else _TILES_FOR_FEW_INPUTS
    chunk = _CHUNK if outputs % _CHUNK == 0 else outputs
    scratch_size = _POINTS * ((tiles + 1) * (inputs + chunk) + 2 * lanes)

    def convolve(branches: Sequence[Rows], above: int, below: int) -> Tensor:
        branches = [[_channels_last(piece) for piece in branch] for branch in branches]
        addresses = np.concatenate([_addresses(branch, above, below) for branch in branches])
        rows, cols = height(branches[0]) + above + below - 2, branches[0][0].shape[COLS]
        result = _image(outputs, rows, cols)

        def compute(first: int, end: int) -> None:
            _call(
                library.by_lanes[lanes].winograd,
                *(addresses, weight, bias, result, count, inputs // count, outputs, rows, cols),
                *(first, end, tiles, chunk, _scratch.of(scratch_size)),
            )

        _spread(compute, -(-rows // _TILE) * -(-cols // _TILE), threads)
        return result

    return convolve


def _direct(library: Library, layer: nn.Conv2d, lanes: int) -> Convolution:
    inputs, outputs, threads = layer.in_channels, layer.out_channels, torch.get_num_threads()
    # the channels of three neighbouring pixels lie side by side, so three taps are one tap with 3 * inputs channels
    weight, bias = _blocks(layer.weight.permute(2, 3, 1, 0).reshape(1, 9 * inputs, outputs), lanes), _bias(layer)
    buffer = InputBuffer(inputs, weight)

    def convolve(branches: Sequence[Rows], above: int, below: int) -> Tensor:
        image = buffer.fill(branches, above, below)
        rows, cols = image.shape[ROWS] - 2, image.shape[COLS] - 2
        result = _image(outputs, rows, cols)

        def compute(first: int, end: int) -> None:
            _call(library.by_lanes[lanes].direct, image, weight, bias, result, inputs, outputs, cols, first, end)

        _spread(compute, rows, threads)
        return result

    return convolve


def _transposed_convolution(library: Library, layer: PixelLayer, lanes: int) -> Operation:
    inputs, outputs, threads = layer.in_channels, layer.out_channels, torch.get_num_threads()
    weight = _blocks(layer.weight.permute(2, 0, 3, 1).reshape(2, inputs, 2 * outputs), lanes)
    bias = torch.cat([_bias(layer)] * 2)

    def operate(features: Tensor) -> Tensor:
        rows, cols = features.shape[ROWS:]
        result = _image(outputs, 2 * rows, 2 * cols)

        def compute(first: int, end: int) -> None:
            _call(library.by_lanes[lanes].enlarge, features, weight, bias, result, inputs, outputs, cols, first, end)

        _spread(compute, rows, threads)
        return result

    return operate


def _channels_last(piece: Tensor) -> Tensor:
    """Return `piece` with the channels of each pixel side by side and the pixels of each row side by side.

    A view of a wider image has this layout already.
    """
    if (piece.stride(1), piece.stride(COLS)) == (1, piece.shape[1]):
        return piece
    # a piece with few rows or columns may have other strides
    return piece.contiguous(memory_format=torch.channels_last)


def _addresses(branch: Rows, above: int, below: int) -> Addresses:
    """Return the address of each row, int64; 0 stands for a row of zeros."""
    each = [piece.data_ptr() + 4 * piece.stride(ROWS) * np.arange(piece.shape[ROWS]) for piece in branch]
    return np.concatenate([np.zeros(above, np.int64), *each, np.zeros(below, np.int64)])


def transformed(weight: Tensor) -> Tensor:
    """Transform weights (3, 3, ...) to the points of Winograd's algorithm: float32 (36, ...).

    The result is G g G^T (Lavin, Gray 2016, arXiv:1509.09308) for the points 0, +-sqrt(1/2), +-sqrt(2) and infinity.
    """
    near, far = 0.5, 2.0  # squares of the points +-sqrt(1/2) and +-sqrt(2)
    rows = [[1.0, 0.0, 0.0]]
    for square, factor in ((near, 1 / (2 * near * (near - far))), (far, 1 / (2 * far * (far - near)))):
        rows += [[factor, sign * factor * square**0.5, factor * square] for sign in (1, -1)]
    points = torch.tensor([*rows, [0.0, 0.0, 1.0]])
    half = points @ weight.reshape(3, -1)
    whole = points @ half.reshape(len(points), 3, -1)
    return whole.reshape(_POINTS, *weight.shape[2:])


def _blocks(weight: Tensor, lanes: int) -> Tensor:
    """Reorder weights (..., depth, outputs) to (..., outputs / block, depth, block), with the blocks of `native.c`."""
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
    """Call a C function; a tensor or array becomes a pointer to its memory."""
    function(*map(_argument, arguments))


def _argument(value: Tensor | Addresses | int) -> ctypes.c_void_p | ctypes.c_long:
    if isinstance(value, Tensor):
        return ctypes.c_void_p(value.data_ptr())
    return ctypes.c_long(value) if isinstance(value, int) else ctypes.c_void_p(value.ctypes.data)


class _Scratch(threading.local):
    """Scratch memory of a thread, which all layers share, so that the same memory stays in the cache."""

    def __init__(self) -> None:
        self._memory = torch.empty(0)

    def of(self, size: int) -> Tensor:
        """Return at least `size` uninitialised floats."""
        if len(self._memory) < size:
            self._memory = torch.empty(size)
        return self._memory


_scratch = _Scratch()


def _spread(compute: Callable[[int, int], None], count: int, threads: int) -> None:
    """Divide `count` items among `threads` threads and call `compute(first, end)` in each; wait for all of them."""
    if threads == 1:  # a forked process must not use the thread pool of its parent
        compute(0, count)
        return
    step = -(-count // threads)
    for done in [_pool(threads).submit(compute, first, min(first + step, count)) for first in range(0, count, step)]:
        done.result()


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="native")
