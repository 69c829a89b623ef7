"""The promises of run_identity."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.runs.identity import BadTemplateNameError, RunIdentity, workflow_name

text = st.text(max_size=12)
identities = st.builds(RunIdentity, text, text, text, st.lists(text, min_size=1, max_size=3).map(tuple), text)
templates = st.from_regex(r"[a-z0-9]([-.a-z0-9]{0,80}[a-z0-9])?", fullmatch=True)


@given(identities, identities)
def test_two_runs_share_a_key_only_if_they_are_the_same_run(identity: RunIdentity, other: RunIdentity) -> None:
    assert (identity.run_key() == other.run_key()) == (identity == other)


def test_parts_do_not_run_into_each_other() -> None:
    joined = RunIdentity("fb.", "ml/refresh", "ab", ("c",))
    split = RunIdentity("fb.", "ml/refresh", "a", ("bc",))
    assert joined.run_key() != split.run_key()


def test_a_replay_with_an_id_makes_other_runs() -> None:
    live = RunIdentity("fb.", "ml/refresh", "c-7", ("orders:o-1",))
    again = RunIdentity("fb.", "ml/refresh", "c-7", ("orders:o-1",), replay="may-backfill")
    assert live.run_key() != again.run_key()


@given(templates, identities)
def test_every_run_has_a_name_that_argo_accepts(template: str, identity: RunIdentity) -> None:
    name = workflow_name(template, identity.run_key())
    assert len(name) <= 63
    assert re.fullmatch(r"[a-z0-9]([-.a-z0-9]*[a-z0-9])?", name)


@pytest.mark.parametrize("name", ["", "Refresh", "-refresh", "refresh_model", "refresh."])
def test_a_bad_template_name_is_named_in_the_error(name: str) -> None:
    with pytest.raises(BadTemplateNameError, match=re.escape(repr(name))):
        workflow_name(name, "a" * 52)
