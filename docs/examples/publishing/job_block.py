"""A job of cron whose end is an event: the run is the day that the job is for."""

import sys

from flowbridge_sdk import JobEvent, publishes

day = sys.argv[1]  # such as 2026-01-31

with JobEvent("sales.loaded", run=("load-sales", day)) as event:
    rows = [12.5, 7.0]
    event.add_to_payload("day", day).add_to_payload("rows", len(rows))


@publishes("sales.summed", run=lambda day, _: ("sum-sales", day))
def sum_sales(day: str, amounts: list[float]) -> float:
    total = sum(amounts)
    JobEvent.current().add_to_payload("day", day).add_to_payload("total", total)
    return total


print(sum_sales(day, rows))
