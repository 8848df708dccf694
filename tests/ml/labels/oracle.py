"""What GDAL reads in a label file, by pyogrio, in a process of its own, without the settings that keep our GDAL safe.

Run as a script, it answers each line of JSON by one. `{"path": ..., "layer": ...}` asks what is in a file; with the
other arguments of `_write`, it writes the file. An answer is what was read, or `{"error": ...}`.
"""

import json
import os
import subprocess
import sys
from types import TracebackType
from typing import Any

Answer = dict[str, Any]


class Oracle:
    """A process that reads files by GDAL. Use it as a context manager."""

    def __enter__(self) -> "Oracle":
        self._process: subprocess.Popen[str] | None = None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def ask(self, **question: Any) -> Answer:
        """Return the answer of the process; an error also if the process dies of the file."""
        process = self._started()
        if process.stdin is None or process.stdout is None:
            raise ValueError("the process has no pipes")
        process.stdin.write(json.dumps(question) + "\n")
        process.stdin.flush()
        line = process.stdout.readline()
        if not line:
            self._end()
            return {"error": "the process died"}
        answer: Answer = json.loads(line)
        return answer

    def _started(self) -> "subprocess.Popen[str]":
        if self._process is None:
            ours = ("GDAL", "CPL", "OGR", "PROJ")
            plain = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
            self._process = subprocess.Popen(
                [sys.executable, __file__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                env=plain,
            )
        return self._process

    def _end(self) -> None:
        if self._process is not None:
            self._process.communicate()
            self._process = None


def _read(path: str, layer: str | None) -> Answer:
    from pyogrio.raw import read

    meta, _, geometry, columns = read(path, layer=layer, datetime_as_string=True)
    names = [str(name) for name in meta["fields"]]
    values = [[_plain(value) for value in column.tolist()] for column in columns]
    return {
        "crs": meta["crs"],
        "wkb": [None if each is None else each.hex() for each in geometry],
        "columns": dict(zip(names, values, strict=True)),
    }


def _plain(value: object) -> object:
    """Return a value of a column as JSON has it; None for NaN, by which missing numbers are told."""
    if not isinstance(value, str | int | float | bool) or value != value:
        return None
    return value


def _write(path: str, driver: str, wkb: list[str | None], columns: dict[str, list[Any]], **options: Any) -> Answer:
    import numpy as np
    from pyogrio.raw import write

    geometry = np.array([None if each is None else bytes.fromhex(each) for each in wkb], dtype=object)
    kinds = options.pop("kinds", {})
    arrays = [np.array(values, dtype=kinds.get(name, "object")) for name, values in columns.items()]
    write(path, geometry, arrays, list(columns), driver=driver, **options)
    return {}


def _main() -> None:
    for line in sys.stdin:
        question = json.loads(line)
        try:
            answer = _write(**question) if "wkb" in question else _read(**question)
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"[:300]}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    _main()
