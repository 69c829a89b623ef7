"""Sensors of the test flows, for tests that put them on a cluster in memory."""

from __future__ import annotations

import copy
from functools import cache
from typing import Any

from flows.bed.fixtures import NAMESPACE, fixture


@cache
def _read(form: str) -> dict[str, Any]:
    return fixture(form)


def sensor_of(form: str, name: str | None = None, namespace: str = NAMESPACE) -> dict[str, Any]:
    """Return a Sensor of the test's own."""
    plain: dict[str, Any] = copy.deepcopy(_read(form)["sensor"])
    plain["metadata"] |= {"namespace": namespace} | ({"name": name} if name else {})
    plain["spec"]["triggers"][0]["template"]["k8s"]["source"]["resource"]["metadata"]["namespace"] = namespace
    return plain


def broken(form: str) -> dict[str, Any]:
    """Return a Sensor that no trigger can be made of."""
    plain = sensor_of(form)
    plain["spec"]["triggers"][0]["template"]["k8s"]["operation"] = "delete"
    return plain
