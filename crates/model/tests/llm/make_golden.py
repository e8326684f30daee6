"""Makes small random language models and what they must give, with numpy alone for the arithmetic.

ARCHITECTURE.gguf   three blocks under llama.cpp's names, matrices in f16, without a tokenizer
golden.safetensors  ARCHITECTURE.tokens [time], ARCHITECTURE.vectors [4, width] (read before the
                    tokens, as audio is), ARCHITECTURE.logits [4 + time, vocabulary], in float64
                    from the same f16 values

Run: python make_golden.py (with numpy, gguf, safetensors). Deterministic.
"""

import pathlib

import gguf
import numpy as np
from safetensors.numpy import save_file

HERE = pathlib.Path(__file__).parent
WIDTH, LAYERS, HEADS, KEY_HEADS, HEAD, INSIDE, VOCABULARY, TIME = 32, 3, 4, 2, 12, 64, 48, 13
EPSILON, WINDOW, EVERY = 1e-6, 4, 2
ROPE, ROPE_NEAR = 50_000.0, 10_000.0


def rms(x, gain):
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + EPSILON) * gain


def rotate(x, base, factors, interleaved):
    time, _, width = x.shape
    angle = np.arange(time)[:, None] * base ** (-2.0 * np.arange(width // 2) / width) / factors
    cos, sin = np.cos(angle)[:, None], np.sin(angle)[:, None]
    first, second = (x[..., 0::2], x[..., 1::2]) if interleaved else np.split(x, 2, -1)
    a, b = first * cos - second * sin, second * cos + first * sin
    return np.stack([a, b], -1).reshape(x.shape) if interleaved else np.concatenate([a, b], -1)


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def gelu(x):
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def silu(x):
    return x / (1 + np.exp(-x))


def forward(kind, w, vectors, tokens):
    gemma = kind == "gemma3"
    table = w["token_embd.weight"]
    x = np.concatenate([vectors, table[tokens] * (np.sqrt(WIDTH) if gemma else 1.0)])
    time = len(x)
    at = np.arange(time)
    for i in range(LAYERS):
        part = lambda name: w[f"blk.{i}.{name}.weight"]
        bias = lambda name: w.get(f"blk.{i}.{name}.bias", 0.0)
        near = gemma and (i + 1) % EVERY != 0
        y = rms(x, part("attn_norm"))
        q = (y @ part("attn_q").T + bias("attn_q")).reshape(time, HEADS, HEAD)
        k = (y @ part("attn_k").T + bias("attn_k")).reshape(time, KEY_HEADS, HEAD)
        v = (y @ part("attn_v").T + bias("attn_v")).reshape(time, KEY_HEADS, HEAD)
        if kind in ("gemma3", "qwen3"):
            q, k = rms(q, part("attn_q_norm")), rms(k, part("attn_k_norm"))
        base = ROPE_NEAR if near else ROPE
        factors = w.get("rope_freqs.weight", 1.0)
        q, k = (rotate(t, base, factors, kind.startswith("llama")) for t in (q, k))
        k, v = (np.repeat(t, HEADS // KEY_HEADS, axis=1) for t in (k, v))
        hidden = at[None, :] > at[:, None]
        if near:
            hidden |= at[:, None] - at[None, :] >= WINDOW
        scores = np.einsum("qhd,khd->hqk", q, k) / np.sqrt(HEAD)
        scores = np.where(hidden[None], -np.inf, scores)
        y = np.einsum("hqk,khd->qhd", softmax(scores), v).reshape(time, HEADS * HEAD)
        y = y @ part("attn_output").T
        x = x + (rms(y, part("post_attention_norm")) if gemma else y)
        y = rms(x, part("ffn_norm"))
        activation = gelu if gemma else silu
        y = (activation(y @ part("ffn_gate").T) * (y @ part("ffn_up").T)) @ part("ffn_down").T
        x = x + (rms(y, part("post_ffw_norm")) if gemma else y)
    return rms(x, w["output_norm.weight"]) @ w.get("output.weight", table).T


def weights(kind, random):
    stored = {}

    def matrix(name, rows, columns):
        stored[name] = (random.standard_normal((rows, columns)) * columns**-0.5).astype(np.float16)

    def vector(name, size, middle):
        stored[name] = (random.standard_normal(size) * 0.2 + middle).astype(np.float32)

    matrix("token_embd.weight", VOCABULARY, WIDTH)
    vector("output_norm.weight", WIDTH, 1.0)
    if kind == "qwen3":
        matrix("output.weight", VOCABULARY, WIDTH)
    for i in range(LAYERS):
        name = lambda part: f"blk.{i}.{part}"
        matrix(name("attn_q.weight"), HEADS * HEAD, WIDTH)
        matrix(name("attn_k.weight"), KEY_HEADS * HEAD, WIDTH)
        matrix(name("attn_v.weight"), KEY_HEADS * HEAD, WIDTH)
        matrix(name("attn_output.weight"), WIDTH, HEADS * HEAD)
        matrix(name("ffn_gate.weight"), INSIDE, WIDTH)
        matrix(name("ffn_up.weight"), INSIDE, WIDTH)
        matrix(name("ffn_down.weight"), WIDTH, INSIDE)
        vector(name("attn_norm.weight"), WIDTH, 1.0)
        vector(name("ffn_norm.weight"), WIDTH, 1.0)
        if kind == "gemma3":
            vector(name("post_attention_norm.weight"), WIDTH, 1.0)
            vector(name("post_ffw_norm.weight"), WIDTH, 1.0)
        if kind in ("gemma3", "qwen3"):
            vector(name("attn_q_norm.weight"), HEAD, 1.0)
            vector(name("attn_k_norm.weight"), HEAD, 1.0)
        if kind == "qwen2":
            vector(name("attn_q.bias"), HEADS * HEAD, 0.0)
            vector(name("attn_k.bias"), KEY_HEADS * HEAD, 0.0)
            vector(name("attn_v.bias"), KEY_HEADS * HEAD, 0.0)
    return stored


def main():
    golden = {}
    for seed, kind in enumerate(["gemma3", "llama", "qwen2", "qwen3", "llama3"]):
        random = np.random.default_rng(seed)
        stored = weights(kind, random)
        if kind == "llama3":
            # As of Llama 3.1: slow pairs are slower still.
            stored["rope_freqs.weight"] = np.linspace(1, 8, HEAD // 2).astype(np.float32)
        writer = gguf.GGUFWriter(HERE / f"{kind}.gguf", "llama" if kind == "llama3" else kind)
        writer.add_block_count(LAYERS)
        writer.add_context_length(64)
        writer.add_embedding_length(WIDTH)
        writer.add_feed_forward_length(INSIDE)
        writer.add_head_count(HEADS)
        writer.add_head_count_kv(KEY_HEADS)
        writer.add_key_length(HEAD)
        writer.add_value_length(HEAD)
        writer.add_layer_norm_rms_eps(EPSILON)
        writer.add_rope_freq_base(ROPE)
        if kind == "gemma3":
            writer.add_sliding_window(WINDOW)
            writer.add_sliding_window_pattern(EVERY)
        for name, tensor in stored.items():
            writer.add_tensor(name, tensor)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()

        exact = {name: tensor.astype(np.float64) for name, tensor in stored.items()}
        tokens = random.integers(0, VOCABULARY, TIME)
        vectors = random.standard_normal((4, WIDTH)).astype(np.float32)
        logits = forward(kind, exact, vectors.astype(np.float64), tokens)
        golden[f"{kind}.tokens"] = tokens.astype(np.int64)
        golden[f"{kind}.vectors"] = vectors
        golden[f"{kind}.logits"] = logits.astype(np.float32)
    save_file(golden, HERE / "golden.safetensors")


main()
