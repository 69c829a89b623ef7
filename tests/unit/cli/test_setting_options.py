"""The promises of options made of settings: one for each, and they win over all else."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from bridge.cli.commands import gateway
from bridge.cli.setting_options import names_of, option_name, settings_options
from bridge.errors import SettingsError
from bridge.settings.settings import Settings
from bridge.settings.values import Group

taken: list[Settings] = []


@click.command()
@settings_options(*Group)
def command(settings: Settings) -> None:
    taken.append(settings)


def settings_of(*options: str, **environment: str) -> Settings:
    taken.clear()
    result = CliRunner(env=environment).invoke(command, options)
    if result.exception:
        raise result.exception
    return taken[0]


def test_every_setting_has_an_option_whose_help_names_its_variable() -> None:
    shown = " ".join(CliRunner().invoke(command, ["--help"], terminal_width=400).output.split())
    for name in Settings.model_fields:
        assert f" {option_name(name)}" in shown
        assert ("[FLOWBRIDGE_KAFKA_<PROPERTY>;" if name == "kafka" else f"[FLOWBRIDGE_{name.upper()};") in shown
    assert "[FLOWBRIDGE_CONFIG]" in shown


def test_a_command_has_the_settings_that_declare_its_groups_and_no_others() -> None:
    options = {parameter.name for parameter in gateway.params}
    groups = {Group.KAFKA, Group.GATEWAY, Group.TOPICS, Group.OBSERVATION}
    assert options == {"config", *(name for group in groups for name in names_of(group))}
    assert sorted(name for group in Group for name in names_of(group)) == sorted(Settings.model_fields)


def test_options_are_read_as_every_other_source_is(tmp_path: Path) -> None:
    config = tmp_path / "flowbridge.toml"
    config.write_text("partitions = 3\nconcurrency = 3")
    options = [
        "--config",
        str(config),
        "--triggers",
        "a",
        "--triggers",
        "b,c",
        "--no-create-topics",
        "--partitions",
        "2",
    ]
    settings = settings_of(*options, "--kafka-property", "a.b=c=d", "--kafka-property", "e=", "--stages", "router")
    assert settings.triggers == (Path("a"), Path("b"), Path("c"))
    assert (settings.create_topics, settings.partitions, settings.concurrency) == (False, 2, 3)
    assert settings.kafka == {"a.b": "c=d", "e": ""}
    assert settings.stages == {"router"}


def test_an_option_that_is_not_given_leaves_the_environment_its_say() -> None:
    settings = settings_of(FLOWBRIDGE_CREATE_TOPICS="false", FLOWBRIDGE_TRIGGERS="x", FLOWBRIDGE_KAFKA_A_B="c")
    assert (settings.create_topics, settings.triggers, settings.kafka) == (False, (Path("x"),), {"a.b": "c"})


def test_an_empty_listen_is_off() -> None:
    assert settings_of("--listen", "").listen is None


def test_a_property_without_a_value_is_refused_and_not_shown() -> None:
    with pytest.raises(SettingsError) as caught:
        settings_of("--kafka-property", "geheim")
    assert "geheim" not in str(caught.value)
    assert "KEY=VALUE is right" in str(caught.value)
