"""Hints that speak of requests are put in terms of commands."""

import pytest

from app.cli.hints import in_terms_of_commands


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("Upload it first: PUT /v1/scenes/NAME", "Upload it first: canemap upload FILE"),
        ("Upload it first: PUT /v1/labels/plots-2018.v1", "Upload it first: canemap label FILE"),
        (
            "Create it first: POST /v1/datasets, or list the datasets: GET /v1/datasets",
            "Create it first: canemap dataset, or list the datasets: `canemap datasets`",
        ),
        ("GET /v1/models lists the models.", "`canemap models` lists the models."),
        ("Declare it at upload: ?nodata=0", "Declare it at upload: --nodata 0"),
        (
            "Check the CRS of the labels (?crs= declares it at upload).",
            "Check the CRS of the labels (--crs declares it",
        ),
        ("Name the attribute in class_field. It has: crop.", "Name the attribute in --class-field. It has: crop."),
        (
            "The layer has the attributes field_id (790 7); name (A 1). Name one: class_field=...",
            "The layer has the attributes field_id (790 7); name (A 1). Name one: --class-field ...",
        ),
        ("Make a version with split.buffer_px 96.", "Make a version with --buffer-px 96."),
        ("estimate by one of them (?labeller=NAME)", "estimate by one of them (--labeller NAME)"),
        ("its job is failed. See GET /v1/jobs/gx:1.", "its job is failed. See `canemap jobs gx:1`."),
        ("DELETE /v1/predictions/ab12", "`canemap delete prediction ab12`"),
        ("DELETE /v1/models/cane/versions/2", "`canemap delete model cane:2`"),
        ("DELETE /v1/labels/truth", "`canemap delete labels truth`"),
        ("PUT /v1/models/cane/aliases/champion moves it.", "`canemap promote cane VERSION --alias champion` moves it."),
        ("The names are b, g, r.", "The names are b, g, r."),
    ],
)
def test_a_hint_names_commands_and_options(said: str, shown: str) -> None:
    assert in_terms_of_commands({"hint": said, "pointer": ""})["hint"].startswith(shown)


@pytest.mark.parametrize(
    ("pointer", "shown"),
    [
        ("query:class_field", "--class-field"),
        ("/config/net/width", "--set net.width"),
        ("/id", "--name"),
        ("/split/block/buffer_px", "--buffer-px"),
        ("header:authorization", ""),
        ("/scenes/0", "/scenes/0"),
        ("", ""),
    ],
)
def test_a_pointer_is_the_option_that_was_given(pointer: str, shown: str) -> None:
    assert in_terms_of_commands({"hint": "", "pointer": pointer})["pointer"] == shown
