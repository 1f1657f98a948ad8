"""What kernels get from the settings: a project, a domain, virtual folders."""

from __future__ import annotations

from dataclasses import replace

import pytest

from backendai_trio import Config, ConfigError, KernelSpec, LocalProtocolError
from backendai_trio.config.layers import Layer
from backendai_trio.config.parsing import parse_config
from backendai_trio.kernels.defaults import complete_spec
from backendai_trio.wire.versions import Hello

NOW = Hello("v9.20250722", "26.9.6")
LATE_2023 = Hello("v7.20230615", "23.09.10")
IN_2018 = Hello("v4.20181215", "18.12.0")
PYTHON = KernelSpec(runtime="python")


@pytest.fixture
def config() -> Config:
    variables = {
        "BACKEND_ENDPOINT": "http://manager.example.com",
        "BACKEND_ACCESS_KEY": "AKIA" + "E" * 16,
        "BACKEND_SECRET_KEY": "s" * 40,
        "BACKEND_DOMAIN": "science",
        "BACKEND_GROUP": "physics",
        "BACKEND_VFOLDER_MOUNTS": "data, models:/models,",
    }
    found = parse_config(Layer(variables))
    assert found is not None
    return found


def test_settings_fill_what_is_not_said(config: Config) -> None:
    spec = complete_spec(PYTHON, config, NOW)
    assert (spec.domain, spec.project) == ("science", "physics")
    assert spec.mounts == ("data", "models:/models")


def test_what_is_said_counts(config: Config) -> None:
    asked = replace(PYTHON, project="chemistry", mounts=("data:elsewhere", "more"))
    spec = complete_spec(asked, config, NOW)
    assert (spec.domain, spec.project) == ("science", "chemistry")
    assert spec.mounts == ("data:elsewhere", "more", "models:/models")


def test_project_of_the_settings_is_one_of_their_domain(config: Config) -> None:
    spec = complete_spec(replace(PYTHON, domain="arts"), config, NOW)
    assert (spec.domain, spec.project) == ("arts", "")


def test_server_from_before_projects(config: Config) -> None:
    spec = complete_spec(PYTHON, replace(config, mounts=("data",)), IN_2018)
    assert spec == replace(PYTHON, mounts=("data",))
    with pytest.raises(LocalProtocolError, match="project"):
        complete_spec(replace(PYTHON, project="physics"), config, IN_2018)


@pytest.mark.parametrize("mounts", [("data:ro",), ("a:b:c",), ("data", "data")])
def test_folder_of_the_settings_that_cannot_be_mounted(
    config: Config, mounts: tuple[str, ...]
) -> None:
    with pytest.raises(ConfigError) as caught:
        complete_spec(PYTHON, replace(config, mounts=mounts), LATE_2023)
    assert caught.value.variable == "BACKEND_VFOLDER_MOUNTS"
