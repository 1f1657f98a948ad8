"""Settings: precedence, malformed values, and secrets that are never shown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backendai_trio.config.endpoints import parse_endpoint
from backendai_trio.config.layers import Layer
from backendai_trio.config.parsing import parse_config
from backendai_trio.config.settings import Config, Endpoint
from backendai_trio.errors import ConfigError

from .variables import ACCESS, PASSWORD, SECRET, URL, config_of, environ, quick, refused


def test_nothing_set_is_no_configuration() -> None:
    assert parse_config(Layer({})) is None
    assert parse_config(Layer({"PATH": "/bin", "BACKEND_CONNECTION_TIMEOUT": "5"})) is None
    empty = {f"{era}_{name}": " " for era in ("BACKEND", "SORNA") for name in ("ENDPOINT",)}
    assert parse_config(Layer(empty)) is None
    assert parse_config(Layer({}), endpoint="", access_key="", secret_key="") is None


def test_what_lies_below_fills_what_is_not_set() -> None:
    """Both names of a variable are looked up in one layer before the next one is."""
    dotenv = Layer({"BACKEND_ENDPOINT": "http://dotenv"}, ".env")
    profile = Layer(environ(BACKEND_ENDPOINT="http://profile"), profile="x")
    config = parse_config(Layer({"SORNA_ENDPOINT": "http://sorna"}), dotenv, profile)
    assert config is not None
    assert (config.endpoint.host, config.access_key) == ("sorna", ACCESS)
    config = parse_config(dotenv, profile)
    assert config is not None and config.endpoint.host == "dotenv"


def test_an_error_says_where_the_setting_stands() -> None:
    below = Layer(environ(BACKEND_ACCESS_KEY="short"), profile="x")
    with pytest.raises(ConfigError) as caught:
        parse_config(Layer({}), below)
    assert caught.value.variable == "access_key of the profile 'x'"


def test_all_set() -> None:
    config = config_of(environ())
    assert config.endpoint == Endpoint("https", "manager.example.com", 443, "")
    assert (config.access_key, config.secret_key) == (ACCESS, SECRET)
    assert (config.hash_name, config.verify_tls, config.ca_file) == ("sha256", True, None)
    assert config.connect_seconds == 10


@pytest.mark.parametrize(
    ("name", "read", "values"),
    [
        (
            "ENDPOINT",
            lambda config: config.endpoint.host,
            ["explicit.example.com", "backend.example.com", "sorna.example.com"],
        ),
        ("ACCESS_KEY", lambda config: config.access_key, ["AKIA" + c * 16 for c in "EBS"]),
        ("SECRET_KEY", lambda config: config.secret_key, [c * 40 for c in "EBS"]),
    ],
    ids=["endpoint", "access_key", "secret_key"],
)
def test_precedence(name: str, read: Callable[[Config], str], values: list[str]) -> None:
    explicit, backend, sorna = values
    url = "http://{}" if name == "ENDPOINT" else "{}"
    variables = environ()
    variables[f"SORNA_{name}"] = url.format(sorna)
    variables[f"BACKEND_{name}"] = url.format(backend)
    chosen = parse_config(Layer(variables), **{name.lower(): url.format(explicit)})
    assert chosen is not None
    assert read(chosen) == explicit
    assert read(config_of(variables)) == backend
    for unset in ("", "  "):
        assert read(config_of(variables | {f"BACKEND_{name}": unset})) == sorna
    del variables[f"BACKEND_{name}"]
    assert read(config_of(variables)) == sorna


def test_names_of_old_all_the_way() -> None:
    variables = {
        name.replace("BACKEND", "SORNA"): value
        for name, value in environ(
            BACKEND_SKIP_SSLCERT_VALIDATION="yes",
            BACKEND_CONNECTION_TIMEOUT="2.5",
            BACKEND_CA_FILE="ca.pem",
        ).items()
    }
    config = config_of(variables)
    assert config == replace(
        config_of(environ()), verify_tls=False, connect_seconds=2.5, ca_file="ca.pem"
    )


@pytest.mark.parametrize(
    "variables",
    [
        {"BACKEND_ACCESS_KEY": ACCESS, "BACKEND_SECRET_KEY": SECRET},
        {"SORNA_ACCESS_KEY": ACCESS, "SORNA_SECRET_KEY": SECRET},
        {"BACKEND_SECRET_KEY": SECRET},
        {"BACKEND_ACCESS_KEY": ACCESS, "BACKEND_SECRET_KEY": SECRET, "BACKEND_ENDPOINT": ""},
        {"BACKEND_ACCESS_KEY": ACCESS, "BACKEND_ENDPOINT_TYPE": "session"},
        {"BACKEND_ACCESS_KEY": ACCESS, "BACKEND_ENDPIONT": URL},
    ],
)
def test_keys_without_an_endpoint_go_nowhere(variables: dict[str, str]) -> None:
    error = refused(variables)
    assert error.variable == "BACKEND_ENDPOINT" and "nothing was sent" in str(error)
    assert any(name in str(error) for name in variables if name.endswith("_KEY"))


@pytest.mark.parametrize("unset", ["", "  ", "\t"])
@pytest.mark.parametrize("name", ["ENDPOINT", "ACCESS_KEY", "SECRET_KEY"])
@pytest.mark.parametrize("above", [0, 1])
def test_an_empty_variable_does_not_lead_to_another_server(
    name: str, unset: str, above: int
) -> None:
    layers = [{}, {}, environ()]
    layers[above] = {f"BACKEND_{name}": unset}
    origin = ["", " in .env"][above]
    with pytest.raises(ConfigError, match="of the profile 'x'") as caught:
        parse_config(Layer(layers[0]), Layer(layers[1], ".env"), Layer(layers[2], profile="x"))
    assert caught.value.variable == f"BACKEND_{name}{origin}"


@pytest.mark.parametrize("name", ["BACKEND_ACCESS_KEY", "BACKEND_SECRET_KEY"])
def test_endpoint_without_a_key_is_an_error(name: str) -> None:
    variables = environ()
    del variables[name]
    error = refused(variables)
    assert error.variable == name
    assert URL in str(error)


MALFORMED = [
    ("ENDPOINT", "manager.example.com"),
    ("ENDPOINT", "ftp://manager.example.com"),
    ("ENDPOINT", "https://"),
    ("ENDPOINT", "https:///path"),
    ("ENDPOINT", "https://host:port"),
    ("ENDPOINT", "https://host:99999"),
    ("ENDPOINT", "https://host:-1"),
    ("ENDPOINT", "https://[::1"),
    ("ENDPOINT", "https://::1]"),
    ("ENDPOINT", "https://[not-an-address]"),
    ("ENDPOINT", "https://two words"),
    ("ENDPOINT", "https://host/?query"),
    ("ENDPOINT", "https://host/#fragment"),
    ("ENDPOINT", "https://" + "ü" * 80 + ".example.com"),
    ("ENDPOINT", "https://a..ü.example.com"),
    ("ENDPOINT", "https://\udcff.example.com"),
    ("ENDPOINT", "https://\u2100.example.com"),
    ("ACCESS_KEY", "AKIA"),
    ("ACCESS_KEY", ACCESS.lower()),
    ("ACCESS_KEY", ACCESS + "0"),
    ("ACCESS_KEY", "AKIA\u0660" + "0" * 15),
    ("ACCESS_KEY", "BKIAEXAMPLE000000000"),
    ("SECRET_KEY", "too short"),
    ("SECRET_KEY", SECRET + "x"),
    ("SECRET_KEY", SECRET[:-1] + "\x7f"),
    ("SECRET_KEY", SECRET[:-1] + "ü"),
    ("SECRET_KEY", SECRET[:20] + " " + SECRET[21:]),
    ("SKIP_SSLCERT_VALIDATION", "maybe"),
    ("SKIP_SSLCERT_VALIDATION", "2"),
    ("CONNECTION_TIMEOUT", "soon"),
    ("CONNECTION_TIMEOUT", "-1"),
    ("CONNECTION_TIMEOUT", "1e3"),
    ("CONNECTION_TIMEOUT", "inf"),
    ("CONNECTION_TIMEOUT", "nan"),
    ("CONNECTION_TIMEOUT", "10s"),
    ("READ_TIMEOUT", "-1"),
    ("READ_TIMEOUT", "soon"),
    ("OVERRIDE_STORAGE_PROXY", "http://10.0.0.5:6021"),
    ("OVERRIDE_STORAGE_PROXY", "http://10.0.0.5:6021=storage.example.com"),
    ("OVERRIDE_STORAGE_PROXY", "http://a=https://b,c"),
]


def test_storage_proxies_are_reached_elsewhere() -> None:
    pairs = "http://10.0.0.5:6021/any=https://storage.example.com/one, http://b=http://127.0.0.1:1"
    config = config_of(environ(BACKEND_OVERRIDE_STORAGE_PROXY=pairs))
    reached = {
        url: config.storage_proxy(parse_endpoint(url)).url
        for url in (
            "http://10.0.0.5:6021",
            "http://10.0.0.5:6021/path",
            "http://10.0.0.5:6022",
            "http://b",
            "https://b",
        )
    }
    assert reached == {
        "http://10.0.0.5:6021": "https://storage.example.com/one",
        "http://10.0.0.5:6021/path": "https://storage.example.com/one/path",
        "http://10.0.0.5:6022": "http://10.0.0.5:6022",
        "http://b": "http://127.0.0.1:1",
        "https://b": "https://b",
    }


@pytest.mark.parametrize("era", ["BACKEND", "SORNA"])
@pytest.mark.parametrize(("name", "value"), MALFORMED)
def test_malformed_value_names_its_variable(era: str, name: str, value: str) -> None:
    variables = environ()
    variables.pop(f"BACKEND_{name}", None)
    error = refused(variables | {f"{era}_{name}": value})
    assert error.variable == f"{era}_{name}"
    assert str(error).startswith(f"{era}_{name}: ")
    assert len(str(error)) < 400


@pytest.mark.parametrize("value", ["1", "yes", "TRUE", "On", "y", "t"])
def test_certificate_checks_off(value: str) -> None:
    assert not config_of(environ(BACKEND_SKIP_SSLCERT_VALIDATION=value)).verify_tls


@pytest.mark.parametrize("value", ["", "0", "no", "FALSE", "Off", "n", "f"])
def test_certificate_checks_on(value: str) -> None:
    assert config_of(environ(BACKEND_SKIP_SSLCERT_VALIDATION=value)).verify_tls


@pytest.mark.parametrize(
    ("value", "seconds"), [("", 10), ("5", 5), ("0.5", 0.5), ("0", inf), ("0.0", inf)]
)
def test_connection_timeout(value: str, seconds: float) -> None:
    assert config_of(environ(BACKEND_CONNECTION_TIMEOUT=value)).connect_seconds == seconds


@pytest.mark.parametrize(("value", "seconds"), [("", 60), ("5", 5), ("0", inf)])
def test_read_timeout(value: str, seconds: float) -> None:
    assert config_of(environ(BACKEND_READ_TIMEOUT=value)).answer_seconds == seconds


_secrets = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=40, max_size=40)
_values = st.sampled_from(["", "bad", "1", URL, ACCESS]) | st.text(max_size=30)


@given(_secrets)
@quick
def test_secret_never_shows(secret: str) -> None:
    config = config_of(environ(BACKEND_SECRET_KEY=secret))
    assert config.secret_key == secret
    for shown in (repr(config), str(config), f"{config}", repr([config])):
        assert secret not in shown
        assert repr(secret)[1:-1] not in shown
    masked = config.masked_secret_key
    assert len(masked) == 40
    assert (masked[:4], masked[-4:]) == (secret[:4], secret[-4:])
    assert set(masked[4:-4]) == {"*"}


@given(
    st.text(st.characters(min_codepoint=0x21), min_size=12, max_size=60),
    st.fixed_dictionaries(
        {},
        optional={
            "BACKEND_ENDPOINT": _values,
            "BACKEND_ACCESS_KEY": _values,
            "BACKEND_CONNECTION_TIMEOUT": _values,
            "BACKEND_SKIP_SSLCERT_VALIDATION": _values,
        },
    ),
    st.sampled_from(["BACKEND_SECRET_KEY", "SORNA_SECRET_KEY"]),
)
@settings(deadline=None, max_examples=80)
def test_secret_stands_in_no_error(secret: str, variables: dict[str, str], name: str) -> None:
    secret = f"\u2318{secret}"  # found nowhere by chance
    try:
        config = parse_config(Layer(variables | {name: secret}))
    except ConfigError as exc:
        assert secret not in str(exc)
        assert ascii(secret)[1:-1] not in ascii(str(exc))
        assert exc.__cause__ is None
    else:
        assert config is None  # it was blank: no such secret is well formed


def test_keys_mixed_up_are_not_shown() -> None:
    """The commonest mistake: the two keys in each other's place."""
    error = refused(environ(BACKEND_ACCESS_KEY=SECRET, BACKEND_SECRET_KEY=ACCESS))
    assert SECRET not in str(error)


@pytest.mark.parametrize("pair", ["", "=http://b", "={}", "=http://b,{}"])
def test_password_of_a_storage_proxy_does_not_show(pair: str) -> None:
    url = f"http://user:{PASSWORD}@storage.example.com"
    error = refused(environ(BACKEND_OVERRIDE_STORAGE_PROXY=url + pair.format(url)))
    assert PASSWORD not in str(error)


def test_password_of_a_proxy_does_not_show() -> None:
    config = replace(config_of(environ()), proxy=f"http://user:{PASSWORD}@proxy.example.com")
    assert PASSWORD not in repr(config)
