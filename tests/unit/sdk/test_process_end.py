"""A process that ends without closing its publisher loses nothing silently: by itself, forked, pooled, interrupted."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from confluent_kafka import Consumer, TopicPartition

from flowbridge_sdk import NotConnectedError, Publisher, SettingsError
from flowbridge_sdk.codec import Decoder
from flowbridge_sdk.delivery.process_end import LOST_EXIT_CODE

NOWHERE = "127.0.0.1:1"  # a port that only a privileged process could open
PUBLISHER = "import flowbridge_sdk, sys\npublisher = flowbridge_sdk.Publisher(sys.argv[1], config={})\n"


def _ends(script: Path, text: str, *arguments: str, config: str = "{}") -> tuple[int, str]:
    """Run ``text`` after the making of a global publisher; return its exit code and what it wrote to stderr."""
    script.write_text(PUBLISHER.replace("{}", config) + text)
    done = subprocess.run(
        [sys.executable, str(script), *arguments], timeout=60, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stderr


def _numbers(bootstrap: str, topic: str, expected: int) -> list[int]:
    """Return field ``n`` of each event of ``topic``, in order, once there are ``expected`` of them."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": topic, "log_level": 0})
    partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
    consumer.assign([TopicPartition(topic, partition, 0) for partition in partitions])
    numbers: list[int] = []
    give_up = time.monotonic() + 10
    while len(numbers) < expected and time.monotonic() < give_up:
        message = consumer.poll(0.2)
        if message is not None and message.error() is None:
            numbers.append(Decoder().decode(topic, message.value())["n"])
    consumer.close()
    return sorted(numbers)


FORKED = """
import multiprocessing, time
methods = multiprocessing.get_context(sys.argv[2])
def publish(n):
    publisher.publish(sys.argv[3], {"n": n})
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_child_of_multiprocessing_that_closes_nothing_publishes_all(
    method: str, bootstrap: str, tmp_path: Path
) -> None:
    run = """
if __name__ == "__main__":
    publisher.publish(sys.argv[3], {"n": 0})
    publisher.flush()  # a fork while a thread looks up an address leaves a child that reaches nothing (docs/sdk.md)
    children = [methods.Process(target=publish, args=(n,)) for n in range(1, 4)]
    for child in children: child.start()
    for child in children: child.join()
    sys.exit(max(child.exitcode for child in children))
"""
    code, said = _ends(tmp_path / "job.py", FORKED + run, bootstrap, method, f"end.{method}")
    assert (code, said) == (0, "")
    assert _numbers(bootstrap, f"end.{method}", 4) == [0, 1, 2, 3]


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_pool_that_terminates_its_workers_loses_none_of_their_events(
    method: str, bootstrap: str, tmp_path: Path
) -> None:
    run = """
if __name__ == "__main__":
    with methods.Pool(2) as pool:
        pool.map(publish, range(500))
"""
    code, said = _ends(
        tmp_path / "job.py", FORKED + run, bootstrap, method, f"pool.{method}", config='{"linger.ms": 300}'
    )
    assert (code, said) == (0, "")
    assert _numbers(bootstrap, f"pool.{method}", 500) == list(range(500))


def test_workers_of_an_executor_publish_all(bootstrap: str, tmp_path: Path) -> None:
    run = """
from concurrent.futures import ProcessPoolExecutor
if __name__ == "__main__":
    with ProcessPoolExecutor(2, mp_context=methods) as executor:
        list(executor.map(publish, range(100)))
"""
    code, said = _ends(tmp_path / "job.py", FORKED + run, bootstrap, "fork", "end.executor")
    assert (code, said) == (0, "")
    assert _numbers(bootstrap, "end.executor", 100) == list(range(100))


def test_a_child_that_its_parent_terminates_ends_by_that_signal_after_its_events_are_sent(
    bootstrap: str, tmp_path: Path
) -> None:
    run = """
def publish_and_wait(ready):
    publish(7)
    ready.set()
    time.sleep(60)
if __name__ == "__main__":
    ready = methods.Event()
    child = methods.Process(target=publish_and_wait, args=(ready,))
    child.start()
    ready.wait(20)
    child.terminate()
    child.join()
    sys.exit(-child.exitcode)
"""
    code, said = _ends(
        tmp_path / "job.py", FORKED + run, bootstrap, "fork", "end.terminated", config='{"linger.ms": 300}'
    )
    assert (code, said) == (signal.SIGTERM, "")
    assert _numbers(bootstrap, "end.terminated", 1) == [7]


def test_a_child_that_is_terminated_just_before_it_waits_for_ever_ends_all_the_same(
    bootstrap: str, tmp_path: Path
) -> None:
    """A signal that another thread takes leaves the main thread waiting, as one does that comes a moment too early."""
    run = """
import threading, signal
def publish_and_wait():
    publish(7)
    threading.Timer(0.2, signal.raise_signal, (signal.SIGTERM,)).start()
    methods.Semaphore(0).acquire()
if __name__ == "__main__":
    child = methods.Process(target=publish_and_wait)
    child.start()
    child.join(20)
    if child.exitcode is None: child.kill()
    child.join()
    sys.exit(-child.exitcode)
"""
    code, said = _ends(tmp_path / "job.py", FORKED + run, bootstrap, "fork", "end.deaf", config='{"linger.ms": 300}')
    assert (code, said) == (signal.SIGTERM, "")
    assert _numbers(bootstrap, "end.deaf", 1) == [7]


@pytest.mark.parametrize("end", ["begins", "runs finalizers", "waits for its own children"])
def test_a_child_that_is_terminated_while_it_ends_by_itself_publishes_all(
    end: str, bootstrap: str, tmp_path: Path
) -> None:
    """A pool tells its workers to end, and terminates those that have not ended yet: some are just about to."""
    run = """
import os, signal, threading
from multiprocessing import util
def terminate():
    os.kill(os.getpid(), signal.SIGTERM)
def terminate_where_the_end_begins(frame, event, _):
    if event == "call" and frame.f_code is util._exit_function.__code__:
        sys.setprofile(None)
        terminate()
def publish_and_end(end):
    publish(7)
    match end:
        case "begins": sys.setprofile(terminate_where_the_end_begins)
        case "runs finalizers": util.Finalize(None, terminate, exitpriority=0)
        case _:
            methods.Process(target=outlive_parent).start()
            util.Finalize(None, threading.Timer(0.2, terminate).start, exitpriority=0)
def outlive_parent():
    multiprocessing.parent_process().join()
if __name__ == "__main__":
    child = methods.Process(target=publish_and_end, args=(sys.argv[4],))
    child.start()
    child.join(20)
    if child.exitcode is None: child.kill()
    child.join()
    sys.exit(-child.exitcode)
"""
    topic = f"end.{end.replace(' ', '.')}"
    code, said = _ends(tmp_path / "job.py", FORKED + run, bootstrap, "fork", topic, end, config='{"linger.ms": 300}')
    assert (code, said) == (signal.SIGTERM, "")
    assert _numbers(bootstrap, topic, 1) == [7]


@pytest.mark.parametrize("flushed_by", ["publisher.close", "drop"])
def test_a_child_that_is_terminated_while_it_flushes_says_what_is_lost(flushed_by: str, tmp_path: Path) -> None:
    run = f"""
import os, signal, threading
from multiprocessing import util
def drop():
    global publisher
    del publisher
def publish_and_end():
    publish(7)
    timer = threading.Timer(0.4, os.kill, (os.getpid(), signal.SIGTERM))
    timer.daemon = True
    timer.start()
    util.Finalize(None, {flushed_by}, exitpriority=0)
if __name__ == "__main__":
    child = methods.Process(target=publish_and_end)
    child.start()
    child.join()
    sys.exit(child.exitcode)
"""
    config = '{"delivery.timeout.ms": 1200}'
    code, said = _ends(tmp_path / "job.py", FORKED + run, NOWHERE, "fork", "order.created", config=config)
    assert "the process ended while a publisher was flushed: 1 events were not delivered" in said
    assert code == LOST_EXIT_CODE


def test_a_child_may_terminate_children_of_its_own(bootstrap: str, tmp_path: Path) -> None:
    run = """
def have_a_child(codes):
    publish(7)
    ends = set()
    for _ in range(50):  # a signal that comes in the middle of a fork counts, too
        own = methods.Process(target=time.sleep, args=(60,))
        own.start()
        own.terminate()
        own.join()
        ends.add(own.exitcode)
    codes.put(ends)
    publish(8)
if __name__ == "__main__":
    codes = methods.SimpleQueue()
    child = methods.Process(target=have_a_child, args=(codes,))
    child.start()
    child.join()
    print(child.exitcode, codes.get(), file=sys.stderr)
"""
    code, said = _ends(tmp_path / "job.py", FORKED + run, bootstrap, "fork", "end.grandchild")
    assert (code, said) == (0, f"0 {{{-signal.SIGTERM}}}\n")
    assert _numbers(bootstrap, "end.grandchild", 2) == [7, 8]


@pytest.mark.skipif(sys.version_info >= (3, 13), reason="threads end before finalizers run there")
def test_a_child_that_waits_for_a_thread_after_its_flush_can_be_terminated(bootstrap: str, tmp_path: Path) -> None:
    run = """
import threading
from multiprocessing import util
def leave_a_thread(flushed):
    publish(7)
    threading.Thread(target=time.sleep, args=(50,)).start()
    util.Finalize(None, flushed.set, exitpriority=-2000)
if __name__ == "__main__":
    flushed = methods.Event()
    child = methods.Process(target=leave_a_thread, args=(flushed,))
    child.start()
    flushed.wait(20)
    child.terminate()
    child.join(20)
    if child.exitcode is None: child.kill()
    child.join()
    sys.exit(-child.exitcode)
"""
    assert _ends(tmp_path / "job.py", FORKED + run, bootstrap, "fork", "end.thread") == (signal.SIGTERM, "")
    assert _numbers(bootstrap, "end.thread", 1) == [7]


def test_a_child_of_multiprocessing_that_loses_events_says_so_and_fails(tmp_path: Path) -> None:
    run = """
if __name__ == "__main__":
    child = methods.Process(target=publish, args=(1,))
    child.start()
    child.join()
    sys.exit(child.exitcode)
"""
    code, said = _ends(
        tmp_path / "job.py", FORKED + run, NOWHERE, "fork", "order.created", config='{"delivery.timeout.ms": 300}'
    )
    assert code == LOST_EXIT_CODE
    assert "1 events were not delivered" in said


def test_a_childs_own_error_is_not_hidden_by_lost_events(tmp_path: Path) -> None:
    run = """
def publish_and_fail():
    publish(1)
    raise KeyError("the job's own")
if __name__ == "__main__":
    child = methods.Process(target=publish_and_fail)
    child.start()
    child.join()
    sys.exit(child.exitcode)
"""
    code, said = _ends(
        tmp_path / "job.py", FORKED + run, NOWHERE, "fork", "order.created", config='{"delivery.timeout.ms": 300}'
    )
    assert code == (1 if sys.version_info < (3, 13) else LOST_EXIT_CODE)
    assert "the job's own" in said
    assert "1 events were not delivered" in said


def test_a_forked_child_whose_end_nothing_tells_of_waits_in_publish(bootstrap: str, tmp_path: Path) -> None:
    run = """
import os
child = os.fork()
if child == 0:
    publisher.publish(sys.argv[2], {"n": 1})
    os._exit(0)
os.waitpid(child, 0)
"""
    assert _ends(tmp_path / "job.py", run, bootstrap, "end.raw")[0] == 0
    assert _numbers(bootstrap, "end.raw", 1) == [1]


def test_a_loss_of_a_publisher_that_nobody_closed_is_the_exit_code(tmp_path: Path) -> None:
    run = """
import atexit
atexit.register(print, "others still run at exit", file=sys.stderr)
file = open(sys.argv[2], "w")
file.write("kept")
publisher.publish("order.created", id="e-1")
"""
    kept = tmp_path / "kept"
    code, said = _ends(tmp_path / "job.py", run, NOWHERE, str(kept), config='{"delivery.timeout.ms": 300}')
    assert code == LOST_EXIT_CODE
    assert "order.created e-1: not acknowledged in time" in said
    assert "others still run at exit" in said
    assert kept.read_text() == "kept"


def test_a_program_that_fails_by_itself_keeps_its_exit_code(tmp_path: Path) -> None:
    run = 'publisher.publish("order.created")\nraise KeyError("the job\'s own")\n'
    code, said = _ends(tmp_path / "job.py", run, NOWHERE, config='{"delivery.timeout.ms": 300}')
    assert code == 1
    assert "1 events were not delivered" in said


CTRL_C_IN_HALF_A_SECOND = """
import os, signal, threading
timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
timer.daemon = True
timer.start()
"""


def test_ctrl_c_ends_a_close_at_once_and_says_what_waits(tmp_path: Path) -> None:
    run = f'for _ in range(700): publisher.publish("order.created")\n{CTRL_C_IN_HALF_A_SECOND}publisher.close()\n'
    code, said = _ends(tmp_path / "job.py", run, NOWHERE)
    assert code == -signal.SIGINT
    assert "SystemError" not in said
    assert "KeyboardInterrupt\n700 events are still in the publisher's buffer" in said


def test_ctrl_c_at_the_end_of_a_process_says_what_is_lost(tmp_path: Path) -> None:
    code, said = _ends(tmp_path / "job.py", f'publisher.publish("order.created")\n{CTRL_C_IN_HALF_A_SECOND}', NOWHERE)
    assert code == LOST_EXIT_CODE
    assert "0 events were not delivered, 1 are still in the buffer" in said
    assert "Traceback" not in said


def test_ctrl_c_while_failures_are_reported_is_a_keyboard_interrupt(tmp_path: Path) -> None:
    run = """
import os, signal, time
nothing = lambda *_: None  # in place of SIG_IGN, of which Python writes an error if a signal has just come
signal.signal(signal.SIGUSR1, nothing)
for _ in range(30_000): publisher.publish("order.created")
sender = os.fork()
if sender == 0:
    job = os.getppid()
    for _ in range(100):
        time.sleep(0.01)
        os.kill(job, signal.SIGUSR1)
    os._exit(0)
interrupted, lost = 0, None
while True:
    try:
        try:
            signal.signal(signal.SIGUSR1, signal.default_int_handler)
            publisher.flush(30)
        finally:
            signal.signal(signal.SIGUSR1, nothing)
    except (KeyboardInterrupt, flowbridge_sdk.NotDeliveredError) as error:
        lost = error
        while isinstance(lost, KeyboardInterrupt):
            interrupted += 1
            lost = lost.__context__  # what was being told when the signal came
    if isinstance(lost, flowbridge_sdk.NotDeliveredError):
        assert interrupted and lost.failed > 29_900, (interrupted, lost.failed)
        break
os.waitpid(sender, 0)  # Python takes its handlers away as it ends, and a signal after that would end the process
publisher.close()
"""

    code, said = _ends(tmp_path / "job.py", run, NOWHERE, config='{"delivery.timeout.ms": 500}')
    assert (code, "Error" in said) == (0, False), said


def test_an_outage_is_one_line(tmp_path: Path) -> None:
    run = """
import time
publisher.publish("order.created")
time.sleep(2)
try: publisher.close()
except flowbridge_sdk.NotDeliveredError: pass
"""
    code, said = _ends(tmp_path / "job.py", run, NOWHERE, config='{"delivery.timeout.ms": 2000}')
    assert code == 0
    assert said.count("\n") == 1
    assert said.startswith(f"Kafka at {NOWHERE}: ")
    assert "Connection refused" in said
    assert said.endswith("events wait, each at most 2 s\n")


def test_a_publisher_that_is_to_be_connected_says_within_that_time_that_it_is_not() -> None:
    begun = time.monotonic()
    with pytest.raises(NotConnectedError, match=r"answered within 1 s: .*Connection refused"):
        Publisher(NOWHERE, connect_within=1)
    assert 0.9 < time.monotonic() - begun < 5


def test_a_job_asks_for_a_connection_by_its_environment(bootstrap: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOWBRIDGE_CONNECT_WITHIN", "10")
    with Publisher(bootstrap) as publisher:
        publisher.publish("end.connected")
    monkeypatch.setenv("FLOWBRIDGE_CONNECT_WITHIN", "0.5")
    with pytest.raises(NotConnectedError):
        Publisher(NOWHERE)
    monkeypatch.setenv("FLOWBRIDGE_CONNECT_WITHIN", "soon")
    with pytest.raises(SettingsError, match="FLOWBRIDGE_CONNECT_WITHIN: expected a number of seconds, found 'soon'"):
        Publisher(NOWHERE)


def test_a_publisher_has_no_threads_until_it_publishes_so_a_fork_before_that_loses_nothing(
    bootstrap: str, tmp_path: Path
) -> None:
    """A fork while a thread of librdkafka looks up an address would leave the child a lock that nobody opens."""
    run = """
import os
assert len(os.listdir("/proc/self/task")) == 1, "threads"
for n in range(20):
    if os.fork() == 0:
        with publisher: publisher.publish(sys.argv[2], {"n": n})
        os._exit(0)
sys.exit(max(os.waitstatus_to_exitcode(os.wait()[1]) for _ in range(20)))
"""
    assert _ends(tmp_path / "job.py", run, bootstrap, "end.many") == (0, "")
    assert _numbers(bootstrap, "end.many", 20) == list(range(20))
