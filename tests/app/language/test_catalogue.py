"""The Chinese catalogue is complete, and its sentences are found again in what the service says."""

import errno
import os
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.api.documents.areas import AreaRow
from app.cli.texts import TEXTS
from app.language.catalogue import chinese, entries, heading, headings, pieces_of, translated
from ml.evaluation.comparison import Comparison
from ml.evaluation.comparison_text import as_csv
from tests.app.language.sentences import OF_TYPER, SENTENCE, columns, of_help, of_pydantic, sentences, stages

OF_THE_SYSTEM = (
    *(errno.EPERM, errno.ENOENT, errno.EIO, errno.ENOMEM, errno.EACCES, errno.EBUSY, errno.EEXIST, errno.ENOTDIR),
    *(errno.EISDIR, errno.EINVAL, errno.EMFILE, errno.EFBIG, errno.ENOSPC, errno.EROFS, errno.EDQUOT, errno.EPIPE),
    *(errno.ENAMETOOLONG, errno.ELOOP, errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.ENETUNREACH, errno.ECONNRESET),
    *(errno.ETIMEDOUT, errno.ECONNREFUSED, errno.EHOSTUNREACH),
)
PLURAL = re.compile(" (byte|digit|place|character|item)$")  # pydantic makes its "s" a value; Chinese has none
FORMATS = sorted(english for english in entries() if len(pieces_of(english)) > 1)


def test_every_sentence_of_the_source_code_has_a_translation() -> None:
    missing = {text: where for text, where in sentences().items() if text not in entries()}
    assert missing == {}


def test_every_message_of_pydantic_has_a_translation() -> None:
    assert of_pydantic() - entries().keys() == set()


def test_the_help_of_every_command_and_option_has_a_translation() -> None:
    assert of_help() - entries().keys() == set()


def test_every_message_of_typer_has_a_translation() -> None:
    assert OF_TYPER - entries().keys() == set()


@pytest.mark.parametrize("number", OF_THE_SYSTEM)
def test_what_the_operating_system_says_has_a_translation(number: int) -> None:
    said = os.strerror(number)
    assert said in entries()
    assert entries()[said] in chinese(TEXTS["no_file"].format(path="/data/x.tif", reason=said))
    assert entries()[said] in chinese(TEXTS["unreachable"].format(url="http://a:1", reason=f"[Errno {number}] {said}"))


def test_every_stage_of_a_job_has_a_translation() -> None:
    assert {"train", "rasterise", "predict"} <= stages()
    assert stages() - entries().keys() == set()


def test_every_column_of_a_table_has_a_heading() -> None:
    in_areas = {field.alias or name for name, field in AreaRow.model_fields.items() if name != "ci95_ha"}
    in_comparisons = set(as_csv(Comparison(table=(), differences=(), notes=())).strip().split(","))
    assert (columns() | in_areas | in_comparisons) - headings().keys() == set()


def test_what_follows_a_heading_in_brackets_stays() -> None:
    assert heading("due (Asia/Shanghai)") == heading("due") + " (Asia/Shanghai)"
    assert heading("quux") == "quux"


def test_no_translation_is_of_a_sentence_that_is_gone() -> None:
    whole = {text for text in entries() if SENTENCE.fullmatch(text)}
    assert whole - sentences().keys() - of_pydantic() - of_help() - OF_TYPER == set()


def test_each_translation_says_the_same_values() -> None:
    for english, told in entries().items():
        pieces = pieces_of(english)
        values = [f"«{index}»" for index in range(len(pieces) - 1)]
        lost = [piece for piece, value in zip(pieces, values, strict=False) if value not in told.format(*values)]
        assert all(PLURAL.search(piece) for piece in lost), english


def test_each_translation_is_chinese() -> None:
    assert [told for told in entries().values() if told.isascii()] == []


@given(st.sampled_from(FORMATS), st.data())
def test_values_stay_as_they_are(english: str, data: st.DataObject) -> None:
    values = [f"«{data.draw(st.integers(0, 10**6))}»" for _ in pieces_of(english)[1:]]
    told = chinese(english.format(*values))
    assert told != english.format(*values)
    assert all(
        value in told for value, piece in zip(values, pieces_of(english), strict=False) if not PLURAL.search(piece)
    )


def test_sentences_that_follow_each_other_are_told_one_by_one() -> None:
    detail = "The compression method 7 is not supported. Split it into several scenes.; The GeoPackage is damaged."
    assert chinese(detail) == "".join(
        (
            chinese("The compression method 7 is not supported."),
            chinese("Split it into several scenes."),
            chinese("The GeoPackage is damaged."),
        )
    )


@pytest.mark.parametrize("piece", ["a: b. c; ", "a. ", "a, b (c) of d: e; ", "The scene has 3 x: the model needs: "])
def test_a_text_that_is_made_to_take_long_does_not(piece: str) -> None:
    started = time.process_time()
    assert chinese(piece * (19_000 // len(piece)))
    assert time.process_time() - started < 2


def test_a_note_about_a_guessed_encoding_is_told_whole() -> None:
    guess = " (read as gb18030, which is a guess, as no .cpg file names it)"
    told = chinese(f"The attribute '作物'{guess} nowhere has the texts '新植蔗' of `classes`.")
    assert "新植蔗" in told and "gb18030" in told
    assert not re.search("[A-Za-z]+ [a-z]+", told), told
    assert chinese("1 of 4 bands is alpha, which is used as a mask.") == "4 个波段中有 1 个是 alpha，用作掩膜。"


@pytest.mark.parametrize(
    "said",
    [
        "crashed: its process was ended by SIGKILL, perhaps because memory ran out (failure 2 of 3)",
        "The process of the job died 3 times; the last one was ended by SIGSEGV, in stage 'starting'.",
        "One field (R7 of 'plots') has 465 px in train (s1), 2 px in val (s1), 7 px in test (s2).",
        "9 labelled pixels of fields in several splits are now unlabelled: 4 px of other, 5 px of cane.",
    ],
)
def test_a_sentence_is_told_with_all_its_parts(said: str) -> None:
    told = chinese(said)
    assert not re.search(r"[a-z]+ [a-z]+", told), told
    numbers = re.compile(r"\d+|[A-Z]{2,}|s1")
    assert sorted(numbers.findall(told)) == sorted(numbers.findall(said))


def test_what_has_no_translation_stays() -> None:
    assert chinese("gx2018:1") == "gx2018:1"
    assert chinese("Quux frobnicates. The GeoPackage is damaged.") == "Quux frobnicates. " + chinese(
        "The GeoPackage is damaged."
    )


def test_only_texts_for_people_are_translated() -> None:
    said = "The GeoPackage is damaged."
    problem = {"type": "bad-file", "title": "Not found", "detail": said, "errors": [{"code": said, "hint": said}]}
    told = translated({"title": "Not found", "name": said, "problem": problem})
    assert told["title"] == "Not found"
    assert told["name"] == said
    assert told["problem"]["title"] == chinese("Not found") != "Not found"
    assert told["problem"]["detail"] == told["problem"]["errors"][0]["hint"] == chinese(said)
    assert told["problem"]["errors"][0]["code"] == said
