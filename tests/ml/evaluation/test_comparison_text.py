"""Comparisons as text, for spreadsheets and for people."""

import csv

import numpy as np
import pytest

from ml.evaluation.comparison import Comparison, compare
from ml.evaluation.comparison_text import as_csv, as_markdown
from tests.ml.evaluation.test_comparison import blocks_with, training


@pytest.fixture
def comparison() -> Comparison:
    better = np.array([80, 90, 60])
    trainings = [training("ce", seed, blocks_with(np.array([100, 100, 100 + 30 * seed]))) for seed in range(3)]
    return compare(
        [
            *trainings,
            training("ce+0.5*lovasz", 0, blocks_with(better)),
            training("ce+0.5*lovasz", 1, blocks_with(better)),
            training("ce+0.5*lovasz", 2, blocks_with(better)),
        ]
    )


def test_csv_has_a_line_for_each_variant(comparison: Comparison) -> None:
    baseline, other = csv.DictReader(as_csv(comparison).splitlines())
    assert (baseline["variant"], other["variant"], other["baseline"]) == ("ce", "ce+0.5*lovasz", "ce")
    assert float(baseline["accuracy_mean"]) == pytest.approx(0.89)
    assert baseline["accuracy_difference"] == baseline["boundary_iou_mean"] == ""
    difference = comparison.differences[0]
    assert difference.ci95 is not None
    columns = ("accuracy_difference", "accuracy_difference_low", "accuracy_difference_high")
    assert [float(other[name]) for name in columns] == [difference.mean, *difference.ci95]


def test_markdown_has_means_with_sd_and_differences_in_points(comparison: Comparison) -> None:
    text = as_markdown(comparison)
    lines = text.splitlines()
    assert lines[2].startswith("| ce | test | 0.8900 ± 0.0100 | ")
    assert lines[3].startswith(r"| ce+0.5\*lovasz | test | 0.9233 ± 0.0000 | ")
    (accuracy,) = [line for line in lines if "| accuracy | +" in line]
    assert accuracy.startswith(r"| ce+0.5\*lovasz | ce | accuracy | +3.33 points [")
    assert lines[-1].startswith("* ")
    tables = [[line.count(" | ") for line in part.splitlines()] for part in text.split("\n\n")[:2]]
    assert all(len(set(columns)) == 1 for columns in tables), "each row has a cell for each title"


def test_a_bar_in_the_name_of_a_variant_is_escaped() -> None:
    counts = blocks_with(np.full(2, 100))
    text = as_markdown(compare([training("a | b", 0, counts)]))
    assert r"| a \| b | test |" in text


def test_a_statement_names_both_variants_and_their_difference(comparison: Comparison) -> None:
    statement = comparison.differences[0].statement
    assert statement.startswith("ce+0.5*lovasz against ce: +3.33 points [")
    assert statement.endswith("] of accuracy")
