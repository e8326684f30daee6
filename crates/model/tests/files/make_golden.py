"""Makes the golden weight files of this folder with independent writers.

golden.gguf         the `gguf` package: every metadata type, a tensor of every type
golden.safetensors  the `safetensors` package: those tensors as `gguf` decodes them, in float32;
                    the variables of golden-ct2.bin under `ct2:*`, as their own library holds
                    them; and small tensors of further types under `plain.*`
golden-ct2.bin      the `ctranslate2` package's own model specification, saved by it

Run: python make_golden.py (with numpy, gguf, safetensors, ctranslate2). Deterministic.
"""

import os
import shutil
import tempfile

import ctranslate2
import gguf
import numpy as np
from ctranslate2.specs import whisper_spec
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType as T
from gguf.quants import dequantize
from safetensors.numpy import save_file

here = os.path.dirname(os.path.abspath(__file__))
random = np.random.default_rng(20)

# Where the half-precision scales of a block lie; random bytes there would be NaN now and then.
SCALES = {
    T.Q4_0: [0], T.Q4_1: [0, 2], T.Q5_0: [0], T.Q5_1: [0, 2], T.Q8_0: [0], T.Q2_K: [80, 82],
    T.Q3_K: [108], T.Q4_K: [0, 2], T.Q5_K: [0, 2], T.Q6_K: [208], T.IQ4_NL: [0], T.MXFP4: [],
}


def blocks(kind, rows, row):
    """Random blocks of a quantized type, scales finite; uint8 [rows, bytes of a row]."""
    elements, size = GGML_QUANT_SIZES[kind]
    raw = random.integers(0, 256, (rows * row // elements, size), dtype=np.uint8)
    for at in SCALES[kind]:
        scale = random.normal(0, 0.05, len(raw)).astype(np.float16)
        raw[:, at:at + 2] = scale[:, None].view(np.uint8)
    return raw.reshape(rows, -1)


def make_gguf(path):
    writer = gguf.GGUFWriter(path, "golden")
    V = gguf.GGUFValueType
    for kind, value in [
        (V.UINT8, 250), (V.INT8, -3), (V.UINT16, 65000), (V.INT16, -300), (V.UINT32, 4000000000),
        (V.INT32, -70000), (V.FLOAT32, 1e-6), (V.BOOL, True), (V.STRING, "Grüße, 世界"),
        (V.UINT64, 2**63 + 1), (V.INT64, -2**62), (V.FLOAT64, 0.1),
    ]:
        writer.add_key_value(f"golden.{kind.name.lower()}", value, kind)
    writer.add_array("golden.strings", ["", "a", "Grüße", "世界", "\t"])
    writer.add_array("golden.floats", [0.5, -1.25])
    writer.add_array("golden.ints", list(range(-20, 20)))
    writer.add_array("golden.bools", [True, False, True])

    decoded = {}
    normal = random.normal(0, 1, (3, 40)).astype(np.float32)
    for kind, array in [
        (T.F32, normal), (T.F16, normal.astype(np.float16)), (T.F64, normal.astype(np.float64)),
        (T.I8, random.integers(-128, 128, (5,)).astype(np.int8)),
        (T.I16, random.integers(-(2**15), 2**15, (2, 1, 3)).astype(np.int16)),
        (T.I32, random.integers(-(2**24), 2**24, (2, 3, 1, 2)).astype(np.int32)),
        (T.I64, random.integers(-(2**24), 2**24, (4,)).astype(np.int64)),
    ]:
        writer.add_tensor(f"tensor.{kind.name}", array)
        decoded[f"tensor.{kind.name}"] = array.astype(np.float32)
    raw = gguf.quants.quantize(normal, T.BF16)
    writer.add_tensor("tensor.BF16", raw, raw_dtype=T.BF16)
    decoded["tensor.BF16"] = dequantize(raw, T.BF16)
    for kind in SCALES:
        raw = blocks(kind, 3, max(64, GGML_QUANT_SIZES[kind][0]))
        writer.add_tensor(f"tensor.{kind.name}", raw, raw_dtype=kind)
        if kind not in (T.IQ4_NL, T.MXFP4):
            decoded[f"tensor.{kind.name}"] = dequantize(raw, kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return decoded


def make_safetensors(path, decoded, variables):
    plain = {
        "plain.f16": np.arange(6, dtype=np.float16).reshape(2, 3) / 4,
        "plain.u8": np.array([0, 7, 255], dtype=np.uint8),
        "plain.bool": np.array([True, False]),
        "plain.scalar": np.array(2.5, dtype=np.float64),
        "plain.empty": np.zeros((0, 4), dtype=np.float32),
    }
    save_file({**decoded, **variables, **plain}, path, metadata={"format": "pt", "made by": "make_golden.py"})


def make_ctranslate2(path):
    """A whole, tiny Whisper of random numbers; the tied projection becomes an alias. Returns its
    variables in float32."""
    spec = whisper_spec.WhisperSpec(1, 2, 1, 2)
    embeddings = random.normal(0, 1, (6, 4)).astype(np.float16)

    def fill(layer, name=""):
        for key, value in list(layer.__dict__.items()):
            if key.startswith("_"):
                continue
            full = f"{name}/{key}"
            if isinstance(value, ctranslate2.specs.model_spec.LayerSpec):
                fill(value, full)
            elif isinstance(value, list):
                for i, item in enumerate(value):
                    fill(item, f"{full}_{i}")
            elif value is None:
                tied = full.endswith(("/embeddings/weight", "/projection/weight"))
                shape = (4,) if key in ("bias", "gamma", "beta") else (4, 3)
                array = embeddings if tied else random.normal(0, 1, shape).astype(np.float16)
                setattr(layer, key, array)

    fill(spec)
    spec.register_vocabulary(["a", "b", "c", "d", "e", "f"])
    spec.validate()
    spec.optimize()
    with tempfile.TemporaryDirectory() as folder:
        spec.save(folder)
        shutil.copyfile(os.path.join(folder, "model.bin"), path)
    variables = spec.variables()
    return {
        f"ct2:{name}": np.array(variables[target if isinstance(target := variables[name], str)
                                          else name].numpy(), dtype=np.float32)
        for name in variables
    }


decoded = make_gguf(os.path.join(here, "golden.gguf"))
variables = make_ctranslate2(os.path.join(here, "golden-ct2.bin"))
make_safetensors(os.path.join(here, "golden.safetensors"), decoded, variables)
