"""ncnn's convolutions by Winograd's algorithm: far fewer multiplications, so beyond the CPU's peak of direct ones.

ncnn (https://github.com/Tencent/ncnn) is optional. One net of ncnn holds one layer; float32 throughout. Its layers take
tensors whose channels lie side by side by 4, 8 or 16, as many as the CPU's vectors hold. A tensor of PyTorch with so
many lanes, channels last, is the same memory: nothing is copied to call it.
"""

from collections.abc import Sequence
from functools import cache
from importlib.metadata import version
from tempfile import NamedTemporaryFile

import ncnn
import numpy as np
import torch
from torch import Tensor, nn

from ml.nn.prediction.engines.engine import Convolution, Engine, Operation, PixelLayer, Rows
from ml.nn.prediction.engines.input_buffer import Window

_MAGIC = 7767517  # the first line of ncnn's text format
_FLOAT32 = bytes(4)  # the flag before weights that are stored as they are
# memory that was used before: fresh pages from the system would cost a tenth of the time
_ALLOCATORS = ncnn.PoolAllocator(), ncnn.PoolAllocator()
_AS_IT_IS = 1  # how a result is extracted: its lanes stay together


def _convolution(layer: nn.Conv2d, parts: int) -> Convolution:
    operate = _operation(layer, relu=True)
    window = Window(layer.in_channels, _lanes(layer.in_channels, parts), layer.weight)

    def convolve(parts: Sequence[Rows], above: int, below: int) -> Tensor:
        return operate(window.fill(parts, above, below))

    return convolve


def _operation(layer: PixelLayer, relu: bool = False) -> Operation:
    net = _net(layer, relu)

    def operate(features: Tensor) -> Tensor:
        extractor = net.create_extractor()
        extractor.input("features", _mat(features))
        code, result = extractor.extract("result", _AS_IT_IS)
        if code:
            raise MemoryError(f"ncnn gave up on {tuple(features.shape)} with code {code}")
        return _tensor(result)

    return operate


def _mat(features: Tensor) -> ncnn.Mat:
    """The same memory for ncnn."""
    groups, lanes, rows, cols = features.shape
    mat = ncnn.Mat(features.permute(0, 2, 3, 1).numpy())
    mat.dims, mat.c, mat.d, mat.h, mat.w = 3, groups, 1, rows, cols
    mat.elempack, mat.elemsize, mat.cstep = lanes, 4 * lanes, rows * cols
    return mat


def _tensor(mat: ncnn.Mat) -> Tensor:
    """The same memory for PyTorch."""
    lanes, rows, cols, step = mat.elempack, mat.h, mat.w, mat.cstep
    mat.dims, mat.d, mat.h, mat.w = 4, rows, cols, lanes
    mat.elempack, mat.elemsize, mat.cstep = 1, 4, step * lanes
    return torch.from_numpy(np.array(mat, copy=False)).permute(0, 3, 1, 2)


def _net(layer: PixelLayer, relu: bool) -> ncnn.Net:
    """`layer`, with ReLU if told so, as a net of ncnn from "features" to "result"."""
    if layer.bias is None:
        raise ValueError("the convolution has no bias: fold BatchNorm into it first")
    net = ncnn.Net()
    options = net.opt
    options.num_threads = torch.get_num_threads()
    options.use_fp16_storage = options.use_fp16_packed = options.use_fp16_arithmetic = False
    options.use_winograd63_convolution = False  # F(4, 3) is as fast here, and rounds less
    options.blob_allocator, options.workspace_allocator = _ALLOCATORS
    up = isinstance(layer, nn.ConvTranspose2d)
    kind, weight = "Deconvolution" if up else "Convolution", layer.weight.detach()
    shape = f"0={layer.out_channels} 1={layer.kernel_size[0]} 3={layer.stride[0]} 5=1 6={weight.numel()} 9={int(relu)}"
    text = f"{_MAGIC}\n2 2\nInput features 0 1 features\n{kind} layer 1 1 features result {shape}\n"
    outputs_first = weight.transpose(0, 1).contiguous() if up else weight
    with NamedTemporaryFile() as file:  # ncnn reads weights from files only
        file.write(_FLOAT32 + outputs_first.numpy().tobytes() + layer.bias.detach().numpy().tobytes())
        file.flush()
        if net.load_param_mem(text) or net.load_model(file.name):
            raise MemoryError("ncnn could not load a convolution")
    return net


@cache
def _widest() -> int:
    """The most lanes that this CPU's vectors hold."""
    layer = nn.Conv2d(1, 16, 1, device="meta").to_empty(device="cpu")  # any weights, and no random numbers used up
    probe = _operation(layer)
    return int(probe(torch.zeros(1, 1, 1, 1)).shape[1])


def _lanes(channels: int, parts: int) -> int:
    return next(lanes for lanes in (16, 8, 4, 1) if lanes <= _widest() and channels % (lanes * parts) == 0)


ENGINE = Engine("ncnn", version("ncnn"), _lanes, _convolution, _operation)
