"""What the process of a job says of the GPU that it uses, for the log of the job."""

import sys


def used_by_this_process() -> str:
    """The GPU that this process computes on and its free memory, in words; "" if it uses none, or has not begun to."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return ""
    free, total = torch.cuda.mem_get_info()
    properties = torch.cuda.get_device_properties(torch.cuda.current_device())
    return f"{properties.name}, GPU-{properties.uuid}: {free / 2**30:.1f} of {total / 2**30:.1f} GiB free"
