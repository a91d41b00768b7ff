#!/usr/bin/env python3
"""torch_save.py FOLDER OUT.bin - the model.safetensors of a folder as PyTorch's torch.save writes it, without PyTorch, which
is two hundred times as large as all else that the tests need: Python's own pickler, given things of the same names.  Where
PyTorch is there, its own file must hold the same pickle and the same numbers."""
import io
import os
import pickle
import struct
import sys
import types
import zipfile
from collections import OrderedDict

from safetensors.numpy import load_file


def stand_in(name, **members):
    module = sys.modules[name] = types.ModuleType(name)
    for key, value in members.items():
        value.__module__, value.__qualname__ = name, key
        setattr(module, key, value)
    return module


def stand_ins():
    def _rebuild_tensor_v2():
        pass

    torch = stand_in("torch", FloatStorage=type("FloatStorage", (), {}))
    torch._utils = stand_in("torch._utils", _rebuild_tensor_v2=_rebuild_tensor_v2)
    return torch


class Tensor:
    """Is pickled as torch.Tensor is: a call that rebuilds it, of a storage that lies beside the pickle."""

    def __init__(self, torch, array, key):
        self.torch, self.array, self.key = torch, array, key

    def __reduce__(self):
        strides = tuple(s // self.array.itemsize for s in self.array.strides)
        return self.torch._utils._rebuild_tensor_v2, (self, 0, self.array.shape, strides, False, OrderedDict())


class Pickler(pickle._Pickler):
    """A tensor met as an argument of its own call is the storage."""

    inside = False

    def persistent_id(self, x):
        if isinstance(x, Tensor) and self.inside is x:
            self.inside = False
            return ("storage", x.torch.FloatStorage, x.key, "cpu", x.array.size)
        if isinstance(x, Tensor):
            self.inside = x
        return None


def write(path, tensors):
    """A zip archive of stored members whose data are aligned to 64 bytes."""
    torch = stand_ins()
    pickled = io.BytesIO()
    Pickler(pickled, 2).dump({name: Tensor(torch, x, str(i)) for i, (name, x) in enumerate(tensors.items())})
    members = [("data.pkl", pickled.getvalue()), (".format_version", b"1"), (".storage_alignment", b"64"), ("byteorder", b"little")]
    members += [(f"data/{i}", x.tobytes()) for i, x in enumerate(tensors.values())]
    members += [("version", b"3\n")]
    with open(path, "wb") as raw, zipfile.ZipFile(raw, "w") as z:
        for name, data in members:
            info = zipfile.ZipInfo("pytorch_model/" + name)
            at = raw.tell() + 30 + len(info.filename)
            room = (-at - 4) % 64
            info.extra = struct.pack("<2sH", b"FB", room) + b"Z" * room
            z.writestr(info, data)


def main():
    tensors = load_file(sys.argv[1] + "/model.safetensors")
    try:
        import torch
    except ImportError:
        return write(sys.argv[2], tensors)
    torch.save({name: torch.from_numpy(x) for name, x in tensors.items()}, sys.argv[2])
    theirs = zipfile.ZipFile(sys.argv[2])
    parts = {n.split("/", 1)[1]: theirs.read(n) for n in theirs.namelist()}
    for name in [n for n in sys.modules if n.split(".")[0] == "torch"]:
        del sys.modules[name]
    write(sys.argv[2] + ".own", tensors)
    own = zipfile.ZipFile(sys.argv[2] + ".own")
    for n in own.namelist():
        name = n.split("/", 1)[1]
        assert name.startswith(".") or own.read(n) == parts[name], name
    os.remove(sys.argv[2] + ".own")
    return None


main()
