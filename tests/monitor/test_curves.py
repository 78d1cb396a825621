"""curves.png: that it is drawn, of what, quickly, whole, and that it never ends a run."""

from __future__ import annotations

import logging
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from caffepy.monitor import curve_picture, curves
from caffepy.monitor.curve_picture import History, draw, smooth
from caffepy.monitor.curves import Curves
from caffepy.monitor.metrics import Metrics
from caffepy.solver.observer import Snapshot
from tests.monitor import fake_run


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def has_colour(path, colour):
    """Whether a line of this colour is in the picture."""
    wanted = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    return (abs(pixels(path) - wanted).sum(axis=2) < 12).sum() > 40


def history(train=40, tests=True, accuracy=True, rate=0.01):
    found = History()
    for i in range(train):
        found.add_train(10 * i, fake_run.loss_at(10 * i), rate)
    for i in range(0, 401, 100) if tests else ():
        found.add_test(i, 0, 1.1 * fake_run.loss_at(i), {"accuracy": i / 500} if accuracy else {})
    return found


def test_a_run_is_drawn(tmp_path):
    watcher = Curves(tmp_path / "curves.png")
    fake_run.tell(watcher, fake_run.solver())
    assert (tmp_path / "curves.png").exists()
    assert list(watcher.history.iters) == [0, 100, 200]
    assert watcher.history.tests == {0: ([0, 100, 200, 300], [4.0, 2.0, pytest.approx(4 / 3), 1.0])}
    assert watcher.history.accuracies == {"accuracy": ([0, 100, 200, 300], [0.97] * 4)}


def test_what_a_killed_run_left_is_removed_at_the_start(tmp_path):
    (tmp_path / ".curves.png.0123abcd.tmp").write_bytes(b"part")
    Curves(tmp_path / "curves.png").on_begin(fake_run.solver())
    assert list(tmp_path.iterdir()) == []


def test_each_line_is_there_only_if_there_is_something_to_show(tmp_path):
    path = tmp_path / "c.png"
    draw(path, history(), "LeNet", 400)
    assert has_colour(path, curve_picture._TRAIN)
    assert has_colour(path, curve_picture._TEST)
    assert has_colour(path, curve_picture._ACCURACIES[0])
    whole = pixels(path).shape[0]
    draw(path, history(accuracy=False), "LeNet", 400)
    assert not has_colour(path, curve_picture._ACCURACIES[0])
    assert pixels(path).shape[0] < whole
    draw(path, history(tests=False), "LeNet", 400)
    assert not has_colour(path, curve_picture._TEST)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "given",
    [
        History(),
        history(train=0),
        history(train=1),
        history(rate=0.0),
        history(rate=float("nan")),
    ],
)
def test_odd_histories_are_drawn(tmp_path, given):
    draw(tmp_path / "c.png", given, "")
    assert pixels(tmp_path / "c.png").shape[1] == 990


@pytest.mark.filterwarnings("error")
def test_losses_that_are_no_numbers_or_negative(tmp_path):
    given = history()
    for loss in (float("nan"), float("inf"), -3.0, 1e30):
        given.add_train(500, loss, 1e-9)
    given.add_test(500, 1, float("nan"), {"accuracy": float("nan")})
    draw(tmp_path / "c.png", given, "$odd_title$ 100 %")
    assert pixels(tmp_path / "c.png").shape[1] == 990


def test_450000_iterations_take_less_than_a_second(tmp_path):
    given = History()
    for i in range(0, 450_000, 20):
        given.add_train(i, fake_run.loss_at(i), 0.01 * 0.1 ** (i // 100_000))
    for i in range(0, 450_001, 1000):
        given.add_test(i, 0, 2.0, {"accuracy": 0.5, "accuracy_5": 0.7})
    draw(tmp_path / "c.png", history(), "first: imports and fonts")
    spent = []
    for _ in range(3):
        began = time.process_time()
        draw(tmp_path / "c.png", given, "AlexNet", 450_000)
        spent.append(time.process_time() - began)
    assert min(spent) < 1


def test_a_resumed_run_shows_what_was_before(tmp_path):
    def watch(iteration, stop=None):
        metrics, watcher = Metrics(tmp_path / "m.jsonl"), Curves(tmp_path / "c.png", tmp_path / "m.jsonl")
        both = Both(metrics, watcher)
        fake_run.tell(both, fake_run.solver(iteration), stop)
        metrics.close()
        return watcher.history

    watch(0, stop=150)
    assert watch(100) == watch(0)


class Both:
    """Two observers in order."""

    def __init__(self, *observers):
        self.observers = observers

    def __getattr__(self, name):
        return lambda *given: [getattr(observer, name)(*given) for observer in self.observers]


def test_several_test_nets_are_told_apart():
    watcher = Curves("unused.png")
    watcher.on_begin(fake_run.solver(test_nets=2))
    watcher._add_test(100, 0, 1.0, {"accuracy": 0.5, "other": 3.0})
    watcher._add_test(100, 1, 2.0, {"accuracy": 0.6})
    assert set(watcher.history.tests) == {0, 1}
    assert set(watcher.history.accuracies) == {"accuracy (test net 0)", "accuracy (test net 1)"}


def test_a_failure_is_told_once_and_ends_nothing(tmp_path, caplog):
    watcher = Curves(tmp_path / "absent" / "curves.png")
    with caplog.at_level(logging.WARNING, "caffepy"):
        fake_run.tell(watcher, fake_run.solver())
    (record,) = caplog.records
    assert "cannot be drawn (the run goes on): FileNotFoundError" in record.getMessage()


def test_tests_in_quick_succession_are_not_all_drawn(tmp_path, monkeypatch):
    drawn, now = [], [100.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])

    def draw(*given):
        drawn.append(given)
        now[0] += 0.02

    monkeypatch.setattr(curves, "draw", draw)
    watcher = Curves(tmp_path / "curves.png")
    watcher.on_begin(fake_run.solver())
    for iteration in range(100, 1000, 100):
        fake_run.tell_test(watcher, iteration)
        now[0] += 0.01
    assert len(drawn) == 1
    now[0] += 0.5
    fake_run.tell_test(watcher, 1000)
    assert len(drawn) == 2


def test_a_run_without_tests_is_drawn_at_snapshots(monkeypatch):
    drawn = []
    monkeypatch.setattr(curves, "draw", lambda *given: drawn.append(given))
    watcher = Curves("unused.png")
    watcher.on_begin(fake_run.solver())
    watcher.on_snapshot(Snapshot(100, "x.caffemodel", "x.solverstate"))
    assert len(drawn) == 1


def test_the_old_picture_stays_until_the_new_one_is_whole(tmp_path, monkeypatch):
    from matplotlib.figure import Figure

    draw(tmp_path / "c.png", history(), "old")
    before = (tmp_path / "c.png").read_bytes()

    def fail(self, file, **given):
        file.write(b"part")
        raise OSError("disk full")

    monkeypatch.setattr(Figure, "savefig", fail)
    with pytest.raises(OSError, match="disk full"):
        draw(tmp_path / "c.png", history(), "new")
    assert (tmp_path / "c.png").read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["c.png"]


def test_smooth_is_the_mean_around():
    values = np.array([0.0, 3.0, 6.0, np.nan, 6.0])
    assert smooth(values, 3).tolist() == [1.5, 3.0, 4.5, 6.0, 6.0]
    assert smooth(values[:3], 1).tolist() == [0.0, 3.0, 6.0]
    assert np.isnan(smooth(np.full(4, np.nan), 3)).all()


def test_matplotlib_is_imported_only_to_draw_and_without_pyplot(tmp_path):
    code = (
        "import sys, caffepy.monitor.curves as c; assert 'matplotlib' not in sys.modules\n"
        "h = c.History(); h.add_train(0, 1.0, 0.1); c.draw(sys.argv[1], h, 'x')\n"
        "assert 'matplotlib' in sys.modules and 'matplotlib.pyplot' not in sys.modules"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "c.png")]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_matplotlib_is_imported_after_the_first_iteration(tmp_path):
    code = (
        "import sys, caffepy.monitor.curves as c; from tests.monitor import fake_run\n"
        "from caffepy.solver.observer import Display\n"
        "watcher = c.Curves(sys.argv[1]); watcher.on_begin(fake_run.solver())\n"
        "assert 'matplotlib' not in sys.modules\n"
        "watcher.on_display(Display(0, 1.0, 0.1, [], 0.0, 0, 0.0)); watcher._importing.join()\n"
        "assert 'matplotlib.figure' in sys.modules and 'matplotlib.pyplot' not in sys.modules"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "c.png")]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_that_matplotlib_is_missing_is_said_at_the_beginning(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    Curves(tmp_path / "c.png").on_begin(fake_run.solver())
    assert "cannot be drawn (the run goes on): ModuleNotFoundError: No module named 'matplotlib'" in caplog.text
