"""Signals sent to a run in a process of its own: stop, snapshot, none, twice, too early, and kill -9."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading

import numpy as np
import pytest

from caffepy.cli.signals import Signals
from caffepy.monitor.metrics import read_metrics
from caffepy.solver.observer import End, Iteration
from tests.cli.test_train import strip, weights
from tests.monitor import fake_run

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")

TIMEOUT = 120


@pytest.fixture
def endless(project):
    """The project with a run too long to end by itself, and snapshots only when asked for."""
    text = (project / "solver.prototxt").read_text()
    text = (
        text.replace("max_iter: 40", "max_iter: 1000000").replace("snapshot: 20", "").replace("test_interval: 20", "")
    )
    (project / "solver.prototxt").write_text(
        text.replace("test_iter: 6", "").replace("stepsize: 30", "stepsize: 100000")
    )
    return project


def wait_for(process, text):
    """Read the log up to a line with ``text``; gives all lines read."""
    lines = []
    for line in process.stderr:
        lines.append(line)
        if text in line:
            return lines
    raise AssertionError(f"no '{text}' in:\n{''.join(lines)}")


def snapshots(folder):
    return sorted(int(entry.stem.rsplit("_", 1)[1]) for entry in folder.glob("out/tiny_iter_*.solverstate"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stop_with_a_snapshot(endless, start, number):
    process = start("train", "-solver=solver.prototxt", cwd=endless)
    wait_for(process, "Iteration 20 (")
    process.send_signal(number)
    _, rest = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 0
    (at,) = snapshots(endless)
    assert at > 20
    lines = [line.split("] ", 1)[1] for line in rest.splitlines()]
    end = lines.index("Optimization stopped early.")
    assert lines[end - 2 : end] == [
        f"Snapshotting to binary proto file out/tiny_iter_{at}.caffemodel",
        f"Snapshotting solver state to binary proto file out/tiny_iter_{at}.solverstate",
    ]
    assert any(line.startswith(f"{number.name}: stop after this iteration.") for line in lines)
    assert lines[-1] == "The same command with --resume auto goes on from here."


@pytest.mark.parametrize(("number", "flags"), [(signal.SIGHUP, []), (signal.SIGINT, ["-sigint_effect=snapshot"])])
def test_snapshot_and_go_on(endless, start, number, flags):
    process = start("train", "-solver=solver.prototxt", *flags, cwd=endless)
    wait_for(process, "Iteration 20 (")
    process.send_signal(number)
    wait_for(process, "Snapshotting solver state")
    assert len(snapshots(endless)) == 1
    wait_for(process, "(* 1 = ")
    process.send_signal(number)
    wait_for(process, "Snapshotting solver state")
    assert len(snapshots(endless)) == 2
    assert process.poll() is None


def test_none_and_stop_by_sighup(endless, start):
    process = start("train", "-solver=solver.prototxt", "-sigint_effect=none", "-sighup_effect=stop", cwd=endless)
    wait_for(process, "Iteration 20 (")
    process.send_signal(signal.SIGINT)
    wait_for(process, "Iteration 60 (")
    assert snapshots(endless) == []
    process.send_signal(signal.SIGHUP)
    process.communicate(timeout=TIMEOUT)
    assert process.returncode == 0
    assert len(snapshots(endless)) == 1


def test_kill_and_resume_gives_the_run_that_was_not_killed(project, start):
    text = (project / "solver.prototxt").read_text().replace("max_iter: 40", "max_iter: 100")
    (project / "solver.prototxt").write_text(text)
    command = ["train", "-solver=solver.prototxt", "-seed=4", "--resume=auto"]
    whole = start(*command, cwd=project)
    whole.communicate(timeout=TIMEOUT)
    assert whole.returncode == 0
    expected, metrics = weights(project / "out/tiny_iter_100.caffemodel"), strip(project / "out/metrics.jsonl")
    for file in (project / "out").iterdir():
        file.unlink()
    for _ in range(3):
        process = start(*command, cwd=project)
        wait_for(process, "Snapshotting solver state")
        wait_for(process, "(* 1 = ")
        process.kill()
        process.communicate(timeout=TIMEOUT)
    assert 0 < max(snapshots(project)) < 100
    process = start(*command, cwd=project)
    _, log = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 0
    assert "Resuming from out/tiny_iter_" in log
    assert np.array_equal(weights(project / "out/tiny_iter_100.caffemodel"), expected)
    assert strip(project / "out/metrics.jsonl") == metrics
    assert list(read_metrics(project / "out/metrics.jsonl"))


class Asked:
    """A solver that counts what it is asked for."""

    def __init__(self):
        self.stops = self.snapshots = 0

    def request_stop(self):
        self.stops += 1

    def request_snapshot(self):
        self.snapshots += 1


def test_a_second_ctrl_c_ends_at_once():
    solver = Asked()
    with Signals("stop", "snapshot") as signals:
        signals.on_begin(solver)
        signal.raise_signal(signal.SIGINT)
        assert (solver.stops, signals.stopping) == (1, True)
        signal.raise_signal(signal.SIGTERM)
        assert solver.stops == 2
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_ctrl_c_before_the_run_ends_at_once():
    with Signals("stop", "snapshot"), pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_sigterm_before_the_run_ends_the_process():
    code = (
        "import signal; from caffepy.cli.signals import Signals\n"
        "with Signals('stop', 'snapshot'): signal.raise_signal(signal.SIGTERM); print('still here')"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=TIMEOUT)
    assert (done.returncode, done.stdout) == (-signal.SIGTERM, "")


def test_handlers_come_back_and_other_threads_go_without():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    with Signals("stop", "snapshot"):
        assert signal.getsignal(signal.SIGINT) != before[0]
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == before
    seen = []

    def elsewhere():
        with Signals("stop", "snapshot"):
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert seen == before[:1]


def test_the_answer_on_a_terminal_is_at_once(capfd, caplog):
    with Signals("snapshot", "none", terminal=True) as signals, caplog.at_level("INFO", "caffepy"):
        signals.on_begin(Asked())
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGHUP)
        assert capfd.readouterr().err == "\r\x1b[KSIGINT: snapshot after this iteration.\n"
        assert not caplog.records
        signals.on_iteration(Iteration(0, fake_run.loss_at(0)))
        assert [record.getMessage() for record in caplog.records] == ["SIGINT: snapshot after this iteration."]


def test_a_stop_in_the_middle_of_a_test_is_in_the_log(caplog):
    """No iteration follows it."""
    signals = Signals("stop", "snapshot")
    signals.on_begin(fake_run.solver())
    signals._note("SIGTERM: stop after this iteration.")
    with caplog.at_level("INFO", "caffepy"):
        signals.on_end(End(3, True))
    assert [record.getMessage() for record in caplog.records] == ["SIGTERM: stop after this iteration."]
