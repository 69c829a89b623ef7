"""``--compare`` takes a revision or a folder, and another checkout is measured by its own bench where it has one."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from bench.checkouts import ROOT, RevisionError, checkout
from bench.child import TESTS, bench_for


def worktrees() -> list[str]:
    done = subprocess.run(
        ["git", "worktree", "list", "--porcelain"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return sorted(line for line in done.stdout.splitlines() if "flowbridge-revision-" in line)


def test_a_folder_that_is_set_up_is_taken_as_it_is(tmp_path: Path) -> None:
    (tmp_path / ".venv").mkdir()
    with checkout(str(tmp_path)) as folder:
        assert folder == tmp_path


def test_an_unknown_revision_is_refused_by_its_name_and_leaves_nothing() -> None:
    before = worktrees()
    with pytest.raises(RevisionError, match="no-such-revision"), checkout("no-such-revision"):
        pytest.fail("it was set up")
    assert worktrees() == before


def test_another_checkout_is_measured_by_its_own_bench(tmp_path: Path) -> None:
    assert bench_for("stage", ROOT) == ROOT / "tests"
    assert bench_for("stage", tmp_path) == TESTS
    bench = tmp_path / "tests" / "bench"
    bench.mkdir(parents=True)
    (bench / "child.py").write_text('_CLIENTS = {\n    "stage": "bench.clients.stages:run_stage",\n}\n')
    assert bench_for("stage", tmp_path) == tmp_path / "tests"
    assert bench_for("publish", tmp_path) == TESTS
