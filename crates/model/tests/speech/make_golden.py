"""Makes the golden numbers of the adapters and of the CTC loss with JAX and optax, in float64.

weights-KIND.safetensors  random weights of a small adapter of each kind, in our names
adapters.safetensors      encoder frames of two clips, what each adapter makes of each clip alone,
                          and the gradient by the frames of the sum of output times `pull`
ctc.safetensors           scores, lengths and labels of batches; optax's losses and their gradients,
                          each clip weighted otherwise

Run: python make_golden.py (with jax, optax, safetensors). Deterministic.
"""

import os

import jax
import jax.numpy as jnp
import numpy as np
import optax
from safetensors.numpy import save_file

jax.config.update("jax_enable_x64", True)
here = os.path.dirname(os.path.abspath(__file__))
random = np.random.default_rng(20261122)

ENCODER, LLM, HEADS, HIDDEN, BOTTLENECK = 8, 12, 2, 10, 6
CLIPS = [11, 6]


def normal(*shape, scale=1.0, offset=0.0):
    return (random.standard_normal(shape) * scale + offset).astype(np.float32)


def rms_norm(x, gain, epsilon=1e-6):
    return x / jnp.sqrt(jnp.mean(x * x, -1, keepdims=True) + epsilon) * gain


def layer_norm(x, gain, bias, epsilon=1e-5):
    x = x - jnp.mean(x, -1, keepdims=True)
    return x / jnp.sqrt(jnp.mean(x * x, -1, keepdims=True) + epsilon) * gain + bias


def gelu(x):
    return jax.nn.gelu(x, approximate=False)


def convolution(x, weight, bias, stride, padding):
    """[time, in] to [time', out]."""
    y = jax.lax.conv_general_dilated(
        x.T[None], weight, (stride,), [(padding, padding)], dimension_numbers=("NCH", "OIH", "NCH")
    )
    return y[0].T + bias


# Ultravox v0.5: stack 4, norm, linear, SwiGLU with the gate second, norm, linear.
def ultravox_weights():
    return {
        "mm.a.norm_pre.weight": normal(4 * ENCODER, scale=0.2, offset=0.4),
        "mm.a.mlp.1.weight": normal(2 * HIDDEN, 4 * ENCODER, scale=0.4),
        "mm.a.norm_mid.weight": normal(HIDDEN, scale=0.2, offset=0.4),
        "mm.a.mlp.2.weight": normal(LLM, HIDDEN, scale=0.5),
    }


def ultravox(w, x):
    time = -(-len(x) // 4) * 4
    x = jnp.concatenate([x, jnp.zeros((time - len(x), ENCODER))]).reshape(time // 4, 4 * ENCODER)
    x = rms_norm(x, w["mm.a.norm_pre.weight"]) @ w["mm.a.mlp.1.weight"].T
    x = x[:, :HIDDEN] * jax.nn.silu(x[:, HIDDEN:])
    return rms_norm(x, w["mm.a.norm_mid.weight"]) @ w["mm.a.mlp.2.weight"].T


# PART: pre-norm Transformer layers, convolution of kernel 3 and stride 4, RMS norm.
def transformer_conv_weights():
    w = {}
    for i in range(2):
        name = f"mm.a.blk.{i}"
        for part, outputs, inputs in [
            ("attn_q", ENCODER, ENCODER), ("attn_k", ENCODER, ENCODER), ("attn_v", ENCODER, ENCODER),
            ("attn_out", ENCODER, ENCODER), ("ffn_up", 4 * ENCODER, ENCODER),
            ("ffn_down", ENCODER, 4 * ENCODER),
        ]:
            w[f"{name}.{part}.weight"] = normal(outputs, inputs, scale=0.5)
            if part != "attn_k":
                w[f"{name}.{part}.bias"] = normal(outputs, scale=0.2)
        for part in ["ln1", "ln2"]:
            w[f"{name}.{part}.weight"] = normal(ENCODER, scale=0.2, offset=1.0)
            w[f"{name}.{part}.bias"] = normal(ENCODER, scale=0.2)
    w["mm.a.conv.weight"] = normal(LLM, ENCODER, 3, scale=0.4)
    w["mm.a.conv.bias"] = normal(LLM, scale=0.2)
    w["mm.a.norm_out.weight"] = normal(LLM, scale=0.2, offset=1.5)
    return w


def transformer_conv(w, x):
    def linear(name, x, bias=True):
        y = x @ w[f"{name}.weight"].T
        return y + w[f"{name}.bias"] if bias else y

    def heads(x):
        return x.reshape(len(x), HEADS, -1).transpose(1, 0, 2)

    for i in range(2):
        name = f"mm.a.blk.{i}"
        y = layer_norm(x, w[f"{name}.ln1.weight"], w[f"{name}.ln1.bias"])
        q, k = heads(linear(f"{name}.attn_q", y)), heads(linear(f"{name}.attn_k", y, bias=False))
        v = heads(linear(f"{name}.attn_v", y))
        scores = jax.nn.softmax(q @ k.transpose(0, 2, 1) / np.sqrt(ENCODER // HEADS), -1)
        y = (scores @ v).transpose(1, 0, 2).reshape(len(x), ENCODER)
        x = x + linear(f"{name}.attn_out", y)
        y = layer_norm(x, w[f"{name}.ln2.weight"], w[f"{name}.ln2.bias"])
        x = x + linear(f"{name}.ffn_down", gelu(linear(f"{name}.ffn_up", y)))
    x = convolution(x, w["mm.a.conv.weight"], w["mm.a.conv.bias"], 4, 1)
    return rms_norm(x, w["mm.a.norm_out.weight"])


# BLSP: three gated convolutions of kernel 5, residual bottleneck, layer norm.
def conv_glu_weights():
    w = {}
    for i, outputs in enumerate([ENCODER, ENCODER, LLM]):
        w[f"mm.a.conv.{i + 1}.weight"] = normal(2 * outputs, ENCODER, 5, scale=0.3)
        w[f"mm.a.conv.{i + 1}.bias"] = normal(2 * outputs, scale=0.2)
    w["mm.a.bottleneck.down.weight"] = normal(BOTTLENECK, LLM, scale=0.4)
    w["mm.a.bottleneck.up.weight"] = normal(LLM, BOTTLENECK, scale=0.4)
    w["mm.a.norm_out.weight"] = normal(LLM, scale=0.2, offset=1.5)
    w["mm.a.norm_out.bias"] = normal(LLM, scale=0.2)
    return w


def conv_glu(w, x):
    for i, stride in enumerate([2, 2, 1]):
        y = convolution(x, w[f"mm.a.conv.{i + 1}.weight"], w[f"mm.a.conv.{i + 1}.bias"], stride, 2)
        x = jax.nn.glu(y, axis=-1)
    inner = gelu(x @ w["mm.a.bottleneck.down.weight"].T)
    x = x + inner @ w["mm.a.bottleneck.up.weight"].T
    return layer_norm(x, w["mm.a.norm_out.weight"], w["mm.a.norm_out.bias"])


golden = {}
for clip, frames in enumerate(CLIPS):
    golden[f"frames.{clip}"] = normal(frames, ENCODER)
    golden[f"pull.{clip}"] = normal(-(-frames // 4), LLM)
for kind, weights, network in [
    ("ultravox", ultravox_weights(), ultravox),
    ("transformer-conv", transformer_conv_weights(), transformer_conv),
    ("conv-glu", conv_glu_weights(), conv_glu),
]:
    save_file(weights, os.path.join(here, f"weights-{kind}.safetensors"))
    weights = {name: jnp.asarray(value, jnp.float64) for name, value in weights.items()}
    for clip in range(len(CLIPS)):
        x = jnp.asarray(golden[f"frames.{clip}"], jnp.float64)
        pull = jnp.asarray(golden[f"pull.{clip}"], jnp.float64)
        output, gradient = network(weights, x), jax.grad(lambda x: (network(weights, x) * pull).sum())(x)
        assert output.shape == pull.shape, (kind, output.shape)
        golden[f"{kind}.output.{clip}"] = np.asarray(output, np.float32)
        golden[f"{kind}.gradient.{clip}"] = np.asarray(gradient, np.float32)
save_file(golden, os.path.join(here, "adapters.safetensors"))

# CTC; blank is the last class. Labels with repeats, none at all, as many as frames, and one frame.
BATCHES = {
    "mixed": (12, 6, 2.0, [
        (12, [0, 1, 2, 3]), (9, [4, 4, 4]), (12, []), (5, [3, 1, 0, 2, 4]), (7, [2, 2, 1, 1]),
    ]),
    "tight": (7, 4, 1.0, [(7, [0, 1, 2, 0, 1, 2, 0]), (7, [1, 1, 1, 1]), (1, [2]), (1, [])]),
    "wide": (40, 60, 4.0, [
        (40, list(random.integers(0, 59, 18))), (31, list(random.integers(0, 59, 12))),
        (23, [7, 7, 8, 8, 8, 9, 7, 7]),
    ]),
}
golden = {}
for name, (time, classes, scale, clips) in BATCHES.items():
    scores = normal(len(clips), time, classes, scale=scale)
    longest = max(1, max(len(labels) for _, labels in clips))
    weight = normal(len(clips), scale=0.3, offset=1.0)
    frames = np.array([frames for frames, _ in clips])
    count = np.array([len(labels) for _, labels in clips])
    padded = np.array([list(labels) + [0] * (longest - len(labels)) for _, labels in clips])

    def losses(scores):
        return optax.ctc_loss(
            scores,
            (np.arange(time)[None] >= frames[:, None]).astype(np.float64),
            padded,
            (np.arange(longest)[None] >= count[:, None]).astype(np.float64),
            blank_id=classes - 1,
            log_epsilon=-1e30,
        )

    wide = jnp.asarray(scores, jnp.float64)
    golden[f"{name}.scores"] = scores
    golden[f"{name}.frames"] = frames.astype(np.float32)
    golden[f"{name}.counts"] = count.astype(np.float32)
    golden[f"{name}.labels"] = padded.astype(np.float32)
    golden[f"{name}.weight"] = weight
    golden[f"{name}.losses"] = np.asarray(losses(wide), np.float32)
    golden[f"{name}.gradient"] = np.asarray(
        jax.grad(lambda scores: (losses(scores) * weight.astype(np.float64)).sum())(wide), np.float32
    )
    print(name, golden[f"{name}.losses"])
save_file(golden, os.path.join(here, "ctc.safetensors"))
