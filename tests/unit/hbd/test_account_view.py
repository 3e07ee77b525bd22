from __future__ import annotations

import pytest

from hbd.web.account_view import Face, browser, face

LINUX = "Mozilla/5.0 (X11; Linux x86_64"
CHROME = "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0"


@pytest.mark.parametrize(
    ("name", "full_name", "text"),
    [
        ("alice", "", "A"),
        ("alice", "Alice Example", "AE"),
        ("alice", "Alice van den Example", "AE"),
        ("j.doe", "", "JD"),
        ("émile", "", "É"),
        ("@", "", "?"),
    ],
)
def test_initials_stand_for_who_has_chosen_nothing(name: str, full_name: str, text: str) -> None:
    assert face(name, full_name) == Face(text)


def test_chosen_emoji_stands_for_its_user() -> None:
    assert face("alice", "Alice Example", "🦊") == Face("🦊")


def test_picture_stands_for_its_user() -> None:
    assert face("alice", avatar="data:image/webp;base64,AA") == Face("", "data:image/webp;base64,AA")


@pytest.mark.parametrize("avatar", ["https://example.org/me.png", "data:text/html,<b>", "a long text"])
def test_what_is_no_small_sign_is_not_shown(avatar: str) -> None:
    assert face("alice", avatar=avatar) == Face("A")


@pytest.mark.parametrize(
    ("user_agent", "words"),
    [
        (f"{LINUX}; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox on Linux"),
        (f"{LINUX}) {CHROME} Safari/537.36", "Chrome on Linux"),
        (f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {CHROME} Safari/537.36 Edg/140.0", "Edge on Windows"),
        (f"Mozilla/5.0 (Linux; Android 15; Pixel) {CHROME} Mobile Safari/537.36", "Chrome on Android"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Version/18.0 Safari/604.1", "Safari on iPhone"),
        ("Mozilla/5.0 something", "a browser"),
        ("curl/8.5.0", "curl"),
        ("python-requests/2.32", "python-requests"),
        ("", "not told"),
        ("\x1b[31m", "not told"),
    ],
)
def test_user_agent_is_told_in_words(user_agent: str, words: str) -> None:
    assert browser(user_agent) == words
