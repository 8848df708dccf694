"""Processes that predict side by side: they share the cores, fail as one, and leave nothing behind."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import active_children, get_context
from multiprocessing.connection import Connection
from multiprocessing.context import ForkProcess

import pytest
import torch

from ml.nn.prediction.row_stream import StreamNet, for_prediction
from ml.nn.prediction.stripe_processes import StripeProcess, share_cores
from ml.nn.unet import UNet
from tests.ml.nn.nets import net_with_a_past

CPU = torch.device("cpu")
FORK = get_context("fork")


@contextmanager
def threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    yield
    torch.set_num_threads(before)


def test_each_core_gets_a_lane_of_a_wide_scene() -> None:
    with threads(3):
        with share_cores(3 * 8 * 24, 2, CPU) as lanes:
            assert (lanes, torch.get_num_threads()) == (3, 1)
        assert torch.get_num_threads() == 3


@pytest.mark.parametrize(("cols", "device"), [(3 * 8 * 24 - 1, "cpu"), (10_000, "cuda")])
def test_a_narrow_scene_and_a_gpu_are_for_one_process(cols: int, device: str) -> None:
    with threads(3), share_cores(cols, 2, torch.device(device)) as lanes:
        assert (lanes, torch.get_num_threads()) == (1, 3)


def test_one_thread_is_one_lane() -> None:
    with threads(1), share_cores(10_000, 2, CPU) as lanes:
        assert lanes == 1


def test_a_lane_computes_what_this_process_does_even_after_threads() -> None:
    net, image = net_with_a_past(2, 2, seed=0), torch.randn(2, 128, 96)
    with threads(2):
        net(torch.randn(4, 2, 128, 128))  # a pool of threads, which a fork leaves behind
    with threads(1):
        ready = for_prediction(net)
        with StripeProcess(ready) as lane:
            for _ in range(2):
                there, here = lane.open(), ready.open()
                assert torch.equal(there.feed(image[:, :64]), here.feed(image[:, :64]))
                assert torch.equal(there.feed(image[:, 64:], last=True), here.feed(image[:, 64:], last=True))


def test_what_goes_wrong_in_a_lane_goes_wrong_here() -> None:
    with threads(1), StripeProcess(for_prediction(UNet(2, 2, 4))) as lane:
        with pytest.raises(RuntimeError, match=r"3|channels"):
            lane.open().feed(torch.zeros(3, 64, 32))
        assert lane.open().feed(torch.zeros(2, 64, 32), last=True).shape == (1, 64, 32)


def test_a_lane_has_one_thread() -> None:
    with threads(2), pytest.raises(ValueError, match="one thread"):
        StripeProcess(for_prediction(UNet(2, 2, 4)))


def test_a_lane_ends_with_its_block() -> None:
    before = active_children()
    with threads(1), StripeProcess(for_prediction(UNet(2, 2, 4))):
        assert len(active_children()) == len(before) + 1
    assert active_children() == before


@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGTERM])
def test_who_loses_a_lane_dies_of_the_same(blow: signal.Signals) -> None:
    with predicting() as (process, said):
        for lane in said.recv():
            os.kill(lane, blow)
        process.join(30)
        assert process.exitcode == -blow


def test_lanes_end_with_who_made_them() -> None:
    with predicting() as (process, said):
        assert len(said.recv()) == 2
        process.kill()
        assert said.poll(30)  # the end: nobody is left who could say more
        with pytest.raises(EOFError):
            said.recv()


@contextmanager
def predicting() -> Iterator[tuple[ForkProcess, Connection]]:
    """A process with lanes, and what it says, or they."""
    said, its = FORK.Pipe()
    with threads(1):
        process = FORK.Process(target=predict_for_ever, args=(for_prediction(UNet(2, 2, 4)), its))
        process.start()
    its.close()
    try:
        yield process, said
    finally:
        process.kill()
        process.join()


def predict_for_ever(net: StreamNet, test: Connection) -> None:
    with StripeProcess(net) as lane, StripeProcess(net):
        stream = lane.open()
        test.send([child.pid for child in active_children()])
        while True:
            stream.feed(torch.zeros(2, 64, 32))
            time.sleep(0.01)
