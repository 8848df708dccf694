"""Stripe processes share the cores, fail together with their parent, and leave nothing behind."""

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


def test_a_wide_scene_has_one_process_for_each_core() -> None:
    with threads(3):
        with share_cores(3 * 8 * 24, 2, CPU) as processes:
            assert (processes, torch.get_num_threads()) == (3, 1)
        assert torch.get_num_threads() == 3


@pytest.mark.parametrize(("cols", "device"), [(3 * 8 * 24 - 1, "cpu"), (10_000, "cuda")])
def test_a_narrow_scene_and_a_gpu_have_one_process(cols: int, device: str) -> None:
    with threads(3), share_cores(cols, 2, torch.device(device)) as processes:
        assert (processes, torch.get_num_threads()) == (1, 3)


def test_with_one_thread_there_is_one_process() -> None:
    with threads(1), share_cores(10_000, 2, CPU) as processes:
        assert processes == 1


def test_a_stripe_process_computes_the_same_as_its_parent_even_after_threads_ran() -> None:
    net, image = net_with_a_past(2, 2, seed=0), torch.randn(2, 128, 96)
    with threads(2):
        net(torch.randn(4, 2, 128, 128))  # starts a thread pool, which does not survive a fork
    with threads(1):
        ready = for_prediction(net)
        with StripeProcess(ready) as child:
            for _ in range(2):
                there, here = child.open(), ready.open()
                assert torch.equal(there.feed(image[:, :64]), here.feed(image[:, :64]))
                assert torch.equal(there.feed(image[:, 64:], last=True), here.feed(image[:, 64:], last=True))


def test_an_exception_in_a_stripe_process_is_raised_in_its_parent() -> None:
    with threads(1), StripeProcess(for_prediction(UNet(2, 2, 4))) as child:
        with pytest.raises(RuntimeError, match=r"3|channels"):
            child.open().feed(torch.zeros(3, 64, 32))
        assert child.open().feed(torch.zeros(2, 64, 32), last=True).shape == (1, 64, 32)


def test_a_stripe_process_is_refused_with_several_threads() -> None:
    with threads(2), pytest.raises(ValueError, match="one thread"):
        StripeProcess(for_prediction(UNet(2, 2, 4)))


def test_a_stripe_process_ends_with_its_context() -> None:
    before = active_children()
    with threads(1), StripeProcess(for_prediction(UNet(2, 2, 4))):
        assert len(active_children()) == len(before) + 1
    assert active_children() == before


@pytest.mark.parametrize("deadly", [signal.SIGKILL, signal.SIGTERM])
def test_the_parent_of_a_killed_stripe_process_dies_of_the_same_signal(deadly: signal.Signals) -> None:
    with predicting() as (process, received):
        for child in received.recv():
            os.kill(child, deadly)
        process.join(30)
        assert process.exitcode == -deadly


def test_stripe_processes_end_with_their_parent() -> None:
    with predicting() as (process, received):
        assert len(received.recv()) == 2
        process.kill()
        assert received.poll(30)  # the pipe is closed at all other ends
        with pytest.raises(EOFError):
            received.recv()


@contextmanager
def predicting() -> Iterator[tuple[ForkProcess, Connection]]:
    """Start a process with two stripe processes; yield it and a connection on which it sends their ids."""
    received, child_end = FORK.Pipe()
    with threads(1):
        process = FORK.Process(target=predict_for_ever, args=(for_prediction(UNet(2, 2, 4)), child_end))
        process.start()
    child_end.close()
    try:
        yield process, received
    finally:
        process.kill()
        process.join()


def predict_for_ever(net: StreamNet, test: Connection) -> None:
    with StripeProcess(net) as first, StripeProcess(net):
        stream = first.open()
        test.send([child.pid for child in active_children()])
        while True:
            stream.feed(torch.zeros(2, 64, 32))
            time.sleep(0.01)
