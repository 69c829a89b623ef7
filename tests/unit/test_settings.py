"""The promises of settings: one name in each source, their precedence, clear errors, no secret shown."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import pytest

from bridge.cli.settings_page import page
from bridge.cli.wiring.kafka import connect, require_kafka
from bridge.cli.wiring.triggers import sensor_rules
from bridge.core.event import MINUTE, SECOND
from bridge.errors import SettingsError
from bridge.settings.groups import ControllerSettings, RouterSettings, SubmitterSettings, WindowSettings
from bridge.settings.settings import DEFAULT_LISTEN, Settings, load_settings
from bridge.settings.sources import EnvironmentSource, FileSource
from bridge.settings.values import HIDDEN, Address, Group, Listen, Paths, SensorNamespace, Stage

if TYPE_CHECKING:
    from collections.abc import Callable

DOCS = Path(__file__).parents[2] / "docs"


def problems(options: dict[str, object], environment: dict[str, str], config: Path | None = None) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load_settings(options, environment, config)
    return [problem.text() for problem in caught.value.problems]


def test_without_any_source_every_setting_has_its_default() -> None:
    settings = load_settings({}, {})
    assert settings.bootstrap_servers == "localhost:9092"
    assert settings.stages == set(Stage)
    assert settings.ledger_horizon == timedelta(days=7)
    assert settings.listen == DEFAULT_LISTEN
    assert not settings.is_listen_explicit


@pytest.mark.parametrize(
    ("others", "expected"),
    [
        ({"followed_runs": 0}, "followed_runs above 0"),
        ({"shared_topics": {"flowbridge.run.*": "run-events"}}, "shared_topics without 'flowbridge.run.created'"),
        ({"internal_prefix": "fb.", "shared_topics": {"f*": "others"}}, "shared_topics without 'fb.run.created'"),
    ],
)
def test_runs_are_not_announced_where_no_trigger_would_hear_of_it(others: dict[str, object], expected: str) -> None:
    (said,) = problems({**others, "announce_runs": True}, {})
    assert said.startswith("--announce-runs: found True; ")
    assert expected in said
    assert not load_settings({**others, "announce_runs": False}, {}).announce_runs
    assert load_settings({"announce_runs": True}, {}).announce_runs


@pytest.mark.parametrize("ending", ["yaml", "json", "toml"])
def test_an_option_wins_over_the_environment_that_over_the_file_that_over_the_default(
    tmp_path: Path,
    ending: str,
) -> None:
    values = {"partitions": 3, "concurrency": 3, "window_bound": 3}
    text = "\n".join(f"{name} = {value}" for name, value in values.items()) if ending == "toml" else json.dumps(values)
    config = tmp_path / f"flowbridge.{ending}"
    config.write_text(text)
    environment = {"FLOWBRIDGE_PARTITIONS": "2", "FLOWBRIDGE_CONCURRENCY": "2", "FLOWBRIDGE_CONFIG": str(config)}
    settings = load_settings({"partitions": "1"}, environment)
    assert (settings.partitions, settings.concurrency, settings.window_bound, settings.replication) == (1, 2, 3, -1)


def test_properties_of_librdkafka_are_merged_one_by_one(tmp_path: Path) -> None:
    config = tmp_path / "flowbridge.yaml"
    config.write_text("kafka: {a.x: file, b.x: file, c.x: 3, enable.ssl.certificate.verification: false}")
    environment = {"FLOWBRIDGE_KAFKA_A_X": "variable", "FLOWBRIDGE_KAFKA_B_X": "variable"}
    settings = load_settings({"kafka": {"a.x": "option"}}, environment, config)
    assert settings.client_properties() == {
        "bootstrap.servers": "localhost:9092",
        "a.x": "option",
        "b.x": "variable",
        "c.x": "3",
        "enable.ssl.certificate.verification": "false",
    }


@pytest.mark.parametrize("text", ["a,b", f"a{os.pathsep}b", "a, b,"])
def test_paths_in_one_text_are_separated_by_commas_or_as_the_system_does(text: str) -> None:
    assert load_settings({}, {"FLOWBRIDGE_TRIGGERS": text}).triggers == (Path("a"), Path("b"))


@pytest.mark.parametrize("given", ["card.number, email", "card.number,email,card.number,", ["card.number", "email"]])
def test_sensitive_fields_are_separated_by_commas_or_a_list(tmp_path: Path, given: str | list[str]) -> None:
    config = tmp_path / "flowbridge.yaml"
    config.write_text(json.dumps({"sensitive": given}))
    assert load_settings({}, {}, config).sensitive == ("card.number", "email")


def test_paths_in_a_file_start_at_its_folder(tmp_path: Path) -> None:
    config = tmp_path / "flowbridge.yaml"
    config.write_text("triggers: [here, /there]\nschemas: schemas")
    settings = load_settings({}, {}, config)
    assert settings.triggers == (tmp_path / "here", Path("/there"))
    assert settings.schemas == (tmp_path / "schemas",)


def test_an_empty_variable_is_as_none_except_that_an_empty_listen_is_off() -> None:
    empty = {"FLOWBRIDGE_PARTITIONS": "", "FLOWBRIDGE_INSTANCE": "", "FLOWBRIDGE_LISTEN": ""}
    settings = load_settings({}, empty)
    assert (settings.partitions, settings.instance, settings.listen) == (24, None, None)
    assert settings.is_listen_explicit


@pytest.mark.parametrize(
    ("text", "address"),
    [("0.0.0.0:80", Address("0.0.0.0", 80)), ("[::1]:0", Address("::1", 0)), ("host:9630", Address("host", 9630))],
)
def test_an_address_to_listen_on_is_a_host_and_a_port(text: str, address: Address) -> None:
    assert load_settings({"listen": text}, {}).listen == address
    assert address.text() == text


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("partitions", "many", "found 'many'; it should be a valid integer"),
        ("partitions", "0", "found '0'; it should be greater than or equal to 1"),
        ("stages", "routr", "found 'routr'; controller, router, matcher, submitter are right"),
        ("reload", "10", "found '10'; '10' is no length of time: write 30s"),
        ("reload", "1ms", "it should be greater than or equal to 100"),
        ("listen", "9630", "HOST:PORT is right"),
        ("listen", "host:99999", "HOST:PORT is right"),
        ("namespace", "Team_A", "lower-case letters"),
        ("internal_prefix", "a b", "letters, digits"),
        ("schema_registry_url", "registry:8081", "http://HOST:PORT"),
        ("bootstrap_servers", "a, ,b", "HOST:PORT is right"),
        ("sensitive", "card..number", "payload fields are right, as customer.email"),
        ("sensitive", "payload.card", "payload stays out"),
        ("lost_offsets", "ignore", "it should be 'hold' or 'continue'"),
        ("log_format", "xml", "it should be 'text' or 'json'"),
    ],
)
def test_a_wrong_value_is_said_with_its_source_what_was_found_and_what_would_be_right(
    tmp_path: Path,
    name: str,
    value: str,
    said: str,
) -> None:
    config = tmp_path / "flowbridge.yaml"
    config.write_text(json.dumps({name: value}))
    sources = {
        f"--{name.replace('_', '-')}: ": problems({name: value}, {}),
        f"FLOWBRIDGE_{name.upper()}: ": problems({}, {f"FLOWBRIDGE_{name.upper()}": value}),
        f"{config}: {name}: ": problems({}, {}, config),
    }
    for place, texts in sources.items():
        assert len(texts) == 1
        assert texts[0].startswith(place)
        assert said in texts[0]


def test_all_that_is_wrong_is_said_at_once() -> None:
    assert len(problems({"partitions": "x"}, {"FLOWBRIDGE_RELOAD": "x", "FLOWBRIDGE_KAFKA_ACKS": "0"})) == 3


@pytest.mark.parametrize("variable", ["FLOWBRIDGE_STAGE", "FLOWBRIDGE_BOOTSTRAP_SERVER", "FLOWBRIDGE_TRIGERS"])
def test_a_slip_in_a_variable_is_not_passed_over(variable: str) -> None:
    assert problems({}, {variable: "router"})[0].startswith(f"{variable}: there is no such setting; FLOWBRIDGE_")


def test_variables_of_others_are_left_alone() -> None:
    load_settings(
        {}, {"FLOWBRIDGE_TEST_SERVERS": "off", "FLOWBRIDGE_SOURCE": "job", "FLOWBRIDGE_LOCAL": "1", "HOME": "/"}
    )


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.yaml", "partition: 3", "a.yaml: partition: there is no such setting; partitions is meant?"),
        ("a.yaml", "colour: 3", "docs/settings.md lists all settings"),
        ("a.yaml", "[1]", "no mapping"),
        ("a.yaml", "kafka: 3", "a.yaml: kafka: no mapping"),
        ("a.yaml", "a: [", "in line 1"),
        ("a.toml", "a = ", "no TOML"),
        ("a.ini", "", "a file ending in '.ini'"),
    ],
)
def test_a_file_that_is_wrong_is_said_with_its_place(tmp_path: Path, name: str, text: str, said: str) -> None:
    config = tmp_path / name
    config.write_text(text)
    assert said in problems({}, {}, config)[0]


def test_a_file_that_is_missing_is_said(tmp_path: Path) -> None:
    assert "cannot be read: No such file" in problems({}, {"FLOWBRIDGE_CONFIG": str(tmp_path / "none.yaml")})[0]


@pytest.mark.parametrize("name", ["acks", "group.id", "transactional.id", "isolation.level", "bootstrap.servers"])
def test_properties_that_our_promises_rest_on_are_refused(name: str) -> None:
    said = problems({"kafka": {name: "x"}}, {})[0]
    assert said.startswith(f"--kafka-property {name}: ")
    assert "the bridge sets this property itself" in said


@pytest.mark.parametrize(
    "name",
    ["sasl.password", "ssl.key.password", "ssl.key.pem", "ssl.keystore.password", "sasl.oauthbearer.client.secret"],
)
def test_a_secret_is_shown_nowhere_and_given_to_kafka(tmp_path: Path, name: str) -> None:
    settings = load_settings({}, {"FLOWBRIDGE_KAFKA_" + name.replace(".", "_").upper(): "geheim"})
    shown = f"{settings!r} {settings} {settings.without_secrets()} {settings.model_dump_json()} {settings.model_dump()}"
    assert "geheim" not in shown
    assert settings.client_properties()[name] == "geheim"
    config = tmp_path / "flowbridge.yaml"
    config.write_text(f"kafka: {{{name}: [geheim]}}\npartitions: x")
    assert "geheim" not in "".join(problems({}, {}, config))
    for unreadable in ("'geheim", "*geheim", "!geheim", "@geheim", "{geheim"):
        config.write_text(f"kafka:\n  {name}: {unreadable}\n")
        assert "geheim" not in "".join(problems({}, {}, config))


@pytest.mark.parametrize("url", ["http://u:geheim@r:8081", "http://a:1,https://u:geheim@b:2/x"])
def test_the_password_in_a_registry_url_is_not_shown(url: str) -> None:
    settings = load_settings({"schema_registry_url": url}, {})
    assert settings.schema_registry_url == url
    assert "geheim" not in f"{settings!r}{settings.without_secrets()}"
    assert "geheim" not in problems({"schema_registry_url": f"ftp{url}"}, {})[0]


def test_no_part_of_a_password_with_a_slash_is_shown() -> None:
    settings = load_settings({"schema_registry_url": "http://u:ge/heim@r:8081"}, {})
    assert settings.without_secrets()["schema_registry_url"] == f"http://{HIDDEN}@r:8081"


@pytest.mark.parametrize("servers", ["u:geheim@kafka:9092", "kafka-1:9092,ssl://u:geheim@kafka:9092", "u:ge/heim@k:1"])
def test_credentials_in_bootstrap_servers_are_refused_and_not_shown(servers: str) -> None:
    (found,) = problems({"bootstrap_servers": servers}, {})
    assert "heim" not in found
    assert "sasl.password" in found


@pytest.mark.parametrize("field", ["namespace", "sensors", "stages", "listen", "gateway_path", "reload", "partitions"])
def test_no_setting_shows_what_may_be_a_password_when_it_is_wrong(field: str) -> None:
    for value in ("https://u:ge/heim@host/x y", "u:geheim@host", ["u:geheim@host"]):
        assert "heim" not in "".join(problems({field: value}, {}))


def test_a_property_whose_value_is_an_address_with_a_password_is_shown_nowhere() -> None:
    url = "https://u:geheim@idp/token"
    settings = load_settings({"kafka": {"sasl.oauthbearer.token.endpoint.url": url}}, {})
    assert "geheim" not in f"{settings!r}{settings.without_secrets()}{settings.model_dump()}"
    assert settings.client_properties()["sasl.oauthbearer.token.endpoint.url"] == url


BROKEN = [
    {"ssl.key.pem": "geheim"},
    {"ssl.key.location": "/does/not/exist"},
    {"ssl.ca.location": "/does/not/exist"},
    {"ssl.certificate.pem": "geheim"},
]


@pytest.mark.parametrize("properties", BROKEN, ids=str)
@pytest.mark.parametrize(
    "use",
    [connect, lambda settings: require_kafka(settings, 1.0)],
    ids=["run", "status"],
)
def test_a_broken_key_or_certificate_for_kafka_is_an_error_of_settings(
    properties: dict[str, str], use: Callable[[Settings], object]
) -> None:
    settings = load_settings({"kafka": {"security.protocol": "SSL", **properties}, "gateway_listen": "127.0.0.1:0"}, {})
    with pytest.raises(SettingsError, match=next(iter(properties))) as caught:
        use(settings)
    assert "geheim" not in str(caught.value)


def test_a_process_without_an_instance_has_a_name_that_is_never_used_twice() -> None:
    first, second = Settings(), Settings()
    assert first.member == first.member != second.member
    assert Settings(instance="bridge-0").member == "bridge-0"


def test_the_page_of_settings_is_current() -> None:
    written = (DOCS / "settings.md").read_text(encoding="utf-8")
    assert written == page(), "run: python -m bridge.cli.settings_page > docs/settings.md"


def test_namespaces_of_sensors_are_written_in_one_text_or_as_a_list(tmp_path: Path) -> None:
    wanted = (SensorNamespace("jobs"), SensorNamespace("events", "jobs"))
    config = tmp_path / "flowbridge.yaml"
    config.write_text("sensors: [jobs, events=jobs]")
    assert load_settings({}, {}, config).sensors == wanted
    settings = load_settings({}, {"FLOWBRIDGE_SENSORS": "jobs, events=jobs"})
    assert settings.sensors == wanted
    assert settings.without_secrets()["sensors"] == ["jobs", "events=jobs"]
    assert load_settings({}, {}).sensors == ()
    rules = sensor_rules(settings)
    assert rules.run_namespaces == {"jobs": frozenset(), "events": frozenset({"jobs"})}


@pytest.mark.parametrize("text", ["Jobs", "jobs=", "=jobs", "a=b=c", "jobs;models", "*"])
def test_what_is_no_namespace_is_refused(text: str) -> None:
    (problem,) = problems({}, {"FLOWBRIDGE_SENSORS": text})
    assert problem.startswith(f"FLOWBRIDGE_SENSORS: found {text!r}")


def test_a_setting_is_read_by_its_former_name(tmp_path: Path) -> None:
    config = tmp_path / "flowbridge.yaml"
    config.write_text("gateway_topic_bound: 7")
    assert load_settings({}, {}, config).topic_bound == 7
    assert load_settings({}, {"FLOWBRIDGE_GATEWAY_TOPIC_BOUND": "8"}, config).topic_bound == 8
    both = {"FLOWBRIDGE_GATEWAY_TOPIC_BOUND": "8", "FLOWBRIDGE_TOPIC_BOUND": "9"}
    assert load_settings({}, both, config).topic_bound == 9


def test_topics_of_json_are_names_and_beginnings() -> None:
    assert load_settings({}, {"FLOWBRIDGE_JSON_TOPICS": "orders, legacy.*"}).json_topics == ("orders", "legacy.*")
    assert load_settings({}, {}).json_topics == ()
    (problem,) = problems({}, {"FLOWBRIDGE_JSON_TOPICS": "or*ders"})
    assert problem.startswith("FLOWBRIDGE_JSON_TOPICS: found 'or*ders'; ")
    assert "expected TOPIC or BEGINNING*" in problem


def test_the_memory_for_windows_has_a_share_for_each_partition_that_large_events_fit_in() -> None:
    assert load_settings({"partitions": 300, "window_bytes": 300 * 4 * 1024**2}, {}).window_bytes == 300 * 4 * 1024**2
    with pytest.raises(SettingsError) as found:
        load_settings({"partitions": 300}, {})
    assert "at least 4 MiB for each of the 300 partitions is right, which is 1258291200" in str(found.value)


@pytest.mark.parametrize("name", Settings.model_fields)
def test_each_setting_declares_the_one_group_in_which_it_is_documented(name: str) -> None:
    assert len([item for item in Settings.model_fields[name].metadata if isinstance(item, Group)]) == 1


def test_a_new_setting_is_read_by_its_type_and_is_listed_nowhere(tmp_path: Path) -> None:
    class More(Settings):
        folders: Annotated[Paths, Group.TRIGGERS] = ()
        other_listen: Annotated[Listen, Group.PROCESS] = Address("127.0.0.1", 1)

    file = tmp_path / "flowbridge.yaml"
    file.write_text("folders: [here]\n")
    environment = {"FLOWBRIDGE_OTHER_LISTEN": "", "FLOWBRIDGE_FOLDERS": ""}
    more: Any = More  # whose signature is that of its fields for mypy
    settings = more(EnvironmentSource(More, environment), FileSource(More, file))
    assert settings.folders == (tmp_path / "here",)
    assert settings.other_listen is None


GROUPS = {
    "controller": ControllerSettings,
    "router": RouterSettings,
    "windows": WindowSettings,
    "submitter": SubmitterSettings,
}


@pytest.mark.parametrize("name", GROUPS)
def test_a_stage_gets_its_settings_as_one_group_whose_defaults_are_those_of_the_settings(name: str) -> None:
    assert getattr(Settings(), name) == GROUPS[name]()


def test_what_is_set_arrives_in_the_group_of_a_stage_with_lengths_of_time_in_microseconds() -> None:
    settings = load_settings({"retry_for": "90m", "concurrency": "3", "sensitive": "a,b", "clock_skew": "1s"}, {})
    assert settings.submitter == SubmitterSettings(retry_for=90 * MINUTE, concurrency=3)
    assert settings.controller == ControllerSettings(sensitive=("a", "b"))
    assert settings.windows == WindowSettings(clock_skew=SECOND)


def test_stages_take_their_settings_without_importing_pydantic() -> None:
    program = "import sys, bridge.settings.groups; sys.exit('pydantic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
