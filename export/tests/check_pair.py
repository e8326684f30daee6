"""Checks a GGUF file with the independent package `gguf`.

python check_pair.py FILE.gguf LISTING.json VALUES

LISTING is what `partita-export inspect --json --tensors` prints of the file, and VALUES all its
tensors as little-endian f32, one after the other, as Partita reads them. Every key, dimension, type
and offset must be the same, and every block must give the same numbers, bit by bit.
"""

import json
import sys

import numpy as np
from gguf import GGUFReader, GGMLQuantizationType
from gguf.quants import dequantize

HEADER = {"GGUF.version", "GGUF.tensor_count", "GGUF.kv_count"}
# Arrays longer than this are shown by their beginning.
FEW = 8


def same_value(ours, field):
    theirs = field.contents()
    if isinstance(ours, dict):
        assert ours["length"] == len(theirs), (ours["length"], len(theirs))
        ours, theirs = ours["first"], theirs[: len(ours["first"])]
    if isinstance(theirs, list):
        return len(ours) == len(theirs) and all(map(same_scalar, ours, theirs))
    return same_scalar(ours, theirs)


def same_scalar(ours, theirs):
    if isinstance(theirs, float):
        return np.float32(ours) == np.float32(theirs)
    return ours == theirs


path, listing, values = sys.argv[1:]
file, ours = GGUFReader(path), json.load(open(listing))
assert file.fields["GGUF.version"].parts[-1][0] == 3
assert file.alignment == 32
keys = set(file.fields) - HEADER
assert set(ours["metadata"]) == keys, set(ours["metadata"]) ^ keys
for key in keys:
    assert same_value(ours["metadata"][key], file.fields[key]), key
assert [t["name"] for t in ours["tensors"]] == [t.name for t in file.tensors]
flat = np.fromfile(values, dtype="<f4")
at, types = 0, set()
for listed, tensor in zip(ours["tensors"], file.tensors):
    name = tensor.name
    assert listed["type"] == tensor.tensor_type.name, name
    assert listed["shape"] == [int(d) for d in reversed(tensor.shape)], name
    assert listed["offset"] == int(tensor.data_offset) and listed["offset"] % 32 == 0, name
    if tensor.tensor_type == GGMLQuantizationType.F32:
        theirs = np.asarray(tensor.data, dtype=np.float32)
    else:
        theirs = dequantize(tensor.data, tensor.tensor_type)
    theirs = theirs.reshape(-1).astype("<f4")
    own = flat[at : at + theirs.size]
    at += theirs.size
    assert own.tobytes() == theirs.tobytes(), (name, tensor.tensor_type.name)
    types.add(tensor.tensor_type.name)
assert at == flat.size
print(f"{path}: {len(keys)} keys, {len(file.tensors)} tensors of {', '.join(sorted(types))} agree bit by bit")
