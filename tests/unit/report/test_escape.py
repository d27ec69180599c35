import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from imgverify.oci import limits
from imgverify.report.escape import escape, redact_url
from tests.unit.report.harm import commands, unseen
from tests.unit.report.verdicts import HOSTILE

WITHHELD = "(a URL that cannot be shown safely)"
# Characters that matter come up more often than they would among all of Unicode.
REMOTE = st.text(st.sampled_from("ab:# [\\\n\x1b\u202e…é字") | st.characters(), max_size=40)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text, 100 %", "plain text, 100 %"),
        ("größer, 镜像, образ, صورة, छवि", "größer, 镜像, образ, صورة, छवि"),
        ("\x1b[31m", r"\x1b[31m"),
        ("a\nb\rc\td", r"a\nb\rc\td"),
        ("\x00\x7f\x9b", r"\x00\x7f\x9b"),
        ("\u202e\u200b\u2028", r"\u202e\u200b\u2028"),
        ("\U000e0041", r"\U000e0041"),
        ("\ud800", r"\ud800"),
        ("\u3164\ufe0f", r"\u3164\ufe0f"),
        ("back\\slash", "back\\slash"),
        ("::error::x", r"\x3a:error::x"),
        ("a ::b", r"a \x3a:b"),
        ("std::string and [::1]", "std::string and [::1]"),
        ("##[group]", r"\x23#[group]"),
        ("###vso[x]", r"#\x23#vso[x]"),
        ("##9_x[y]", r"\x23#9_x[y]"),
        ("##\u00e9[y]", "\\x23#\u00e9[y]"),
        ("## heading", "## heading"),
        ("", ""),
    ],
)
def test_escape_shows(text: str, shown: str) -> None:
    assert escape(text) == shown


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_known_attacks_are_harmless(text: str) -> None:
    assert not unseen(escape(text))
    assert not commands(escape(text))


@given(REMOTE, st.integers(1, 60))
@example("##" * 20 + "[", 60)
def test_whatever_comes_is_one_harmless_line_of_limited_length(text: str, limit: int) -> None:
    shown = escape(text, limit)
    assert len(shown) <= limit
    assert len(shown.splitlines()) <= 1
    assert not unseen(shown)
    # A line may be broken at any of its spaces.
    for word in shown.split(" "):
        assert not commands(word)


@given(REMOTE, st.integers(1, 60))
def test_escaping_twice_changes_nothing(text: str, limit: int) -> None:
    assert escape(escape(text, limit), limit) == escape(text, limit)


@given(st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E, exclude_characters=":#")))
def test_ordinary_text_stays(text: str) -> None:
    assert escape(text, max(1, len(text))) == text


def test_length_is_limited_between_escapes() -> None:
    assert escape("x" * 10, 10) == "x" * 10
    assert escape("x" * 11, 10) == "x" * 9 + "…"
    assert escape("xx\x1b\x1b", 10) == r"xx\x1b\x1b"
    assert escape("xx\x1b\x1b", 9) == r"xx\x1b…"
    assert len(escape("x" * 10_000)) == limits.DISPLAY_LENGTH


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://host/v2/x/blobs/y", "https://host/v2/x/blobs/y"),
        ("https://user:secret@host:5000/v2/?sig=secret#secret", "https://host:5000/v2/"),
        ("https://secret@host", "https://host"),
        ("https://secret:secret@secret@host/", "https://host/"),
        ("//user:secret@host/x", "//host/x"),
        ("user:secret@host/x", "host/x"),
        ("https://user:sec ret@host/x", "https://host/x"),
        ("https://user:sec\nret@host/x", "https://host/x"),
        ("https://[::1]:5000/x?secret", "https://[::1]:5000/x"),
        ("/v2/x?token=secret", "/v2/x"),
        ("?secret", ""),
        ("#secret", ""),
        ("", ""),
        (" https://host/x ", "https://host/x"),
        ("https://host/\x1b[31m", r"https://host/\x1b[31m"),
        ("https://user:sec/ret@host/", WITHHELD),
        ("https://user:secret\\@host/", WITHHELD),
        ("https://user:12/secret@host/", WITHHELD),
        ("https:/user:secret@host/", WITHHELD),
        ("http\n://user:secret@host/", WITHHELD),
        ("https://user:sec?ret@host/", WITHHELD),
        ("https://hоst/", WITHHELD),  # noqa: RUF001 - the homograph is the test
        ("https://" + "secret" * 2000 + "@host/", WITHHELD),
    ],
)
def test_redact_url_shows(url: str, shown: str) -> None:
    assert redact_url(url) == shown


PART = st.text(st.characters(exclude_characters="/\\?#@"), max_size=10)


@given(PART, st.text(max_size=20), st.text(max_size=20))
def test_no_secret_is_left_in_a_url(password: str, query: str, fragment: str) -> None:
    url = f"https://user:SECRET{password}@host/path?a=SECRET{query}#SECRET{fragment}"
    assert "SECRET" not in redact_url(url)


@given(REMOTE, REMOTE)
def test_no_userinfo_is_left_in_a_broken_url(before: str, after: str) -> None:
    shown = redact_url(f"{before}SECRET@{after}")
    assert "SECRET" not in shown or "?" in before or "#" in before
    assert not unseen(shown)
