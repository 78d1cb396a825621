"""Files read and written, and what is said about files that are something else."""

from __future__ import annotations

import gzip
import os
import threading
from pathlib import Path

import pytest

from caffepy.errors import ParseError, WeightsError
from caffepy.proto import read
from caffepy.proto.caffe_pb2 import BlobProto, ClipParameter, NetParameter, SolverState
from caffepy.proto.file_kind import file_kind, looks_like_text
from caffepy.proto.read import parse_net, parse_solver, read_binary, read_net, read_solver, write_binary

SHARED = Path(__file__).resolve().parents[3] / "shared"
ORACLE = SHARED / "oracle"

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
HTML = b"\n<!DOCTYPE html>\n<html><body>404</body></html>"


def some_net() -> NetParameter:
    net = NetParameter(name="n")
    net.layer.add(name="ip", type="InnerProduct").blobs.add(data=[1.5, 2, 3], shape={"dim": [3]})  # type: ignore[arg-type]
    return net


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_read_net(folder: Path) -> None:
    Path("net.prototxt").write_text('name: "n"\nlayer { name: "a" }\n')
    net, lines = read_net("net.prototxt")
    assert net.name == "n"
    assert lines.at("layer").where() == "net.prototxt:2"


def test_read_solver(folder: Path) -> None:
    Path("solver.prototxt").write_text('net: "n"\nbase_lr: 0.5')
    solver, lines = read_solver(Path("solver.prototxt"))
    assert solver.base_lr == 0.5
    assert solver.snapshot_prefix == "solver"
    assert lines.at("base_lr").where() == "solver.prototxt:2"


def test_parsing_strings_has_a_name() -> None:
    assert parse_net("layer { }")[1].at("layer").where() == "<string>:1"
    assert not parse_solver('net: "n"')[0].HasField("snapshot_prefix")
    with pytest.raises(ParseError, match=r"^<string>:1:1: "):
        parse_net("x")


def test_error_names_file_and_line(folder: Path) -> None:
    Path("net.prototxt").write_text("\n\nlayer { nam: 1 }")
    with pytest.raises(ParseError, match=r"^net\.prototxt:3:9: "):
        read_net("net.prototxt")


def test_missing_required_field_has_a_line(folder: Path) -> None:
    Path("net.prototxt").write_text("layer {\n clip_param { max: 1 } }")
    with pytest.raises(ParseError, match=r"net\.prototxt:2: .*missing required fields: min"):
        read_net("net.prototxt")


def test_file_that_is_not_there(folder: Path) -> None:
    Path("train_val.prototxt").touch()
    with pytest.raises(ParseError) as error:
        read_net("train-val.prototxt")
    text = str(error.value)
    assert "Could not open file train-val.prototxt (File not found)" in text
    assert repr(str(folder / "train-val.prototxt")) in text
    assert f"working folder {folder}" in text
    assert "Did you mean 'train_val.prototxt'?" in text


def test_folder_that_is_not_there(folder: Path) -> None:
    with pytest.raises(ParseError, match=r"File not found.*The folder 'none' does not exist"):
        read_solver("none/solver.prototxt")


def test_folder_given_as_file(folder: Path) -> None:
    Path("models").mkdir()
    Path("models/deploy.prototxt").touch()
    with pytest.raises(ParseError, match=r"Is a directory.*It is a folder, with deploy\.prototxt"):
        read_net("models")


def test_name_with_a_zero_byte() -> None:
    with pytest.raises(ParseError, match="Could not open file"):
        read_net("a\0b")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_unreadable(folder: Path) -> None:
    Path("a").touch(mode=0)
    with pytest.raises(ParseError, match="Permission denied"):
        read_net("a")


FOREIGN = [
    (b"", "empty"),
    (gzip.compress(b"name: 'n'", mtime=0), "compressed with gzip: run gunzip"),
    (HTML, "an HTML page: the download gave a web page"),
    (b"\xef\xbb\xbf<html>", "an HTML page"),
    (LFS, "a Git LFS pointer, not the file itself: run git lfs pull"),
    (b"\x89HDF\r\n\x1a\n\0\0", "an HDF5 file"),
    (b"PK\x03\x04abc", "a zip archive"),
    (b"\x93NUMPY\x01\0", r"a NumPy \.npy file"),
    (b"\xff\xd8\xff\xe0", "a JPEG image"),
    ("name".encode("utf-16"), "text in UTF-16: save it as UTF-8"),
    (b"\0" * 16 + b"\xde\xc0\xef\xbe" + b"\0" * 8, "an LMDB database"),
    (b"\0" * 5000, "all zeros"),
]


@pytest.mark.parametrize(("content", "kind"), FOREIGN)
def test_foreign_files_are_named(folder: Path, content: bytes, kind: str) -> None:
    Path("f").write_bytes(content)
    with pytest.raises(ParseError, match=rf"^f: expected the text of a net \(prototxt\), but the file is {kind}"):
        read_net("f")
    with pytest.raises(WeightsError, match=rf"^f: expected a binary NetParameter, but the file is {kind}"):
        read_binary("f", NetParameter())


def test_weights_given_as_model(folder: Path) -> None:
    write_binary("w.caffemodel", some_net())
    with pytest.raises(ParseError, match=r"the file is binary: a \.caffemodel holds weights"):
        read_net("w.caffemodel")
    Path("junk").write_bytes(b"\x7fELF\x02\x01\x01\x00")
    with pytest.raises(ParseError, match=r"the file is binary\.$"):
        read_net("junk")


def test_model_given_as_weights(folder: Path) -> None:
    Path("n.prototxt").write_text('name: "n"\r\n')
    with pytest.raises(WeightsError, match=r"text, such as a prototxt\. Are model and weights swapped\?$"):
        read_binary("n.prototxt", NetParameter())


def test_comment_in_another_encoding(folder: Path) -> None:
    Path("n").write_bytes("# 网络\nname: 'n'".encode("gbk"))
    assert read_net("n")[0].name == "n"
    Path("n").write_bytes("\nname: '网'".encode("gbk"))
    with pytest.raises(ParseError, match=r"^n:2: the string of 'name' is not UTF-8 \(byte 0xcd\)"):
        read_net("n")


def test_binary_round_trip(folder: Path) -> None:
    write_binary("w.caffemodel", some_net())
    again = NetParameter()
    read_binary("w.caffemodel", again)
    assert again == some_net()
    assert os.listdir() == ["w.caffemodel"]


def test_every_cut_is_refused_or_shorter(folder: Path) -> None:
    whole = some_net().SerializeToString()
    refused = 0
    for length in range(1, len(whole)):
        Path("w").write_bytes(whole[:length])
        net = NetParameter()
        try:
            read_binary("w", net)
        except WeightsError as error:
            refused += 1
            assert "Failed to parse NetParameter file: it is cut off or damaged" in str(error) or "text" in str(error)  # noqa: PT017
        else:
            assert net.ByteSize() == length
    assert refused > len(whole) - 5


def test_damaged_says_how_many_bytes(folder: Path) -> None:
    Path("w").write_bytes(some_net().SerializeToString()[:-1])
    with pytest.raises(WeightsError, match=r"^w: Failed to parse NetParameter file: it is cut off.*\(\d+ bytes\)"):
        read_binary("w", NetParameter())


def test_other_files_of_caffe_are_named(folder: Path) -> None:
    state = SolverState(iter=5, learned_net="w.caffemodel")
    state.history.add(data=[1, 2])
    write_binary("s", state)
    with pytest.raises(WeightsError, match=r"It holds a solver's state \(\.solverstate\)"):
        read_binary("s", NetParameter())
    write_binary("w", some_net())
    with pytest.raises(WeightsError, match=r"It holds a net's weights \(\.caffemodel\)"):
        read_binary("w", SolverState())
    write_binary("m", BlobProto(num=1, channels=3, height=1, width=1, data=[1, 2, 3]))
    with pytest.raises(WeightsError, match=r"It holds one blob, such as a mean image"):
        read_binary("m", NetParameter())


def test_file_of_unknown_fields(folder: Path) -> None:
    Path("w").write_bytes(b"\xf8\x3f\x01")
    with pytest.raises(WeightsError, match="it holds none of the fields of this kind of file"):
        read_binary("w", NetParameter())


def test_binary_without_required_fields(folder: Path) -> None:
    Path("w").write_bytes(b"\xf8\x3f\x01")
    with pytest.raises(WeightsError, match="required fields are missing: min, max"):
        read_binary("w", ClipParameter())
    with pytest.raises(WeightsError, match=r"w2: not written: required fields are missing: max"):
        write_binary("w2", ClipParameter(min=1))


def test_binary_that_is_not_there(folder: Path) -> None:
    Path("lenet_iter_5000.caffemodel").touch()
    with pytest.raises(WeightsError, match=r"File not found.*for the weights.*'lenet_iter_5000\.caffemodel'"):
        read_binary("lenet_iter_500.caffemodel", NetParameter())


def test_size_limits(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open("sparse", "wb") as file:
        file.write(b"name")
        file.truncate(1 << 32)
    with pytest.raises(WeightsError, match=r"sparse: the file has 4,294,967,296 bytes; at most 2,147,483,647 are read"):
        read_binary("sparse", NetParameter())
    with pytest.raises(ParseError, match="at most 1,073,741,824 are read"):
        read_net("sparse")
    monkeypatch.setattr(read, "MAX_BINARY", 10)
    os.mkfifo("pipe")
    writer = threading.Thread(target=Path("pipe").write_bytes, args=(b"\n" * 20,))
    writer.start()
    with pytest.raises(WeightsError, match=r"^pipe: the file has more than 10 bytes, the most that are read"):
        read_binary("pipe", NetParameter())
    writer.join()
    with pytest.raises(WeightsError, match=r"more than the 2 GiB that a protobuf file may have\. Use HDF5"):
        write_binary("w", some_net())


def test_more_than_memory_holds(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(*_: object) -> bytes:
        raise MemoryError

    Path("w").write_bytes(bytes(1234))
    monkeypatch.setattr(read, "_bounded", exhausted)
    with pytest.raises(WeightsError, match=r"^w: out of memory: the file has 1,234 bytes"):
        read_binary("w", NetParameter())
    with pytest.raises(ParseError, match=r"^w: out of memory: the file has 1,234 bytes"):
        read_net("w")


def test_write_errors(folder: Path) -> None:
    with pytest.raises(WeightsError, match=r"none/w: not written: No such file or directory"):
        write_binary("none/w", some_net())
    os.mkfifo("pipe")
    with pytest.raises(WeightsError, match=r"/pipe: not written: Not a regular file"):
        write_binary("pipe", some_net())


def test_named_pipe(folder: Path) -> None:
    os.mkfifo("pipe")
    writer = threading.Thread(target=Path("pipe").write_text, args=('name: "piped"',))
    writer.start()
    assert read_net("pipe")[0].name == "piped"
    writer.join()


def test_kinds_do_not_catch_caffes_own_files() -> None:
    for message in (some_net(), SolverState(iter=3, learned_net="n"), BlobProto(num=1, channels=1, data=[0])):
        head = message.SerializeToString()
        assert file_kind(head) == ""
        assert not looks_like_text(head)
    for text in (b"name: 'n'", b"# <html>", b"\xef\xbb\xbf\nlayer {}", b"version: 1", "# 中文\t\x0c\r\n".encode()):
        assert file_kind(text) == ""
        assert looks_like_text(text)


@pytest.mark.skipif(not ORACLE.exists(), reason=f"Caffe's recorded files are not here: {ORACLE}")
def test_caffes_own_files(folder: Path) -> None:
    seen = 0
    for path in sorted(ORACLE.glob("solvers/*.caffemodel")) + sorted(ORACLE.glob("solvers/*.solverstate")):
        message = NetParameter() if path.suffix == ".caffemodel" else SolverState()
        read_binary(path, message)
        write_binary("copy", message)
        assert Path("copy").read_bytes() == path.read_bytes()
        seen += 1
    assert seen > 2
    mean = BlobProto()
    read_binary(ORACLE / "data" / "mean.binaryproto", mean)
    assert len(mean.data) == mean.channels * mean.height * mean.width > 0
