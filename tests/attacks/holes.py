"""Files of many gigabytes that take no room on the disk: sound ones made longer by a hole that is read as zeros."""

from __future__ import annotations

from tests.attacks.bases import NET, SOLVER, STATE_NET, base
from tests.attacks.data_layers import hdf5, net_of
from tests.attacks.generate import Attack, Dice, family
from tests.attacks.leveldb_files import sound

holes = family("holes", "net")

_WINDOWS = b"# 0\na.jpg\n3\n24\n20\n2\n1 1 0 0 3 3\n0 0 5 5 9 9\n"


@holes
def hole(dice: Dice) -> Attack:
    image, rows, windows = (net_of(kind) for kind in ("ImageData", "HDF5Data", "WindowData"))
    state = {"state.solverstate": base("state"), STATE_NET: base("net.caffemodel")}
    pictures = {"list.txt": b"a.jpg 1\n", "a.jpg": base("jpeg"), "windows.txt": _WINDOWS}
    victim, files, name = dice.pick(
        [
            ("net", {"net.prototxt": NET.encode()}, "net.prototxt"),
            ("solver", {"solver.prototxt": SOLVER.encode(), "net.prototxt": NET.encode()}, "solver.prototxt"),
            ("caffemodel", {"net.caffemodel": base("net.caffemodel")}, "net.caffemodel"),
            ("hdf5 weights", {"net.caffemodel.h5": base("net.caffemodel.h5")}, "net.caffemodel.h5"),
            ("solverstate", state, "state.solverstate"),
            ("solverstate", state, STATE_NET),
            ("mean", {"mean.binaryproto": base("mean")}, "mean.binaryproto"),
            ("mean", {"mean.npy": base("mean.npy")}, "mean.npy"),
            ("noise", {"noise.npz": base("noise.npz")}, "noise.npz"),
            ("lmdb", {"db/data.mdb": base("lmdb")}, "db/data.mdb"),
            *(("leveldb", sound("written"), each) for each in sound("written") if not each.endswith("LOCK")),
            ("leveldb", sound("log"), "db/000003.log"),
            ("idx", {"images": base("images"), "labels": base("labels")}, "images"),
            ("idx", {"images": base("images"), "labels": base("labels")}, "labels"),
            ("list", {"list.txt": b"a.jpg 1\n"}, "list.txt"),
            ("net", {"net.prototxt": image, **pictures}, "list.txt"),
            ("net", {"net.prototxt": image, **pictures}, "a.jpg"),
            ("net", {"net.prototxt": windows, **pictures}, "windows.txt"),
            ("net", {"net.prototxt": windows, **pictures}, "a.jpg"),
            ("net", {"net.prototxt": rows, "list.txt": b"a.h5\n", "a.h5": hdf5()}, "list.txt"),
            ("net", {"net.prototxt": rows, "list.txt": b"a.h5\n", "a.h5": hdf5()}, "a.h5"),
        ]
    )
    size = dice.pick([1 << 29, 1 << 31, 1 << 33, 1 << 40])
    return Attack(f"{name} of {size} bytes", dict(files), victim=victim, holes={name: size})
