"""The promises of run_identity."""

import base64
import hashlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.runs.identity import BadTemplateNameError, run_digest, run_key_of, run_keys, workflow_name

text = st.text(max_size=12)
identities = st.tuples(text, text, text, st.lists(text, min_size=1, max_size=3).map(tuple), text)
Identity = tuple[str, str, str, tuple[str, ...], str]
templates = st.from_regex(r"[a-z0-9]([-.a-z0-9]{0,80}[a-z0-9])?", fullmatch=True)


@given(identities, identities)
def test_two_runs_share_a_key_only_if_they_are_the_same_run(identity: Identity, other: Identity) -> None:
    assert (run_key_of(*identity) == run_key_of(*other)) == (identity == other)


def test_parts_do_not_run_into_each_other() -> None:
    joined = run_key_of("fb.", "ml/refresh", "ab", ("c",))
    split = run_key_of("fb.", "ml/refresh", "a", ("bc",))
    assert joined != split


def test_a_replay_with_an_id_makes_other_runs() -> None:
    live = run_key_of("fb.", "ml/refresh", "c-7", ("orders:o-1",))
    again = run_key_of("fb.", "ml/refresh", "c-7", ("orders:o-1",), replay="may-backfill")
    assert live != again


@given(templates, identities)
def test_every_run_has_a_name_that_argo_accepts(template: str, identity: Identity) -> None:
    name = workflow_name(template, run_key_of(*identity))
    assert len(name) <= 63
    assert re.fullmatch(r"[a-z0-9]([-.a-z0-9]*[a-z0-9])?", name)


@pytest.mark.parametrize("name", ["", "Refresh", "-refresh", "refresh_model", "refresh."])
def test_a_bad_template_name_is_named_in_the_error(name: str) -> None:
    with pytest.raises(BadTemplateNameError, match=re.escape(repr(name))):
        workflow_name(name, "a" * 52)


@given(st.lists(st.binary(min_size=32, max_size=32), max_size=150))
def test_many_keys_are_written_as_base32_at_once(digests: list[bytes]) -> None:
    assert run_keys(digests) == [base64.b32encode(digest).decode().rstrip("=").lower() for digest in digests]


PARTS = (
    st.text(max_size=12) | st.text(st.characters(codec="ascii"), max_size=300) | st.sampled_from(["a" * 127, "é" * 64])
)


@given(PARTS, PARTS, PARTS, st.lists(PARTS, min_size=1, max_size=6), PARTS)
def test_a_key_is_the_digest_of_all_parts_each_behind_its_length(
    installation: str, trigger: str, key: str, match: list[str], replay: str
) -> None:
    digest = hashlib.sha256()
    for part in (installation, trigger, key, replay, *match):
        digest.update(len(part.encode()).to_bytes(8, "big") + part.encode())
    assert run_digest(installation, trigger, key, match, replay) == digest.digest()
