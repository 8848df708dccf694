"""The way of a piece's pixels to another device: once, as they are stored, while the net computes the piece before.

The pixels of a scene are mostly integers of one or two bytes. A GPU gets these from pinned memory and normalises them
itself, so that the host copies a half or a quarter of the bytes of float32, and computes nothing. Stripes are cut on
the device: a part of a pinned tensor is no longer contiguous, and the host would wait for its copy.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ml.contract import BandStatistics
from ml.nn.normalise import normalise


class Copies:
    """The copies of pieces to a device, beside its other work.

    On a GPU they have a stream of their own; a piece must be `received` before another stream uses it.
    """

    def __init__(self, device: torch.device) -> None:
        self._device, self._on_gpu = device, device.type == "cuda"
        self._stream = torch.cuda.Stream(device) if self._on_gpu else None  # type: ignore[no-untyped-call]

    def normalised(
        self, image: np.ndarray, valid: np.ndarray, statistics: Sequence[BandStatistics], step: int
    ) -> Tensor:
        """Copy the pixels of a piece to the device, and normalise them there: float32 (bands, rows, cols).

        The bits are those of `normalise` on a CPU, since it only subtracts, divides and clips. Zeros are added on the
        right and below, up to multiples of `step`.

        image: Pixels as `Source.read_compact` returns them. valid: Whether each pixel has data, bool (rows, cols).
        """
        with torch.cuda.stream(self._stream):
            pixels, known = (self._sent(torch.from_numpy(array)) for array in (image, valid))
            normal = normalise(pixels.to(torch.float32)[None], known[None], statistics)[0]
            beyond = (0, -valid.shape[1] % step, 0, -valid.shape[0] % step)
            return functional.pad(normal, beyond) if any(beyond) else normal  # padding by nothing would still copy

    def received(self, image: Tensor) -> Tensor:
        """Let the stream of this thread use `image` after its copy; the host does not wait."""
        if self._stream is not None:
            current = torch.cuda.current_stream(self._device)
            current.wait_stream(self._stream)
            image.record_stream(current)
        return image

    def _sent(self, tensor: Tensor) -> Tensor:
        return (tensor.pin_memory() if self._on_gpu else tensor).to(self._device, non_blocking=True)
