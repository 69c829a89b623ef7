"""The promises of trigger files: what they mean, and what is said about bad ones."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.core.event import HOUR, MINUTE, SECOND
from bridge.core.trigger import RunPlan, Slot, Trigger, WindowPlan
from bridge.triggers.errors import Origin
from bridge.triggers.resources import read_text

_FOLDER = Path(__file__).parents[3] / "docs" / "examples"
EXAMPLES = sorted(set(_FOLDER.glob("*.yaml")) - set(_FOLDER.glob("*.test.yaml")))

HEAD = "apiVersion: flowbridge.dev/v1\nkind: Trigger\nmetadata: {name: t}\nspec:\n"
RUN = "  run: {workflowTemplate: w}\n"
ONE = "  events: [{name: a}]\n"
TWO = "  events: [{name: a}, {name: b}]\n  window: {within: 1h}\n"


def errors_of(text: str) -> list[str]:
    triggers, errors = read_text(text, "f.yaml", "f.yaml", "default")
    assert bool(triggers) != bool(errors)
    return [str(error) for error in errors]


def trigger_of(spec: str) -> Trigger:
    triggers, errors = read_text(HEAD + spec, "f.yaml", "f.yaml", "default")
    assert not errors
    return triggers[0].trigger


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_every_example_of_the_docs_loads(path: Path) -> None:
    triggers, errors = read_text(path.read_text(), str(path), str(path), "default")
    assert triggers
    assert not errors


def test_a_trigger_compiles_with_its_defaults() -> None:
    assert trigger_of(ONE + RUN) == Trigger(
        namespace="default",
        name="t",
        slots=(Slot("a", "a"),),
        run=RunPlan("w", "default"),
        require=1,
    )


def test_a_trigger_compiles_whole() -> None:
    text = EXAMPLES[-1].read_text()
    triggers, _ = read_text(text, "folder", "f.yaml", "default")
    assert (triggers[0].origin, triggers[0].root) == (("f.yaml", 2), "folder")
    assert triggers[0].trigger == Trigger(
        namespace="ml",
        name="refresh-model",
        slots=(
            Slot("data.updated", "data_updated", "payload.rows > 0", "payload.model", (("latest", "timestamp"),)),
            Slot("model.approved", "model_approved", None, "payload.model", (("approved_by", "reviewer.name"),)),
        ),
        run=RunPlan(
            template="refresh-model",
            namespace="ml",
            parameters=(("rows", "data_updated.payload.rows"), ("model", "model_approved.payload.model")),
            labels=(("team", "forecasting"),),
        ),
        require=2,
        window=WindowPlan("within", HOUR),
        grace=6 * MINUTE,
        dedupe=HOUR + 6 * MINUTE,
    )


def test_the_default_grace_is_a_tenth_of_the_window_and_a_minute_at_least() -> None:
    short = trigger_of("  events: [{name: a}, {name: b}]\n  window: {within: 1m30s}\n" + RUN)
    assert (short.within, short.grace, short.dedupe) == (90 * SECOND, MINUTE, 150 * SECOND)


@pytest.mark.parametrize(("require", "count"), [("all", 2), ("any", 1), ("1", 1), ("2", 2)])
def test_require_says_how_many_slots_a_match_fills(require: str, count: int) -> None:
    assert trigger_of(f"{TWO}  require: {require}\n{RUN}").require == count


@pytest.mark.parametrize(
    ("written", "micros"),
    [("now", "now"), ("earliest", "earliest"), ("1970-01-01T00:00:01.5Z", 1_500_000), ("1970-01-01T01:00:00+01:00", 0)],
)
def test_start_from_is_a_word_or_a_moment(written: str, micros: object) -> None:
    assert trigger_of(f"{ONE}  startFrom: {written}\n{RUN}").start_from == micros


@pytest.mark.parametrize("written", ["{p: x, q: q}", "[[p, x], q]"])
def test_parameters_are_mapped_as_metaflow_maps_them(written: str) -> None:
    trigger = trigger_of(f"  events:\n    - name: a\n      parameters: {written}\n{RUN}")
    assert trigger.slots[0].parameters == (("p", "x"), ("q", "q"))


def test_a_variable_is_the_events_name_with_what_is_no_identifier_replaced() -> None:
    trigger = trigger_of("  events: [{name: 2.data-updated}, {name: é}]\n  window: {within: 1h}\n" + RUN)
    assert [slot.variable for slot in trigger.slots] == ["_2_data_updated", "_"]


BAD = [
    (HEAD + RUN, "f.yaml:4: spec.events: it is missing; write events: [{name: …}]"),
    (HEAD + ONE, "f.yaml:4: spec.run: it is missing; write run: {workflowTemplate: …}"),
    (HEAD + "  events: []\n" + RUN, "f.yaml:5: spec.events: found a list; write one entry at least"),
    (HEAD + "  events: a\n" + RUN, "f.yaml:5: spec.events: found 'a'; write a list, as - name: a"),
    (HEAD + "  events: [a]\n" + RUN, "f.yaml:5: spec.events[0]: found 'a'; write - name: a"),
    (
        HEAD + "  events:\n    - name: a\n      were: x\n" + RUN,
        "f.yaml:7: spec.events[0].were: there is no such field; did you mean where?",
    ),
    (
        HEAD + ONE + "  xyz: 1\n" + RUN,
        (
            "f.yaml:6: spec.xyz: there is no such field; known here are events, run, require, order, window, grace, "
            "dedupe, collect, key, sensitive, suspend, startFrom"
        ),
    ),
    (
        HEAD + "  events:\n    - name: a\n      where: payload.rows >\n" + RUN,
        (
            "f.yaml:7: spec.events[0].where: mismatched input end of the expression (at column 15 of the expression); "
            "write CEL over event, payload"
        ),
    ),
    (
        HEAD + "  events: [{name: a, where: paylod.x}]\n" + RUN,
        (
            "f.yaml:5: spec.events[0].where: 'paylod' is not known here; known are event, payload (at column 1 of the "
            "expression); write payload.x"
        ),
    ),
    (
        HEAD + ONE + "  run:\n    workflowTemplate: w\n    parameters:\n      p: b.payload.x\n",
        (
            "f.yaml:9: spec.run.parameters.p: 'b' is not known here; known are a (at column 1 of the expression); "
            "write CEL over a"
        ),
    ),
    (
        HEAD + ONE + "  run: {workflowTemplate: w, id: payload.x}\n",
        (
            "f.yaml:6: spec.run.id: 'payload' is not known here; known are a (at column 1 of the expression); "
            "write a.payload.x: this sees the slots, not one event"
        ),
    ),
    (
        HEAD + "  events: [{name: a}, {name: b}]\n" + RUN,
        (
            "f.yaml:4: spec.window: several events and no window; write window: {within: 1h} (how far apart they may "
            "have happened)"
        ),
    ),
    (
        HEAD + ONE + "  window: {within: 1h}\n" + RUN,
        "f.yaml:6: spec.window: window for a single event, which never waits; leave it out, or write count",
    ),
    (HEAD + TWO + "  require: 3\n" + RUN, "f.yaml:7: spec.require: found 3; there are 2 events: write at most 2"),
    (
        HEAD + TWO + "  require: 0\n" + RUN,
        "f.yaml:7: spec.require: found 0; write all, any, or how many slots a match fills",
    ),
    (
        HEAD + "  events: [{name: a, key: payload.k}, {name: b}]\n  window: {within: 1h}\n" + RUN,
        "f.yaml:5: spec.events[1].key: no key, although other events have one; write one here, or spec.key for all",
    ),
    (
        HEAD + "  events: [{name: a, key: payload.k}, {name: a, as: b, key: payload.l}]\n"
        "  window: {within: 1h}\n" + RUN,
        (
            "f.yaml:5: spec.events[1].key: another key for 'a' than its other slot has; give both slots the "
            "same key: an event is used in one match at most, so its slots share a window"
        ),
    ),
    (
        HEAD + "  events: [{name: a.b}, {name: a-b}]\n  window: {within: 1h}\n" + RUN,
        (
            "f.yaml:5: spec.events[1].name: the variable 'a_b' is already that of events[0]; give this one "
            "another name with `as`"
        ),
    ),
    (
        HEAD + "  events: [{name: loop}]\n" + RUN,
        "f.yaml:5: spec.events[0].name: 'loop' is a word of CEL; give it another name with `as`",
    ),
    (
        HEAD + "  events: [{name: a, as: a-b}]\n" + RUN,
        "f.yaml:5: spec.events[0].as: found 'a-b'; write letters, digits and _, with no digit first",
    ),
    (
        HEAD + "  events: [{name: a, parameters: [p]}]\n  run: {workflowTemplate: w, parameters: {p: a.payload.p}}\n",
        "f.yaml:5: spec.events[0].parameters.p: the parameter 'p' is already filled by run.parameters; fill it once",
    ),
    (
        HEAD + "  events: [{name: a, parameters: [p, p]}]\n" + RUN,
        "f.yaml:5: spec.events[0].parameters: found the parameter 'p' twice; fill it once",
    ),
    (
        HEAD + ONE + "  run: {workflowTemplate: w, parameters: {p: 5}}\n",
        'f.yaml:6: spec.run.parameters: found 5 for p; write CEL as a text, as p: "5" for this value',
    ),
    (
        HEAD + ONE + "  run: {workflowTemplate: Refresh_Model}\n",
        (
            "f.yaml:6: spec.run.workflowTemplate: found 'Refresh_Model'; write lower-case letters, digits, '-' "
            "and '.', with a letter or digit at both ends"
        ),
    ),
    (
        HEAD + ONE + "  run: {workflowTemplate: w, labels: {flowbridge.dev/x: y}}\n",
        (
            "f.yaml:6: spec.run.labels: found the name 'flowbridge.dev/x'; names under flowbridge.dev/ are "
            "written by the bridge"
        ),
    ),
    (
        HEAD + ONE + "  run: {workflowTemplate: w, labels: {team: a b}}\n",
        (
            "f.yaml:6: spec.run.labels: found 'a b' for team; a label is at most 63 letters, digits, '-', '_' and '.', "
            "with a letter or digit at both ends"
        ),
    ),
    (
        HEAD + TWO + "  grace: 60\n" + RUN,
        "f.yaml:7: spec.grace: found 60; write a duration as 500ms, 90s, 1h30m or 2d",
    ),
    (
        HEAD + TWO + "  collect: all\n" + RUN,
        "f.yaml:7: spec.collect: collect: all and within, which never closes; write latest or first, or another window",
    ),
    (
        HEAD + ONE + "  startFrom: 2026-05-01\n" + RUN,
        (
            "f.yaml:6: spec.startFrom: found '2026-05-01', a time without its zone; write now, earliest, or a "
            "time with its zone as 2026-05-01T00:00:00Z"
        ),
    ),
    (
        HEAD + ONE + "  startFrom: 0001-01-01T00:00:00+02:00\n" + RUN,
        (
            "f.yaml:6: spec.startFrom: found '0001-01-01T00:00:00+02:00'; write now, earliest, or a "
            "time with its zone as 2026-05-01T00:00:00Z"
        ),
    ),
    (HEAD + ONE + "  suspend: 1\n" + RUN, "f.yaml:6: spec.suspend: found 1; write true or false"),
    (
        HEAD + ONE + "  events: [{name: b}]\n" + RUN,
        "f.yaml:6: spec.events: 'events' is given twice; give it once",
    ),
    ("on: 1\n", "f.yaml:1: 'on' as a name; names are texts; put quotes around it"),
    (
        "kind: [\n",
        (
            "f.yaml:2: no YAML: expected the node content, but found '<stream end>'; check indentation, quotes "
            "and colons near here"
        ),
    ),
    (
        "kind: Deployment\n",
        "f.yaml:1: kind: found the kind 'Deployment'; write kind: Trigger, or a ConfigMap that holds triggers",
    ),
    ("- a\n", "f.yaml:1: kind: found a list; write each trigger as a document of its own, with --- between them"),
    (
        "kind: ConfigMap\ndata:\n  x.yaml: |\n    kind: Trigger\n    kind: Trigger\n",
        (
            "f.yaml:5: data.x.yaml kind: 'kind' is given twice; give it once; if another trigger begins here, "
            "write --- before it"
        ),
    ),
    ("kind: ConfigMap\n", "f.yaml:1: data: found nothing; write the triggers' YAML as entries of data"),
    (
        "a: !!python/object:os.x {}\n",
        "f.yaml:1: kind: there is no kind; write kind: Trigger, or a ConfigMap that holds triggers",
    ),
    ('a: "\\ud800"\n', "f.yaml:1: a: half of a character; write whole characters"),
]


COMMON = [
    ("  window:\n    until: {cron: * * * * *}\n", 5, "a value that begins with *", "cron: '* * * * *'"),
    ("  window:\n    until:\n      cron: */5 * * * *\n", 6, "a value that begins with *", "cron: '* * * * *'"),
    ('  key: "payload.id\n  order: any\n', 4, "a quote that is never closed", "close it"),
    ("  events: [{name: a, where: !payload.ok}]\n", 4, "a value that begins with !", "put quotes around it"),
    ("  where: !payload.ok\n", 4, "the tag '!payload.ok'", "put quotes around an expression that begins with !"),
    ('  where: "EU" == payload.region\n', 4, "only a part is in quotes", "in quotes of the other kind"),
    ("  where: payload.a == 'b' ? c : d\n", 4, "a second ':' in one line", "put quotes around the value"),
    (
        "  where: \"payload.a.matches('\\d+')\"\n",
        4,
        "a backslash in double quotes",
        """single quotes: 'matches("\\\\d+")'""",
    ),
    ("  where: >= 5\n", 4, "a value that begins with | or >", "put quotes around it"),
    ("\tevents: [a]\n", 4, "a tab", "indent with spaces"),
    ("  key: @id\n", 4, "a value that begins with a sign of YAML", "put quotes around it"),
    ("  run: {parameters: {x: {{payload.id}}}}\n", 4, "found {{ }}", "without braces, as order.payload.id"),
]


@pytest.mark.parametrize(("text", "line", "found", "right"), COMMON, ids=[found for _, _, found, _ in COMMON])
def test_a_common_mistake_in_yaml_is_told_in_a_users_words(text: str, line: int, found: str, right: str) -> None:
    (error,) = errors_of("kind: Trigger\nmetadata: {name: x}\nspec:\n" + text)
    assert error.startswith(f"f.yaml:{line}: ")
    assert found in error
    assert right in error


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("  window: 10m\n" + ONE + RUN, "spec.window: found '10m'; write window: {within: 10m}"),
        (ONE + "  run: ship\n", "spec.run: found 'ship'; write run: {workflowTemplate: ship}"),
        (ONE + RUN + "  where: payload.a\n", "spec.where: there is no such field here; write it in spec.events[…]"),
        (
            ONE + RUN + "  within: 1h\n",
            "spec.within: there is no such field here; write it in spec.window or spec.run.limits.storm",
        ),
    ],
)
def test_what_stands_in_the_wrong_shape_or_place_is_told_where_it_belongs(text: str, error: str) -> None:
    (told,) = errors_of(HEAD + text)
    assert told.partition(": ")[2] == error


@pytest.mark.parametrize(("text", "error"), BAD, ids=[str(index) for index in range(len(BAD))])
def test_a_bad_file_is_told_where_what_was_found_and_what_would_be_right(text: str, error: str) -> None:
    assert errors_of(text) == [error]


def test_everything_that_is_wrong_is_told_at_once() -> None:
    text = HEAD + "  events:\n    - name: a\n      where: 1 +\n      key: foo()\n  require: 2\n  grace: 1m\n" + RUN
    assert [error.split(": ")[1] for error in errors_of(text)] == [
        "spec.grace",
        "spec.require",
        "spec.events[0].where",
        "spec.events[0].key",
    ]


def test_a_bad_document_leaves_the_others_of_its_file() -> None:
    good = HEAD + ONE + RUN
    triggers, errors = read_text(
        f"{good}---\n---\nkind: Nope\n---\n{good.replace('name: t', 'name: u')}", "r", "f", "n"
    )
    assert [loaded.trigger.identity for loaded in triggers] == ["n/t", "n/u"]
    assert [loaded.origin.line for loaded in triggers] == [1, 11]
    assert [error.origin.line for error in errors] == [9]


def test_a_config_map_gives_its_namespace_and_the_lines_of_its_file() -> None:
    path = next(path for path in EXAMPLES if path.name == "config-map.yaml")
    triggers, _ = read_text(path.read_text(), "r", "f", "default")
    assert [(loaded.trigger.identity, loaded.origin.line) for loaded in triggers] == [("ml/settle-payment", 9)]


def test_aliases_build_a_bounded_number_of_values() -> None:
    layers = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    layers += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)]
    assert "more than 20000 values" in errors_of("\n".join(layers))[0]


def test_depth_is_bounded() -> None:
    assert "nested" in errors_of("a: " + "[" * 5_000 + "]" * 5_000)[0]


scalars = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.dates() | st.binary(max_size=4)
)
names = st.sampled_from(
    [
        *("apiVersion", "kind", "metadata", "spec", "name", "namespace", "events", "as", "where", "key", "parameters"),
        *("require", "window", "within", "grace", "dedupe", "collect", "suspend", "startFrom", "run", "labels", "id"),
        *("workflowTemplate", "annotations", "allowTemplateTags", "data", "order", "count", "absent", "every", "until"),
        *("cron", "timezone", "offset", "session", "batch", "size", "wait", "settle", "maxWait", "reset", "sensitive"),
        *("limits", "rate", "storm", "startDeadline", "synchronization", "mutexes", "emits"),
    ],
)
words = names | st.sampled_from(["flowbridge.dev/v1", "Trigger", "ConfigMap", "1h", "payload.x", "all", "a"]) | scalars
trees = st.recursive(
    words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names | st.text(max_size=3), inner, max_size=5),
    max_leaves=30,
)


@settings(deadline=None)  # the machine may be busy
@given(trees)
def test_no_yaml_raises(tree: object) -> None:
    head = {"apiVersion": "flowbridge.dev/v1", "kind": "Trigger", "metadata": {"name": "t"}, "spec": tree}
    for value in (tree, head):
        read_text(yaml.safe_dump(value, allow_unicode=True), "r", "f", "n")


@settings(deadline=None)  # the machine may be busy
@given(
    st.fixed_dictionaries({"events": trees, "run": trees}, optional=dict.fromkeys(["window", "key", "require"], trees))
)
def test_no_spec_raises(spec: object) -> None:
    head = {"apiVersion": "flowbridge.dev/v1", "kind": "Trigger", "metadata": {"name": "t"}, "spec": spec}
    read_text(yaml.safe_dump(head), "r", "f", "n")


@settings(deadline=None)  # the machine may be busy
@given(st.text(max_size=60) | st.text("ab:-[]{}&*!|>'\"#%@`?, \n\t\0", max_size=60))
def test_no_text_raises(text: str) -> None:
    for _ in read_text(text, "r", "f", "n")[1]:
        assert str(_)


@pytest.mark.parametrize("origin", [Origin("a/b.yaml", 7), Origin("C:x.yaml", 1), Origin("Sensor jobs/nightly")])
def test_an_origin_is_read_from_its_record_as_it_was_written(origin: Origin) -> None:
    assert Origin.from_text(str(origin)) == origin
