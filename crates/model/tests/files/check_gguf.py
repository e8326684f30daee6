"""Checks our GGUF files and our reading of them with the independent `gguf` package.

python check_gguf.py A.gguf B.gguf   both hold the same keys, types, shapes and bytes, and B is a
                                     version-3 file aligned to 32
python check_gguf.py A.gguf A.json   the tensors of `partita-export inspect --json --tensors A.gguf`
                                     are those that the package lists

To have our writer make B of any A, set PARTITA_REWRITE_FROM and PARTITA_REWRITE_TO to the two
paths and run `cargo test --release -p partita-model --test files_golden rewritten`.
"""

import json
import sys

import numpy as np
from gguf import GGUFReader

HEADER = {"GGUF.version", "GGUF.tensor_count", "GGUF.kv_count"}


def compare_files(one, two):
    a, b = GGUFReader(one), GGUFReader(two)
    keys_a, keys_b = set(a.fields) - HEADER, set(b.fields) - HEADER
    assert keys_b - keys_a <= {"general.quantization_version"}, keys_b - keys_a
    assert keys_a <= keys_b, keys_a - keys_b
    for key in sorted(keys_a):
        x, y = a.fields[key], b.fields[key]
        assert x.types == y.types, (key, x.types, y.types)
        same = len(x.data) == len(y.data) and all(
            np.array_equal(x.parts[i], y.parts[j]) for i, j in zip(x.data, y.data))
        assert same, key
    assert [t.name for t in a.tensors] == [t.name for t in b.tensors]
    for x, y in zip(a.tensors, b.tensors):
        assert x.tensor_type == y.tensor_type and list(x.shape) == list(y.shape), x.name
        assert x.data.tobytes() == y.data.tobytes(), x.name
        assert y.data_offset % 32 == 0, y.name
    assert b.fields["GGUF.version"].parts[-1][0] == 3
    print(f"{two}: {len(keys_b)} keys and {len(b.tensors)} tensors are those of {one}")


def compare_listing(path, listing):
    file, ours = GGUFReader(path), json.load(open(listing))
    theirs = [
        (t.name, t.tensor_type.name, [int(d) for d in reversed(t.shape)], int(t.data_offset),
         int(t.n_bytes))
        for t in file.tensors
    ]
    listed = [(t["name"], t["type"], t["shape"], t["offset"], t["bytes"]) for t in ours["tensors"]]
    assert theirs == listed, [pair for pair in zip(theirs, listed) if pair[0] != pair[1]][:3]
    assert set(ours["metadata"]) == set(file.fields) - HEADER
    total = ours["summary"]["total"]
    assert total["parameters"] == sum(int(t.n_elements) for t in file.tensors)
    print(f"{path}: {len(theirs)} tensors and {len(ours['metadata'])} keys agree")


(compare_listing if sys.argv[2].endswith(".json") else compare_files)(sys.argv[1], sys.argv[2])
