"""Settings of the tests, as variables."""

from __future__ import annotations

import pytest
from hypothesis import settings

from backendai_trio.config.layers import Layer
from backendai_trio.config.parsing import parse_config
from backendai_trio.config.settings import Config
from backendai_trio.errors import ConfigError

quick = settings(deadline=None, max_examples=50)

ACCESS = "AKIAEXAMPLE000000000"
OTHER = "AKIAOTHER00000000000"
SECRET = "exampleSecretKey0123456789abcdefghijklmn"
PASSWORD = "hunter2correcthorse"
URL = "https://manager.example.com"


def environ(**changes: str) -> dict[str, str]:
    return {
        "BACKEND_ENDPOINT": URL,
        "BACKEND_ACCESS_KEY": ACCESS,
        "BACKEND_SECRET_KEY": SECRET,
    } | changes


def config_of(variables: dict[str, str]) -> Config:
    config = parse_config(Layer(variables))
    assert config is not None
    return config


def refused(variables: dict[str, str]) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        parse_config(Layer(variables))
    return caught.value
