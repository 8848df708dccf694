"""Sends some mutated files of each kind to a real service; `make fuzz` sends 100,000."""

from pathlib import Path

from benchmarks.bench_api import service
from benchmarks.fuzzing.attack import MUTATIONS, attack
from benchmarks.fuzzing.corpus import Corpus
from tests.rounds import rounds

OPENS = rounds(128)


def test_mutated_files_neither_stop_nor_break_the_service(tmp_path: Path) -> None:
    corpus = Corpus()
    seeds = sum(map(len, corpus.parents.values()))
    with service(tmp_path / "data", "") as (base, _):
        tallies = attack(base, corpus, opens=OPENS, seed=20, failures=tmp_path / "failures")
    assert [error for tally in tallies.values() for error in tally.errors] == []
    assert all(tally.opens > OPENS / len(MUTATIONS) / 2 for tally in tallies.values())
    assert sum(tally.accepted for tally in tallies.values()) > 0
    assert sum(tally.refused for tally in tallies.values()) > OPENS / 2
    assert sum(map(len, corpus.parents.values())) > seeds  # new answers became parents
