"""A line of the table shows the median, the span and the processor time of a record, and judges the median."""

from __future__ import annotations

import pytest

from bench.figures import HEAD, Figure, at_least, at_most, percentile, ratios


def test_a_line_shows_median_span_processor_time_and_rounds() -> None:
    figure = Figure("router", "/s", [90.0, 2_000.0, 100.0], at_least(100, "100/s"), cpu=[9.0, 12.0, 40.0])
    assert figure.row() == "| router | 100 /s | 90.0 … 2,000 | 12.0 µs | 3 | ≥ 100/s ✓ |"


def test_a_line_has_a_cell_for_each_column_whatever_was_measured() -> None:
    columns = HEAD.splitlines()[0].count("|")
    for figure in (Figure("a", "/s", [1.0]), Figure("b", "%", [1.0, 2.0], at_most(1, "1 %"), max, [3.0])):
        assert figure.row().count("|") == columns


def test_the_median_is_judged_and_not_the_best_round() -> None:
    assert Figure("rate", "/s", [10.0, 10.0, 500.0], at_least(100, "100/s")).row().endswith("✗ |")
    assert Figure("time", "s", [10.0, 10.0, 1.0], at_most(5, "5 s")).row().endswith("✗ |")


def test_a_ratio_compares_clients_of_the_same_round() -> None:
    assert ratios([50.0, 30.0], [100.0, 120.0]) == [50.0, 25.0]
    with pytest.raises(ValueError, match="longer"):
        ratios([50.0], [100.0, 120.0])


def test_a_percentile_is_a_sample() -> None:
    samples = [float(number) for number in range(1, 101)]
    assert (percentile(samples, 0.5), percentile(samples, 0.99), percentile([7.0], 0.99)) == (51.0, 100.0, 7.0)
