"""The ``.env`` file: encodings and lines that are read, and those that are refused."""

from __future__ import annotations

import codecs
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backendai_trio import read_config
from backendai_trio.config.dotenv import decode_dotenv, parse_dotenv
from backendai_trio.errors import ConfigError

quick = settings(deadline=None, max_examples=50)

URL = "https://manager.example.com"
ACCESS = "AKIAEXAMPLE000000000"
SECRET = "exampleSecretKey0123456789abcdefghijklmn"
KEYS = f"BACKEND_ACCESS_KEY={ACCESS}\nBACKEND_SECRET_KEY={SECRET}\n"


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


def refused(content: bytes | str) -> ConfigError:
    """The error of a `.env` file with this content. It never shows a secret."""
    data = content if isinstance(content, bytes) else content.encode()
    Path(".env").write_bytes(data)
    with pytest.raises(ConfigError) as caught:
        read_config()
    assert SECRET not in str(caught.value)
    return caught.value


# --- lines ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("A=1", {"A": "1"}),
        ("  A = 1  ", {"A": "1"}),
        ("export A=1", {"A": "1"}),
        ("A=", {"A": ""}),
        ("A=b=c", {"A": "b=c"}),
        ("A='b c'", {"A": "b c"}),
        ('A="b # c"', {"A": "b # c"}),
        ('A="b"  # why', {"A": "b"}),
        ("A='it' # it's", {"A": "it"}),
        ("A=b # why", {"A": "b"}),
        ("A=b#c", {"A": "b#c"}),
        ("A=# nothing", {"A": ""}),
        ("A='b", {"A": "'b"}),
        ("A=''", {"A": ""}),
        ("_a9=1", {"_a9": "1"}),
        ("# A=1", {}),
        ("", {}),
        ("A", {}),
        ("9A=1", {}),
        ("if [ -f x ]; then", {}),
        ("A B=1", {}),
        ("exportA=1", {"exportA": "1"}),
        ("A=1\r\nB=2\r\n", {"A": "1", "B": "2"}),
        ("A=1\nA=2", {"A": "2"}),
        (f"BACKEND_ENDPOINT={URL}/#x", {"BACKEND_ENDPOINT": f"{URL}/#x"}),
    ],
)
def test_dotenv(line: str, expected: dict[str, str]) -> None:
    assert parse_dotenv(line) == expected


@given(st.text())
@quick
def test_any_dotenv_parses(text: str) -> None:
    for name, value in parse_dotenv(text).items():
        assert name in text
        assert value in text


@given(
    st.dictionaries(
        st.from_regex(r"[A-Z_][A-Z0-9_]{0,8}", fullmatch=True),
        st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E, exclude_characters="\"'")),
    ),
    st.sampled_from(["'", '"']),
)
@quick
def test_quoted_values_round_trip(variables: dict[str, str], quote: str) -> None:
    text = "\n".join(f"{name}={quote}{value}{quote}" for name, value in variables.items())
    assert parse_dotenv(text) == variables


@pytest.mark.parametrize(
    "line",
    [
        "BACKEND_ENDPOINT: {}",
        "BACKEND_ENDPOINT {}",
        "set BACKEND_ENDPOINT={}",
        "setx BACKEND_ENDPOINT {}",
        "setenv BACKEND_ENDPOINT {}",
        "declare -x BACKEND_ENDPOINT={}",
        '$env:BACKEND_ENDPOINT="{}"',
        "'BACKEND_ENDPOINT'={}",
        "\u200bBACKEND_ENDPOINT={}",
        "BACKEND_ENDPOINT\u2060={}",
        "BACKEND_ENDPOINT\uff1d{}",
        "export BACKEND_ENDPOINT:={}",
        "BACKEND_ENDPOINT='{}",
        'BACKEND_ENDPOINT="{}',
        "BACKEND_ENDPOINT=\"{}'",
        "BACKEND_ENDPOINT=“{}”",
        'BACKEND_ENDPOINT="{}" junk',
        "BACKEND_ENDPOINT=$SERVER",
        "BACKEND_ENDPOINT=={}",
        "SORNA_ENDPOINT: {}",
    ],
)
def test_an_endpoint_that_cannot_be_read_is_an_error(line: str) -> None:
    """It must not lead to the default server, with this key pair."""
    error = refused(KEYS + line.replace("{}", URL) + "\n")
    assert error.variable.startswith(("BACKEND_ENDPOINT", "SORNA_ENDPOINT"))


@pytest.mark.parametrize(
    "name",
    ["ACCESS_KEY", "SECRET_KEY", "ENDPOINT_TYPE", "CA_FILE", "SKIP_SSLCERT_VALIDATION", "PROFILE"],
)
def test_every_setting_is_watched(name: str) -> None:
    error = refused(f"# settings\nBACKEND_{name}: {SECRET}\n")
    assert error.variable == f"BACKEND_{name}" and "line 2" in str(error)


@pytest.mark.parametrize(
    "line",
    [
        "# BACKEND_ENDPOINT: old",
        "   #BACKEND_ENDPOINT old",
        "make all  # needs BACKEND_ENDPOINT",
        'echo "$BACKEND_ENDPOINT"',
        "curl ${BACKEND_ENDPOINT}/",
        "export BACKEND_ENDPOINT BACKEND_ACCESS_KEY",
        "MY_BACKEND_ENDPOINT: x",
        "BACKEND_ENDPOINTS: x",
        "source settings.sh",
    ],
)
def test_other_lines_are_skipped(line: str) -> None:
    assert parse_dotenv(f"{line}\nA=1") == {"A": "1"}


# --- several lines -------------------------------------------------------------------------------

KEY_FILE = "-----BEGIN KEY-----\nA=1\n-----END KEY-----"


@pytest.mark.parametrize("quote", ["'", '"'])
@pytest.mark.parametrize("rest", ["", "  # a comment", " junk"])
def test_a_quoted_value_of_several_lines_is_skipped(quote: str, rest: str) -> None:
    found = parse_dotenv(f"TLS_KEY={quote}{KEY_FILE}{quote}{rest}\nBACKEND_ENDPOINT={URL}\n")
    assert "A" not in found and found["BACKEND_ENDPOINT"] == URL


@pytest.mark.parametrize(
    "text",
    [
        "TLS_KEY='{}'",
        'NOTE="\nold: {}\n"',
        "A='\n{}\nB='x'",
        'export A="\n  {}\n"',
    ],
)
def test_a_setting_within_quotes_of_others_is_an_error(text: str) -> None:
    """It may be meant or not; the server of an example must not get the requests."""
    example = "\nBACKEND_ENDPOINT=http://example.net\n"
    error = refused(f"BACKEND_ENDPOINT={URL}\n{KEYS}" + text.replace("{}", example))
    assert error.variable == "BACKEND_ENDPOINT" and "quotes" in str(error)


@pytest.mark.parametrize(
    "line",
    [
        "BACKEND_ENDPOINT=http://a.example BACKEND_SECRET_KEY=hidden",
        "export BACKEND_ENDPOINT=http://a.example BACKEND_SECRET_KEY=hidden",
        "BACKEND_ENDPOINT=http://a.exampleBACKEND_SECRET_KEY=hidden",
        'BACKEND_ENDPOINT="http://a.example BACKEND_SECRET_KEY=hidden"',
        "A=b BACKEND_SECRET_KEY=hidden",
    ],
)
def test_two_settings_in_a_line_are_an_error(line: str) -> None:
    """The second would be lost, and shown as part of a malformed address."""
    with pytest.raises(ConfigError, match=r"line 2 of \.env has two settings") as caught:
        parse_dotenv(f"C=d\n{line}\n")
    assert caught.value.variable == "BACKEND_SECRET_KEY"
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize(
    "line", ["A='run BACKEND_ENDPOINT=x'", "A=b # BACKEND_ENDPOINT=x", "A=$BACKEND_ENDPOINT"]
)
def test_values_of_others_may_name_a_setting(line: str) -> None:
    assert list(parse_dotenv(line)) == ["A"]


@pytest.mark.parametrize("line", ["A='", 'A="open', "A='it's", "A=don't"])
def test_a_quote_that_nobody_closes_ends_with_its_line(line: str) -> None:
    assert parse_dotenv(f"{line}\nBACKEND_ENDPOINT={URL}")["BACKEND_ENDPOINT"] == URL


# --- encodings -----------------------------------------------------------------------------------

TEXT = f"BACKEND_ENDPOINT={URL}\nNAME=Grüße\n"


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize(
    ("mark", "encoding"),
    [
        (b"", "utf-8"),
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
        (codecs.BOM_UTF32_LE, "utf-32-le"),
        (codecs.BOM_UTF32_BE, "utf-32-be"),
    ],
)
def test_encodings(mark: bytes, encoding: str, line_end: str) -> None:
    data = mark + TEXT.replace("\n", line_end).encode(encoding)
    assert parse_dotenv(decode_dotenv(data)) == {"BACKEND_ENDPOINT": URL, "NAME": "Grüße"}


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "latin-1", "cp037"])
def test_encodings_without_a_mark_are_refused(encoding: str) -> None:
    error = refused(TEXT.encode(encoding))
    assert error.variable == ".env" and "UTF-8" in str(error)


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "euc-kr", "shift-jis"])
def test_a_file_of_another_program_in_another_encoding_is_skipped(encoding: str) -> None:
    letter = {"latin-1": "ü", "cp1252": "€"}.get(encoding, "漢")
    data = f"# {letter}\nDATABASE_URL=postgres://x\n".encode(encoding)
    assert decode_dotenv(data) == ""
    assert refused(data + f"BACKEND_DOMAIN={letter}\n".encode(encoding)).variable == ".env"


@pytest.mark.parametrize("data", [b"\xff\xfe\x00", b"\xff\xfeB", b"\xef\xbb\xbf\xff", b"\0"])
def test_broken_text_is_refused(data: bytes) -> None:
    assert refused(data).variable == ".env"


def test_a_mark_within_the_file() -> None:
    part = "\ufeffBACKEND_ACCESS_KEY=1\n"
    assert parse_dotenv(f"A=1\n{part}") == {"A": "1", "BACKEND_ACCESS_KEY": "1"}


@given(st.text(st.characters(codec="utf-8")), st.sampled_from(["utf-8-sig", "utf-16", "utf-32"]))
@quick
def test_marked_text_round_trips(text: str, encoding: str) -> None:
    if "\0" not in text and not text.startswith("\ufeff"):
        assert decode_dotenv(text.encode(encoding)) == text


# --- the file ------------------------------------------------------------------------------------


def test_it_carries_a_configuration() -> None:
    Path(".env").write_bytes(codecs.BOM_UTF8 + f"BACKEND_ENDPOINT={URL}\r\n{KEYS}".encode())
    config = read_config()
    assert config is not None
    assert (config.endpoint.url, config.access_key, config.secret_key) == (URL, ACCESS, SECRET)


def test_a_link_to_nowhere_is_refused() -> None:
    Path(".env").symlink_to("secrets.env")
    with pytest.raises(ConfigError, match="link"):
        read_config()


def test_a_file_that_cannot_be_opened_is_refused() -> None:
    # Root may read every file; a link to itself fails for everybody.
    Path(".env").symlink_to(".env")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_config()


def test_a_folder_called_env_is_not_a_file_of_settings() -> None:
    Path(".env").mkdir()
    assert read_config() is None


# --- a home of another user ----------------------------------------------------------------------


@pytest.fixture
def _locked_settings(tmp_path: Path) -> Iterator[None]:
    """A folder of settings that this process may not look into; root becomes another user."""
    (tmp_path / "config").mkdir(mode=0)
    tmp_path.chmod(0o755)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    yield
    os.seteuid(user)
    (tmp_path / "config").chmod(0o700)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other permissions")
@pytest.mark.usefixtures("_locked_settings")
@pytest.mark.parametrize("named", ["ENDPOINT ACCESS_KEY SECRET_KEY", "ACCESS_KEY", ""])
def test_a_profile_that_may_not_be_read(monkeypatch: pytest.MonkeyPatch, named: str) -> None:
    """It is passed over only where it cannot change who talks to whom."""
    values = {"ENDPOINT": URL, "ACCESS_KEY": ACCESS, "SECRET_KEY": SECRET}
    for name in named.split():
        monkeypatch.setenv(f"BACKEND_{name}", values[name])
    if named.startswith("ENDPOINT"):
        config = read_config()
        assert config is not None and config.endpoint.url == URL
        monkeypatch.setenv("BACKEND_PROFILE", "work")
    with pytest.raises(ConfigError, match="set it to a folder of your own"):
        read_config()
