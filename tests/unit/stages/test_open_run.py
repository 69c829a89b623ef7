"""Where a run stands, and where it may go from there."""

from __future__ import annotations

import re
from itertools import product

import pytest

from bridge.stages import open_run
from bridge.stages.open_run import MOVES, OpenRun, Stands
from unit.stages.test_ledger_restoring import NOW, run


@pytest.mark.parametrize(("before", "after"), [*product(Stands, Stands)])
def test_a_run_makes_the_moves_of_the_table_and_no_other(before: Stands, after: Stands) -> None:
    one = OpenRun(run(1), 0, NOW, stands=before)
    if after in MOVES[before]:
        one.move(after)
        assert one.stands is after
    else:
        with pytest.raises(ValueError, match=f"is {before} and cannot become {after}"):
            one.move(after)


def test_the_table_in_the_documentation_is_the_table_of_the_code() -> None:
    rows = re.findall(r"^(\w+) +.+?  +([a-z, ]+)$", open_run.__doc__ or "", re.MULTILINE)
    told = {name: {word for word in after.split(", ") if word in list(Stands)} for name, after in rows}
    dropped = {Stands.DROPPED}
    expected = {str(stands): set(map(str, after - dropped)) for stands, after in MOVES.items()}
    assert {name: told[name] for name in ("queued", "asking", "begun", "sent", "doubtful")} == {
        name: expected[name] for name in ("queued", "asking", "begun", "sent", "doubtful")
    }
    assert expected["shelved"] == expected["ended"] == expected["dropped"] == set()
