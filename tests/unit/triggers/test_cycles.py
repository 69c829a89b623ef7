"""The promises about cycles: the trigger that closes one is told the whole way round, and the others keep working."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.core.trigger import RunPlan, Slot, Trigger
from bridge.triggers.checks.cycles import flow_templates, without_cycles
from bridge.triggers.errors import Origin
from bridge.triggers.resources import LoadedTrigger
from bridge.triggers.sources.folder import FileSource
from bridge.triggers.sources.source import AllSources, Sources, TriggerSource


def loaded(
    name: str, reads: str, emits: str = "", template: str = "w", file: str = "f", line: int = 1, *, absent: str = ""
) -> LoadedTrigger:
    slots = [Slot(event, event) for event in reads.split()] + [
        Slot(event, event, absent=True) for event in absent.split()
    ]
    run = RunPlan(template, "ns", emits=tuple(emits.split()))
    return LoadedTrigger(Trigger("ns", name, tuple(slots), run, len(slots)), Origin(file, line), "root")


def outcome(*wanted: LoadedTrigger, in_force: tuple[LoadedTrigger, ...] = ()) -> tuple[list[str], list[str]]:
    kept, errors = without_cycles(in_force, wanted)
    return [sourced.trigger.name for sourced in kept], [str(error) for error in errors]


def test_triggers_that_form_a_chain_are_kept() -> None:
    assert outcome(loaded("a", "x", "y"), loaded("b", "y", "z"), loaded("c", "z y", "end")) == (["a", "b", "c"], [])


def test_the_trigger_that_closes_a_cycle_is_told_the_whole_way_round() -> None:
    kept, errors = outcome(
        loaded("a", "x", "y", line=1), loaded("b", "y", "z", line=2), loaded("c", "z", "x other", line=9)
    )
    assert kept == ["a", "b"]
    way = "ns/c causes 'x', which starts ns/a, which causes 'y', which starts ns/b, which causes 'z', which starts ns/c"
    right = "break it: let one of these read another event, or end with a run that does not emit"
    assert errors == [f"f:9: spec.run.emits: it closes a cycle: {way}; {right}"]


def test_a_trigger_that_starts_itself_is_a_cycle() -> None:
    kept, errors = outcome(loaded("a", "x", "x"))
    assert kept == []
    assert "ns/a causes 'x', which starts ns/a;" in errors[0]


def test_an_event_of_an_absent_slot_starts_nothing() -> None:
    assert outcome(loaded("a", "x", "y", absent="y"), loaded("b", "y", "x2")) == (["a", "b"], [])


def test_what_is_in_force_stays_and_the_new_one_is_refused() -> None:
    old, new = loaded("z", "x", "y", file="later"), loaded("a", "y", "x", file="earlier")
    kept, errors = outcome(new, old, in_force=(old,))
    assert kept == ["z"]
    assert errors[0].startswith("earlier:1:")


def test_a_trigger_whose_new_form_closes_a_cycle_keeps_its_old_one() -> None:
    a, old, new = loaded("a", "x", "y"), loaded("b", "y"), loaded("b", "y", "x")
    kept, errors = without_cycles((a, old), (a, new))
    assert [sourced.trigger for sourced in kept] == [a.trigger, old.trigger]
    assert [error.trigger for error in errors] == ["ns/b"]


@pytest.mark.parametrize(
    ("event", "templates"),
    [
        ("order.created", ()),
        ("metaflow.HelloFlow.end", ("helloflow",)),
        ("metaflow.hello.start", ("hello",)),
        ("metaflow.fraud.prod.Train_Flow.end", ("fraud.prod.trainflow",)),
        ("metaflow.fraud.user.ann@x.TrainFlow.end", ("fraud.user.annx.trainflow",)),
        ("metaflow.fraud.test-.TrainFlow.end", ("fraud.test-.trainflow", "fraud.test.trainflow")),
    ],
)
def test_the_templates_of_metaflows_flows_are_known_by_their_events(event: str, templates: tuple[str, ...]) -> None:
    assert tuple(name for name in flow_templates(event) if not name.startswith("-")) == templates


def test_a_flow_that_its_own_finish_starts_again_is_a_cycle() -> None:
    train = loaded("train", "metaflow.LoadFlow.end", template="trainflow")
    load = loaded("load", "metaflow.TrainFlow.end", template="loadflow", line=2)
    kept, errors = outcome(train, load)
    assert kept == ["train"]
    assert "spec.events: it closes a cycle: ns/load causes 'metaflow.LoadFlow.end', which starts ns/train" in errors[0]


def test_a_flow_with_a_shortened_name_is_known_by_its_hash() -> None:
    event = "metaflow.fraud_detection.user.somebody_with_a_long_name.TrainTheModelFlow.end"
    ends = [name for name in flow_templates(event) if name.startswith("-")]
    kept, _ = outcome(loaded("train", event, template=f"frauddetection.user.somebod.traintheflow{ends[0]}"))
    assert kept == []


events = st.sampled_from(list("abcde"))
random_triggers = st.lists(st.tuples(st.sets(events, min_size=1, max_size=2), st.sets(events, max_size=2)), max_size=8)


@settings(deadline=None)
@given(random_triggers, st.data())
def test_what_is_kept_has_no_cycle_and_what_is_refused_would_close_one(
    shapes: list[tuple[set[str], set[str]]], data: st.DataObject
) -> None:
    wanted = [loaded(f"t{n}", " ".join(reads), " ".join(emits), line=n) for n, (reads, emits) in enumerate(shapes)]
    in_force = tuple(without_cycles((), data.draw(st.lists(st.sampled_from(wanted), unique=True)) if wanted else [])[0])
    kept, errors = without_cycles(in_force, wanted)
    assert not has_cycle([sourced.trigger for sourced in kept])
    assert set(in_force) <= set(kept)
    refused = {error.trigger for error in errors}
    assert refused | {sourced.trigger.identity for sourced in kept} == {
        wanted_trigger.trigger.identity for wanted_trigger in wanted
    }
    for wanted_trigger in wanted:
        if wanted_trigger.trigger.identity in refused:
            assert has_cycle([*(other.trigger for other in kept), wanted_trigger.trigger])


def has_cycle(triggers: list[Trigger]) -> bool:
    """Tell whether something leads round, by taking out what leads nowhere until nothing changes."""
    left = list(triggers)
    while True:
        stay = [trigger for trigger in left if any(set(trigger.run.emits) & set(other.events) for other in left)]
        if len(stay) == len(left):
            return bool(left)
        left = stay


TEXT = """\
apiVersion: flowbridge.dev/v1
kind: Trigger
metadata: {{name: {name}}}
spec:
  events: [{{name: {reads}}}]
  run: {{workflowTemplate: w, emits: [{emits}]}}
"""


def test_a_file_that_closes_a_cycle_leaves_the_others_in_force(tmp_path: Path) -> None:
    (tmp_path / "b.yaml").write_text(TEXT.format(name="b", reads="x", emits="y"))
    source = AllSources([FileSource([tmp_path], "ns")])
    before = source.read({})
    (tmp_path / "a.yaml").write_text(TEXT.format(name="a", reads="y", emits="x"))
    after = source.read({trigger.trigger.identity: trigger for trigger in before.triggers})
    assert [trigger.trigger.name for trigger in after.triggers] == ["b"]
    assert [(error.trigger, error.origin.file) for error in after.errors] == [("ns/a", str(tmp_path / "a.yaml"))]


class Given(TriggerSource):
    """A source that holds what it is given."""

    def __init__(self, *triggers: LoadedTrigger) -> None:
        self._triggers = triggers

    def read(self, in_force: Mapping[str, LoadedTrigger]) -> Sources:
        del in_force
        return Sources(self._triggers, ())


def test_triggers_of_other_sources_may_be_part_of_a_cycle(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(TEXT.format(name="a", reads="y", emits="x"))
    other = LoadedTrigger(loaded("b", "x", "y").trigger, Origin("Sensor ns/b"))
    after = AllSources([FileSource([tmp_path], "ns"), Given(other)]).read({"ns/b": other})
    assert after.triggers == [other]
    assert "ns/a causes 'x', which starts ns/b, which causes 'y', which starts ns/a" in after.errors[0].found
