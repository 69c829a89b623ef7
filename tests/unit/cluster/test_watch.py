"""The promises of a watch: whatever an API server answers, only a whole list and a real change say anything."""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

import pytest
from kubernetes.client import ApiClient, Configuration

from bridge.cluster import watch as watch_module
from bridge.cluster.api_server import ApiServer
from bridge.cluster.responses import Plain
from bridge.cluster.watch import Away, Change, Listing, Watch
from bridge.triggers.sensors.kubernetes import named_sensor

DEADLINE = 10.0


class Answer(NamedTuple):
    """One answer of the server: a status, a body, and whether it promises more than it sends."""

    status: int
    body: bytes
    cut: bool = False


class Server(ThreadingHTTPServer):
    """Answers lists and watches by a script; when that is at its end, watches stay open and silent.

    Attributes:
        lists: Answers to lists, in order; the last one stays.
        watches: Answers to watches, in order.
        asked: The queries of all requests.

    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.lists: deque[Answer] = deque()
        self.watches: deque[Answer] = deque()
        self.asked: list[str] = []
        self.over = threading.Event()

    def answer(self, query: str) -> Answer | None:
        """Return the next answer of the script; None at the end of a watch's."""
        self.asked.append(query)
        if "watch=true" in query:
            return self.watches.popleft() if self.watches else None
        return self.lists.popleft() if len(self.lists) > 1 else self.lists[0]


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    def do_GET(self) -> None:
        """Answer by the script."""
        assert isinstance(self.server, Server)
        answer = self.server.answer(self.path.partition("?")[2])
        if answer is None:
            self.send_response(200)
            self.end_headers()
            self.wfile.flush()
            self.server.over.wait(DEADLINE)
            return
        self.send_response(answer.status)
        if answer.cut or "watch=true" not in self.path:
            self.send_header("Content-Length", str(len(answer.body) + (100 if answer.cut else 0)))
        self.end_headers()
        self.wfile.write(answer.body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.over.set()
        server.shutdown()


@pytest.fixture
def watch(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], Watch[Plain]]]:
    """Start to watch."""
    monkeypatch.setattr(watch_module, "_RETRY_SECONDS", 0.01)
    settings = Configuration()
    settings.host = f"http://127.0.0.1:{server.server_port}"
    started: list[Watch[Plain]] = []

    def start(*, only_metadata: bool = False) -> Watch[Plain]:
        server = ApiServer(ApiClient(settings))
        started.append(Watch(server, "/sensors", {"app": "x"}, named_sensor, only_metadata=only_metadata))
        return started[-1]

    yield start
    for watch in started:
        watch.stop()


def sensor(name: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "jobs", "resourceVersion": "7"}}


def listing(*names: str, **metadata: str) -> bytes:
    return json.dumps({"metadata": {"resourceVersion": "5", **metadata}, "items": [*map(sensor, names)]}).encode()


def line(kind: str, thing: Any) -> bytes:
    return json.dumps({"type": kind, "object": thing}).encode() + b"\n"


def taken(watch: Watch[Plain], number: int) -> list[Listing[Plain] | Change[Plain]]:
    """Return the news once there are so many; troubles in between are passed over."""
    news: list[Listing[Plain] | Change[Plain]] = []
    until(
        lambda: news.extend(batch) if not isinstance(batch := watch.take(), Away) else None,
        lambda: len(news) >= number,
    )
    return news


def trouble(watch: Watch[Plain]) -> str:
    """Return what is wrong once something is; nothing may have come before."""
    reasons: list[str] = []

    def look() -> None:
        found = watch.take()
        assert isinstance(found, Away) or not found
        if isinstance(found, Away):
            reasons.append(found.reason)

    until(look, lambda: bool(reasons))
    return reasons[0]


def until(look: Callable[[], object], holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not holds():
        assert time.monotonic() < deadline, "waited in vain"
        look()
        time.sleep(0.005)


def names(news: list[Listing[Plain] | Change[Plain]]) -> list[Any]:
    return [
        [sensor["metadata"]["name"] for sensor in each.objects]
        if isinstance(each, Listing)
        else (each.kind, each.object["metadata"]["name"])
        for each in news
    ]


def test_a_list_comes_first_and_then_what_changes(server: Server, watch: Callable[[], Watch[Plain]]) -> None:
    server.lists.append(Answer(200, listing("a", "b")))
    server.watches.append(Answer(200, line("ADDED", sensor("c")) + line("DELETED", sensor("a"))))
    server.watches.append(Answer(200, line("BOOKMARK", sensor("")) + line("MODIFIED", sensor("b"))))
    assert names(taken(watch(), 4)) == [["a", "b"], ("put", "c"), ("deleted", "a"), ("put", "b")]
    assert sum("watch" not in query for query in server.asked) == 1


@pytest.mark.parametrize(
    "answer",
    [
        Answer(200, listing("a"), cut=True),
        Answer(200, listing("a")[:40]),
        Answer(200, b'{"metadata": {"resourceVersion": "5"}, "items": [{"metadata": {}}]}'),
        Answer(200, b'{"metadata": {"resourceVersion": "5"}, "items": null}'),
        Answer(200, b"[]"),
        Answer(200, b'{"metadata": []}'),
        Answer(404, b"404 page not found"),
        Answer(403, b'{"message": "sensors is forbidden"}'),
        Answer(410, b'{"message": "gone"}'),
        Answer(503, b""),
    ],
)
def test_what_is_no_whole_list_says_nothing_of_any_sensor(
    answer: Answer, server: Server, watch: Callable[[], Watch[Plain]]
) -> None:
    server.lists += [answer, Answer(200, listing("b"))]
    opened = watch()
    assert trouble(opened)
    assert names(taken(opened, 1)) == [["b"]]


@pytest.mark.parametrize(
    ("answer", "is_lasting"),
    [
        (Answer(403, b'{"message": "forbidden"}'), True),
        (Answer(200, b'{"metadata": {}}'), True),
        (Answer(503, b""), False),
        (Answer(429, b""), False),
    ],
)
def test_what_does_not_pass_by_itself_is_told_from_an_outage(
    server: Server, watch: Callable[..., Watch[Plain]], *, answer: Answer, is_lasting: bool
) -> None:
    server.lists.append(answer)
    opened = watch()
    found: list[object] = []
    until(lambda: found.append(opened.take()), lambda: isinstance(found[-1], Away) if found else False)
    away = found[-1]
    assert isinstance(away, Away)
    assert away.is_lasting is is_lasting


def test_a_list_of_metadata_alone_may_be_null_where_there_is_no_object(
    server: Server, watch: Callable[..., Watch[Plain]]
) -> None:
    server.lists.append(Answer(200, b'{"metadata": {"resourceVersion": "5"}, "items": null}'))
    assert names(taken(watch(only_metadata=True), 1)) == [[]]


@pytest.mark.parametrize(
    "ending",
    [
        Answer(410, b"{}"),
        Answer(200, line("ERROR", {"code": 410, "message": "too old resource version"})),
    ],
)
def test_what_the_server_has_forgotten_is_listed_anew(
    ending: Answer, server: Server, watch: Callable[[], Watch[Plain]]
) -> None:
    server.lists += [Answer(200, listing("a")), Answer(200, listing("b"))]
    server.watches.append(ending)
    opened = watch()
    assert names(taken(opened, 1)) in ([["a"]], [["b"]])
    until(lambda: None, lambda: sum("watch" not in query for query in server.asked) == 2)


@pytest.mark.parametrize(
    "ending",
    [
        Answer(200, b"no json\n"),
        Answer(200, b"[1]\n"),
        Answer(200, line("ERROR", "a text")),
        Answer(200, b"[" * 100_000 + b"\n"),
        Answer(200, line("ADDED", {"metadata": {"resourceVersion": "9"}})),
        Answer(200, line("ERROR", {"code": 500, "message": "etcd is away"})),
        Answer(200, line("ADDED", sensor("c"))[:-1], cut=True),
        Answer(500, b"{}"),
    ],
)
def test_a_watch_that_breaks_goes_on_where_it_was(
    ending: Answer, server: Server, watch: Callable[[], Watch[Plain]]
) -> None:
    server.lists.append(Answer(200, listing("a")))
    server.watches += [ending, Answer(200, line("ADDED", sensor("d")))]
    assert names(taken(watch(), 2)) == [["a"], ("put", "d")]
    assert sum("watch" not in query for query in server.asked) == 1


def test_changes_that_nobody_takes_become_a_list(
    server: Server, watch: Callable[[], Watch[Plain]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch_module, "NEWS_LIMIT", 3)
    server.lists += [Answer(200, listing("a")), Answer(200, listing("b"))]
    server.watches.append(Answer(200, line("MODIFIED", sensor("a")) * 5))
    opened = watch()
    until(lambda: None, lambda: sum("watch" not in query for query in server.asked) == 2)
    assert names(taken(opened, 1)) == [["b"]]


def test_a_long_list_is_read_in_pages(server: Server, watch: Callable[[], Watch[Plain]]) -> None:
    server.lists += [Answer(200, listing("a", **{"continue": "more"})), Answer(200, listing("b"))]
    assert names(taken(watch(), 1)) == [["a", "b"]]
    assert [("continue=more" in query, "limit=500" in query) for query in server.asked[:2]] == [
        (False, True),
        (True, True),
    ]


def test_a_list_that_is_asked_for_comes_and_says_how_many_were_begun(
    server: Server, watch: Callable[[], Watch[Plain]]
) -> None:
    server.lists += [Answer(200, listing("a")), Answer(200, listing("b"))]
    opened = watch()
    first = taken(opened, 1)
    begun = opened.lists_begun
    opened.list_again()
    (second,) = taken(opened, 1)
    assert names([*first, second]) == [["a"], ["b"]]
    assert isinstance(second, Listing)
    assert second.number == begun + 1
