"""Records what llama.cpp gives for a real model whose weights were widened to f32.

NAME.safetensors, for each prompt i: `i.ids` the prompt's tokens, `i.picked` some tokens of the
vocabulary, `i.log_probabilities` theirs after the prompt, `i.greedy` the likeliest continuation.

Run: python make_real_golden.py MODEL.gguf NAME (with numpy, gguf, safetensors, xllamacpp).
"""

import json
import pathlib
import sys
import tempfile
import urllib.request

import gguf
import numpy as np
import xllamacpp
from safetensors.numpy import save_file

PROMPTS = [
    "The capital of France is",
    "German: Der Zug nach Hamburg fährt um acht Uhr ab.\nEnglish:",
    "Ayer plantamos tomates en el jardín de mi abuela, y mañana",
    # Longer than the sliding window of Gemma 3, so that the mask is seen to work.
    "One two three four five six seven eight nine ten. " * 48 + "One two three",
]
GREEDY, EVERY = 24, 64


def widen(source, target):
    """The same GGUF with every tensor as f32; metadata is copied."""
    reader = gguf.GGUFReader(source)
    writer = gguf.GGUFWriter(target, reader.fields["general.architecture"].contents())
    for name, field in reader.fields.items():
        if name.startswith("GGUF.") or name in ("general.architecture", "general.file_type"):
            continue
        kind = field.types[0]
        element = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(name, field.contents(), kind, element)
    for tensor in reader.tensors:
        values = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        writer.add_tensor(tensor.name, values.astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main():
    source, name = sys.argv[1:]
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        wide = pathlib.Path(folder) / "wide.gguf"
        widen(source, wide)
        params = xllamacpp.CommonParams()
        params.model.path = str(wide)
        params.n_ctx, params.n_parallel, params.n_gpu_layers, params.warmup = 2048, 1, 0, False
        params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
        params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
        server = xllamacpp.Server(params)

        def ask(path, body):
            request = urllib.request.Request(
                server.listening_address + path, json.dumps(body).encode(),
                {"Content-Type": "application/json"})
            with urllib.request.urlopen(request) as answer:
                return json.load(answer)

        for i, prompt in enumerate(PROMPTS):
            ids = ask("/tokenize", {"content": prompt, "add_special": True})["tokens"]
            common = {"prompt": ids, "temperature": 0.0, "samplers": ["temperature"],
                      "cache_prompt": False}
            count = len(next(v for k, v in gguf.GGUFReader(source).fields.items()
                             if k == "tokenizer.ggml.tokens").data)
            first = ask("/completion", {**common, "n_predict": 1, "n_probs": count})
            top = first["completion_probabilities"][0]["top_logprobs"]
            by_id = {row["id"]: row["logprob"] for row in top}
            picked = sorted(set(range(0, count, EVERY)) | {row["id"] for row in top[:100]})
            picked = [id for id in picked if id in by_id and np.isfinite(by_id[id])]
            text = ask("/completion", {**common, "n_predict": GREEDY, "return_tokens": True})
            found[f"{i}.ids"] = np.array(ids, np.int64)
            found[f"{i}.picked"] = np.array(picked, np.int64)
            found[f"{i}.log_probabilities"] = np.array([by_id[id] for id in picked], np.float32)
            found[f"{i}.greedy"] = np.array(text["tokens"], np.int64)
            print(repr(prompt[-40:]), len(ids), len(by_id), repr(text["content"]))
    save_file(found, pathlib.Path(__file__).parent / f"{name}.safetensors")


main()
