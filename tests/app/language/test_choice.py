"""Which language a request or a terminal asks for."""

import pytest

from app.language import choice


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", "en"),
        ("zh", "zh"),
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        ("zh-Hans-CN", "zh"),
        ("ZH-cn", "zh"),
        ("en-GB,en;q=0.9,zh;q=0.8", "en"),
        ("en;q=0.5, zh;q=0.7", "zh"),
        ("fr, zh;q=0.3", "zh"),
        ("zh;q=0", "en"),
        ("zh;q=0,en;q=0", "en"),
        ("zhuang", "en"),
        ("*", "en"),
        ("zh;q=nonsense", "en"),
        (",;,zh" + ";" * 5000, "en"),
    ],
)
def test_a_request_is_answered_in_the_language_with_the_highest_quality(header: str, language: str) -> None:
    assert choice.of_header(header) == language


@pytest.mark.parametrize(
    ("environment", "language"),
    [
        ({}, "en"),
        ({"LANG": "zh_CN.UTF-8"}, "zh"),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": "C"}, "en"),
        ({"LANG": "en_US.UTF-8", "LC_MESSAGES": "zh_TW"}, "zh"),
        ({"LC_ALL": "", "LANG": "zh"}, "zh"),
    ],
)
def test_a_terminal_has_the_language_of_its_locale(environment: dict[str, str], language: str) -> None:
    assert choice.of_environment(environment) == language
