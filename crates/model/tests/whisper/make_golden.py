"""Makes the golden numbers of a small Whisper model with an implementation of its own in numpy.

weights.json        the model's tensors: Hugging Face names, shapes, and how their values are made
                    (below); CTranslate2's variables, by the tensors that they are made of
config.json         Hugging Face's list of suppressed tokens; config-ct2.json: CTranslate2's
tokenizer.json      byte-level BPE without merges, Whisper's special tokens behind it
golden.safetensors  what the network must give, computed in float64

The weights themselves (3.8 MB) are not kept: value i of a tensor is

    z = mix(fnv1a64(name) + i * 0x9e3779b97f4a7c15 mod 2^64)       (SplitMix64)
    value = ((z >> 40) / 2^23 - 1) * scale + offset                (in float32)

and the encoder's positions are Whisper's sinusoids.

Run: python make_golden.py (with numpy, safetensors). Deterministic.
"""

import json
import math
import os

import numpy as np
from safetensors.numpy import save_file

here = os.path.dirname(os.path.abspath(__file__))

WIDTH, HEADS, LAYERS = 128, 2, 2
BINS, AUDIO, TEXT = 80, 60, 32
SPECIAL = [
    "<|endoftext|>", "<|startoftranscript|>", "<|en|>", "<|de|>", "<|translate|>",
    "<|transcribe|>", "<|startoflm|>", "<|startofprev|>", "<|nospeech|>", "<|notimestamps|>",
]
TIMES = [f"<|{step * 0.02:.2f}|>" for step in range(AUDIO + 1)]
VOCABULARY = 256 + len(SPECIAL) + len(TIMES)


def fnv1a(name):
    value = 0xCBF29CE484222325
    for byte in name.encode():
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return value


def values(name, shape, scale, offset=0.0):
    index = np.arange(math.prod(shape), dtype=np.uint64)
    z = np.uint64(fnv1a(name)) + index * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    unit = (z >> np.uint64(40)).astype(np.float32) / np.float32(2**23) - np.float32(1)
    return (unit * np.float32(scale) + np.float32(offset)).reshape(shape)


def sinusoids(length, channels):
    half = channels // 2
    rates = np.exp(-np.log(10000.0) / (half - 1) * np.arange(half))
    angles = np.arange(length)[:, None] * rates[None]
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1).astype(np.float32)


# The model: name -> (shape, scale, offset), in Hugging Face's names.
tensors = {}


def linear(name, outputs, inputs, scale, bias=True):
    tensors[f"{name}.weight"] = ([outputs, inputs], scale, 0.0)
    if bias:
        tensors[f"{name}.bias"] = ([outputs], 0.2, 0.0)


def norm(name):
    tensors[f"{name}.weight"] = ([WIDTH], 0.3, 1.0)
    tensors[f"{name}.bias"] = ([WIDTH], 0.1, 0.0)


def attention(name):
    # Large enough that a query prefers some positions to others.
    linear(f"{name}.q_proj", WIDTH, WIDTH, 0.25)
    linear(f"{name}.k_proj", WIDTH, WIDTH, 0.25, bias=False)
    linear(f"{name}.v_proj", WIDTH, WIDTH, 0.2)
    linear(f"{name}.out_proj", WIDTH, WIDTH, 0.2)


for side, positions in [("encoder", AUDIO), ("decoder", TEXT)]:
    base = f"model.{side}"
    if side == "encoder":
        tensors[f"{base}.conv1.weight"] = ([WIDTH, BINS, 3], 0.12, 0.0)
        tensors[f"{base}.conv1.bias"] = ([WIDTH], 0.2, 0.0)
        tensors[f"{base}.conv2.weight"] = ([WIDTH, WIDTH, 3], 0.12, 0.0)
        tensors[f"{base}.conv2.bias"] = ([WIDTH], 0.2, 0.0)
        tensors[f"{base}.embed_positions.weight"] = ([positions, WIDTH], None, None)
    else:
        tensors[f"{base}.embed_tokens.weight"] = ([VOCABULARY, WIDTH], 0.3, 0.0)
        tensors[f"{base}.embed_positions.weight"] = ([positions, WIDTH], 0.3, 0.0)
    for i in range(LAYERS):
        layer = f"{base}.layers.{i}"
        attention(f"{layer}.self_attn")
        norm(f"{layer}.self_attn_layer_norm")
        if side == "decoder":
            attention(f"{layer}.encoder_attn")
            norm(f"{layer}.encoder_attn_layer_norm")
        linear(f"{layer}.fc1", 4 * WIDTH, WIDTH, 0.15)
        linear(f"{layer}.fc2", WIDTH, 4 * WIDTH, 0.1)
        norm(f"{layer}.final_layer_norm")
    norm(f"{base}.layer_norm")

weights = {
    name: sinusoids(*shape) if scale is None else values(name, shape, scale, offset)
    for name, (shape, scale, offset) in tensors.items()
}

# CTranslate2's variables: each the tensors it is made of, one below the other. It fuses query, key
# and value of self-attention, key and value of cross-attention, and has zeros for the key's bias.
variables = {}


def same(ct2, hf):
    for ct2_part, part in [("weight", "weight"), ("bias", "bias")]:
        variables[f"{ct2}/{ct2_part}"] = [f"{hf}.{part}"]


def same_norm(ct2, hf):
    variables[f"{ct2}/gamma"] = [f"{hf}.weight"]
    variables[f"{ct2}/beta"] = [f"{hf}.bias"]


def fused(ct2, hf, parts):
    variables[f"{ct2}/weight"] = [f"{hf}.{part}_proj.weight" for part in parts]
    variables[f"{ct2}/bias"] = ["zeros" if p == "k" else f"{hf}.{p}_proj.bias" for p in parts]


for side in ["encoder", "decoder"]:
    base = f"model.{side}"
    if side == "encoder":
        same("encoder/conv1", f"{base}.conv1")
        same("encoder/conv2", f"{base}.conv2")
    else:
        variables["decoder/embeddings/weight"] = [f"{base}.embed_tokens.weight"]
    variables[f"{side}/position_encodings/encodings"] = [f"{base}.embed_positions.weight"]
    same_norm(f"{side}/layer_norm", f"{base}.layer_norm")
    for i in range(LAYERS):
        ct2, hf = f"{side}/layer_{i}", f"{base}.layers.{i}"
        same_norm(f"{ct2}/self_attention/layer_norm", f"{hf}.self_attn_layer_norm")
        fused(f"{ct2}/self_attention/linear_0", f"{hf}.self_attn", "qkv")
        same(f"{ct2}/self_attention/linear_1", f"{hf}.self_attn.out_proj")
        if side == "decoder":
            same_norm(f"{ct2}/attention/layer_norm", f"{hf}.encoder_attn_layer_norm")
            same(f"{ct2}/attention/linear_0", f"{hf}.encoder_attn.q_proj")
            fused(f"{ct2}/attention/linear_1", f"{hf}.encoder_attn", "kv")
            same(f"{ct2}/attention/linear_2", f"{hf}.encoder_attn.out_proj")
        same_norm(f"{ct2}/ffn/layer_norm", f"{hf}.final_layer_norm")
        same(f"{ct2}/ffn/linear_0", f"{hf}.fc1")
        same(f"{ct2}/ffn/linear_1", f"{hf}.fc2")


# The network, in float64.
w = {name: value.astype(np.float64) for name, value in weights.items()}
erf = np.vectorize(math.erf)


def gelu(x):
    return 0.5 * x * (1 + erf(x / math.sqrt(2)))


def layer_norm(name, x):
    mean = x.mean(-1, keepdims=True)
    variance = ((x - mean) ** 2).mean(-1, keepdims=True)
    return (x - mean) / np.sqrt(variance + 1e-5) * w[f"{name}.weight"] + w[f"{name}.bias"]


def project(name, x):
    return x @ w[f"{name}.weight"].T + w.get(f"{name}.bias", 0.0)


def attend(name, x, memory, causal):
    q, k, v = (project(f"{name}.{part}_proj", source)
               for part, source in [("q", x), ("k", memory), ("v", memory)])
    size = WIDTH // HEADS
    heads = []
    for head in range(HEADS):
        span = slice(head * size, (head + 1) * size)
        scores = q[:, span] @ k[:, span].T / math.sqrt(size)
        if causal:
            scores += np.triu(np.full(scores.shape, -np.inf), 1)
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        heads.append(scores / scores.sum(-1, keepdims=True) @ v[:, span])
    return project(f"{name}.out_proj", np.concatenate(heads, -1))


def feed(layer, x):
    y = layer_norm(f"{layer}.final_layer_norm", x)
    return x + project(f"{layer}.fc2", gelu(project(f"{layer}.fc1", y)))


def convolve(name, x, stride):
    """x [inputs, time]; kernel 3, one zero on either side."""
    x = np.pad(x, ((0, 0), (1, 1)))
    kernel, bias = w[f"{name}.weight"], w[f"{name}.bias"]
    at = range(0, x.shape[1] - 2, stride)
    return np.stack([np.einsum("oik,ik->o", kernel, x[:, t:t + 3]) + bias for t in at], -1)


def encode(mel):
    x = gelu(convolve("model.encoder.conv1", mel, 1))
    x = gelu(convolve("model.encoder.conv2", x, 2)).T
    x = x + w["model.encoder.embed_positions.weight"][:len(x)]
    for i in range(LAYERS):
        layer = f"model.encoder.layers.{i}"
        y = layer_norm(f"{layer}.self_attn_layer_norm", x)
        x = x + attend(f"{layer}.self_attn", y, y, causal=False)
        x = feed(layer, x)
    return layer_norm("model.encoder.layer_norm", x)


def decode(tokens, audio):
    table = w["model.decoder.embed_tokens.weight"]
    x = table[tokens] + w["model.decoder.embed_positions.weight"][:len(tokens)]
    for i in range(LAYERS):
        layer = f"model.decoder.layers.{i}"
        y = layer_norm(f"{layer}.self_attn_layer_norm", x)
        x = x + attend(f"{layer}.self_attn", y, y, causal=True)
        y = layer_norm(f"{layer}.encoder_attn_layer_norm", x)
        x = x + attend(f"{layer}.encoder_attn", y, audio, causal=False)
        x = feed(layer, x)
    return layer_norm("model.decoder.layer_norm", x) @ table.T


# 71 frames: an odd number, so the last output looks at padding; 120: all that there is.
mels = {"natural": values("mel natural", (BINS, 71), 1.0, 0.3),
        "full": values("mel full", (BINS, 2 * AUDIO), 1.0, 0.3)}
texts = {"a": [257, 265, 72, 101, 108, 108, 111, 33, 200, 7],
         "b": [257, 265, 72, 19, 255, 0, 290, 256, 31, 140]}
golden = {}
for name, mel in mels.items():
    audio = encode(mel.astype(np.float64))
    golden[f"encoder.{name}"] = audio.astype(np.float32)
    golden[f"logits.{name}.a"] = decode(texts["a"], audio).astype(np.float32)
    print(name, audio.shape, "encoder rms", np.sqrt((audio**2).mean()), "logits rms",
          np.sqrt((golden[f"logits.{name}.a"] ** 2).mean()))
golden["logits.natural.b"] = decode(texts["b"], encode(mels["natural"].astype(np.float64))).astype(
    np.float32)
for name, tokens in texts.items():
    golden[f"tokens.{name}"] = np.array(tokens, np.int32)
save_file(golden, os.path.join(here, "golden.safetensors"))


def write(name, content):
    with open(os.path.join(here, name), "w") as file:
        json.dump(content, file, ensure_ascii=False)
        file.write("\n")


def entry(name):
    shape, scale, offset = tensors[name]
    made = {"sinusoids": True} if scale is None else {"scale": scale, "offset": offset}
    return {"name": name, "shape": shape, **made}


write("weights.json", {"tensors": [entry(name) for name in tensors], "ctranslate2": variables})
write("config.json", {"suppress_tokens": [1, 2, 7, 64], "begin_suppress_tokens": [220, 256]})
write("config-ct2.json", {"suppress_ids": [1, 2, 7, 64], "suppress_ids_begin": [220, 256]})

# GPT-2's letters for bytes: printable ones stand for themselves, the others follow from 256 on.
printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
others = [byte for byte in range(256) if byte not in printable]
letters = {byte: chr(byte) for byte in printable}
letters |= {byte: chr(256 + i) for i, byte in enumerate(others)}
level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
write("tokenizer.json", {
    "version": "1.0", "truncation": None, "padding": None, "normalizer": None,
    "added_tokens": [
        {"id": 256 + i, "content": token, "single_word": False, "lstrip": False, "rstrip": False,
         "normalized": False, "special": token in SPECIAL}
        for i, token in enumerate(SPECIAL + TIMES)
    ],
    "pre_tokenizer": level, "post_processor": None, "decoder": level,
    "model": {"type": "BPE", "dropout": None, "unk_token": None,
              "continuing_subword_prefix": "", "end_of_word_suffix": "", "fuse_unk": False,
              "byte_fallback": False, "ignore_merges": False,
              "vocab": {letters[byte]: byte for byte in range(256)}, "merges": []},
})
