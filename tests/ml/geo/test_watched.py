"""Progress inside long stages."""

import threading

import pytest

from ml.geo.watched import WatchedRows, ticking
from ml.geo.windows import blocks
from ml.progress import Progress, Stopped


def test_rows_grow_window_by_window_over_several_scenes() -> None:
    heard: list[Progress] = []
    rows = WatchedRows(heard.append, "audit", 25)
    for name, size in (("a", 15), ("b", 10)):
        assert len([*rows.of(name)(blocks(size, 20, block_px=10))]) == 2 * -(-size // 10)
    rows.end()
    assert [(item.done, item.message) for item in heard] == [
        *[(0, "a")] * 2,
        *[(10, "a")] * 2,
        *[(15, "b")] * 2,
        (25, ""),
    ]


def test_a_stage_stops_between_two_windows() -> None:
    def stop(progress: Progress) -> None:
        if progress.done:
            raise Stopped

    seen: list[int] = []
    with pytest.raises(Stopped):
        seen.extend(window.row for window in WatchedRows(stop, "audit", 30).of("a")(blocks(30, 5, block_px=10)))
    assert seen == [0]


def test_a_long_step_ticks_and_gives_its_result() -> None:
    ticks = threading.Semaphore(0)

    def step() -> str:
        assert all(ticks.acquire(timeout=30) for _ in range(3)), "there are ticks while it runs"
        return "done"

    assert ticking(step, ticks.release, pixels=1) == "done"


@pytest.mark.parametrize("error", [OSError("the disk"), TimeoutError("the step's own")])
def test_the_error_of_a_long_step_is_raised(error: Exception) -> None:
    def step() -> None:
        raise error

    with pytest.raises(type(error), match=str(error)):
        ticking(step, lambda: None, pixels=1)


def test_a_long_step_that_must_stop_is_not_waited_for() -> None:
    end = threading.Event()

    def tick() -> None:
        raise Stopped

    with pytest.raises(Stopped):
        ticking(lambda: end.wait(60), tick, pixels=1)
    end.set()
