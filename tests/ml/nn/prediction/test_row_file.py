"""A strip file counts complete rows, and overwrites rows that a crash left incomplete."""

from pathlib import Path

import numpy as np
import pytest

from ml.nn.prediction.row_file import StripFile


def strip(rows: int, value: int) -> np.ndarray:
    return np.stack([np.full((rows, 5), value, np.uint8), np.full((rows, 5), value + 1, np.uint8)])


def everything(file: StripFile) -> np.ndarray:
    return np.stack([file.layer(index)[:, :] for index in (0, 1)])


def test_layers_come_back_as_they_were_written(tmp_path: Path) -> None:
    file = StripFile(tmp_path / "maps", layers=2, cols=5)
    file.write(0, strip(3, 10))
    file.write(3, strip(2, 20))
    assert (everything(file) == np.concatenate([strip(3, 10), strip(2, 20)], axis=1)).all()


def test_only_whole_rows_count_after_a_crash(tmp_path: Path) -> None:
    file = StripFile(tmp_path / "maps", layers=2, cols=5)
    file.write(0, strip(3, 10))
    with (tmp_path / "maps").open("ab") as half:
        half.write(b"torn" * 4)
    again = StripFile(tmp_path / "maps", layers=2, cols=5)
    assert again.rows == 4, "the row looks complete, but its strip is not"
    again.write(3, strip(2, 20))
    assert (everything(again) == np.concatenate([strip(3, 10), strip(2, 20)], axis=1)).all()


def test_a_strip_that_would_leave_a_gap_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="gap after 0 rows"):
        StripFile(tmp_path / "maps", layers=2, cols=5).write(3, strip(2, 20))
