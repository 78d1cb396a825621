"""Finding commands, and turning errors into a line and an exit code."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from caffepy import __version__
from caffepy.cli import main as module
from caffepy.errors import DataError


def failing(error):
    """A command that raises."""

    @click.command("fail")
    def command():
        raise error

    return command


@pytest.fixture
def fail(monkeypatch, run):
    """Run a command that raises the given error."""

    def call(error):
        monkeypatch.setattr(module._Commands, "get_command", lambda self, ctx, name: failing(error))
        return run("train")

    return call


@pytest.mark.parametrize("flag", ["--help", "-help", "-h"])
def test_help(run, flag):
    result = run(flag)
    assert result.code == 0
    for name in module.COMMANDS:
        assert f"  {name} " in result.out


def test_help_as_a_word(run):
    assert run("help") == run("--help")
    assert run("help", "time") == run("time", "--help")
    assert run("help", "tim").code == 2


def test_no_command_is_help(run):
    result = run()
    assert result.code == 2
    assert "Commands:" in result.err


@pytest.mark.parametrize("flag", ["--version", "-version"])
def test_version(run, flag):
    assert run(flag) == (0, f"caffepy {__version__}\n", "")


@pytest.mark.parametrize("name", module.COMMANDS)
def test_each_command_has_help_and_an_underscore_form(run, name):
    result = run(name.replace("-", "_"), "-help")
    assert result.code == 0
    assert result.out.startswith("Usage: caffepy ")
    assert run(name, "-h").out.split("\n", 1)[1] == result.out.split("\n", 1)[1]


@pytest.mark.parametrize(
    "name", [*module.COMMANDS, *(f"show {name}" for name in ("filters", "blobs", "batch", "confusion"))]
)
def test_each_option_is_explained(name):
    command = module.cli
    for word in name.split():
        assert isinstance(command, click.Group)
        command = command.get_command(click.Context(command), word)
    for option in command.params:
        assert isinstance(option, click.Argument) or option.help or option.hidden, option.name


def test_near_misses(run):
    result = run("trian")
    assert result.code == 2
    assert "No such command 'trian'. Did you mean 'train'? Commands: train, test," in result.err
    result = run("train", "-solvr", "x")
    assert result.code == 2
    assert "No such option '--solvr'" in result.err.replace(":", "").replace("option --solvr", "option '--solvr'")
    assert "--solver" in result.err


def test_switches_with_values(run):
    result = run("train", "-solver", "x", "-shuffle=perhaps")
    assert result.code == 2
    assert "--shuffle is on or off: expected true or false, got 'perhaps'" in result.err


def test_an_error_is_one_line(fail):
    assert fail(DataError("there is no database 'x'.")) == (1, "", "error: there is no database 'x'.\n")


def test_errors_of_the_system(fail):
    assert fail(PermissionError(13, "Permission denied", "/x/y")) == (1, "", "error: /x/y: Permission denied\n")
    assert fail(OSError(28, "No space left on device")) == (1, "", "error: No space left on device\n")
    assert fail(MemoryError("Unable to allocate 9 TiB")) == (1, "", "error: out of memory. Unable to allocate 9 TiB\n")


def test_a_fault_says_what_to_report(fail, monkeypatch):
    monkeypatch.delenv("CAFFEPY_TRACEBACK", raising=False)
    result = fail(ZeroDivisionError("division by zero"))
    assert result.code == 1
    assert result.err.startswith("error: ZeroDivisionError: division by zero\nThis is a fault of caffepy.")
    assert "Traceback" not in result.err


def test_a_traceback_is_shown_when_asked_for(fail, monkeypatch):
    monkeypatch.setenv("CAFFEPY_TRACEBACK", "1")
    with pytest.raises(DataError, match="no database"):
        fail(DataError("no database"))


@pytest.mark.parametrize("error", [KeyboardInterrupt(), click.Abort()])
def test_interrupted(fail, error):
    result = fail(error)
    assert (result.code, result.err.strip()) == (130, "Interrupted.")


def test_a_closed_pipe_is_no_fault(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    process = subprocess.Popen(
        [sys.executable, "-m", "caffepy", "device-query"],
        cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    process.stdout.close()
    errors = process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=60) == 1
    assert errors == ""


def test_help_imports_nothing_but_the_package_and_click():
    code = (
        "import sys, caffepy; before = set(sys.modules)\n"
        "from caffepy.cli.main import main; assert main(['--help']) == 0\n"
        "print(sorted({name.split('.')[0] for name in set(sys.modules) - before}"
        " & {'numpy', 'numba', 'matplotlib', 'rich', 'lmdb', 'PIL', 'h5py', 'google'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "[]"


def test_python_m():
    done = subprocess.run(
        [sys.executable, "-m", "caffepy", "-version"], check=True, capture_output=True, text=True, timeout=60
    )
    assert done.stdout == f"caffepy {__version__}\n"


def test_an_error_of_megabytes_is_cut(fail):
    text = fail(DataError("x" * 5_000_000)).err
    assert len(text) < 21_000
    assert text.rstrip().endswith("x ... (5,000,000 characters)")


# glog's own flags, which Caffe's tools take beside theirs, and the environment's name for one of them.
@pytest.mark.parametrize(
    "flags",
    [
        "-logtostderr", "--logtostderr=1", "-alsologtostderr", "-noalsologtostderr", "--colorlogtostderr=true",
        "-log_dir=logs", "-log_dir logs", "--stderrthreshold=0", "-v 1", "--minloglevel=0",
    ],
)  # fmt: skip
def test_flags_of_glog_are_understood(run, project, flags):
    result = run("time", "-model=net.prototxt", *flags.split(), "-iterations=1")
    assert result.code == 0, result.err
    assert "Performing Forward" in result.lines
    assert sorted(os.listdir()) == ["net.prototxt", "solver.prototxt"]


def test_less_is_said_when_glog_is_told_so(run, project, monkeypatch):
    for command in (["time", "-model=net.prototxt", "-iterations=1"], ["train", "-solver=solver.prototxt"]):
        assert run(*command, "--minloglevel=1").err == ""
        assert run("time", "-model=no.prototxt", "--minloglevel", "3").err.startswith("error: Could not open")
        monkeypatch.setenv("GLOG_minloglevel", "2")
        assert run(*command).err == ""
        assert "Performing Forward" in run("time", "-model=net.prototxt", "-iterations=1", "-minloglevel=0").lines
        monkeypatch.delenv("GLOG_minloglevel")
    assert "Optimization Done." in (project / "out" / "train.log").read_text()
    result = run("time", "-model=net.prototxt", "-minloglevel=much")
    assert (result.code, "--minloglevel takes 0 to 3; got 'much'." in result.err) == (2, True)
