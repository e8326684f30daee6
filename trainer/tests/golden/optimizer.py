"""Writes optimizer.json: 20 steps of optax's AdamW, for trainer/tests/optimizer.rs.

    pip install jax optax
    JAX_PLATFORMS=cpu python trainer/tests/golden/optimizer.py
"""

import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import optax

STEPS = 20
PEAK = {"slow": 2e-3, "fast": 3e-2}
WARMUP, FLOOR, CLIP = 4, 0.1, 17.0
BETA1, BETA2, EPSILON, DECAY = 0.9, 0.95, 1e-6, 0.1

random = np.random.default_rng(7)
start = {
    "slow.weight": random.normal(size=(4, 3)),
    "slow.bias": random.normal(size=(3,)),
    "fast.weight": random.normal(size=(3, 2)),
}
start = {name: jnp.asarray(value, jnp.float32) for name, value in start.items()}
x = jnp.asarray(random.normal(size=(5, 4)), jnp.float32)
y = jnp.asarray(4 * random.normal(size=(5, 2)), jnp.float32)


def loss(parameters):
    hidden = jnp.tanh(x @ parameters["slow.weight"] + parameters["slow.bias"])
    return jnp.mean(jnp.sum((hidden @ parameters["fast.weight"] - y) ** 2, axis=1))


def rate(peak):
    course = optax.warmup_cosine_decay_schedule(0.0, peak, WARMUP, STEPS, FLOOR * peak)
    return lambda count: course(count + 1)  # a step counts as done


def adamw(peak):
    mask = lambda tree: jax.tree.map(lambda leaf: leaf.ndim > 1, tree)
    return optax.adamw(rate(peak), BETA1, BETA2, EPSILON, weight_decay=DECAY, mask=mask)


labels = {name: name.split(".")[0] for name in start}
optimizer = optax.chain(
    optax.clip_by_global_norm(CLIP),
    optax.multi_transform({group: adamw(peak) for group, peak in PEAK.items()}, labels),
)
state = optimizer.init(start)
parameters, steps = start, []
for step in range(STEPS):
    value, gradients = jax.value_and_grad(loss)(parameters)
    updates, state = optimizer.update(gradients, state, parameters)
    parameters = optax.apply_updates(parameters, updates)
    steps.append({
        "loss": float(value),
        "norm": float(optax.global_norm(gradients)),
        "rates": {group: float(rate(peak)(step)) for group, peak in PEAK.items()},
        "parameters": {name: np.asarray(value).ravel().tolist() for name, value in parameters.items()},
    })

golden = {
    "peak": PEAK, "warmup": WARMUP, "floor": FLOOR, "clip": CLIP,
    "beta1": BETA1, "beta2": BETA2, "epsilon": EPSILON, "weight_decay": DECAY,
    "x": np.asarray(x).tolist(), "y": np.asarray(y).tolist(),
    "start": {name: np.asarray(value).tolist() for name, value in start.items()},
    "steps": steps,
}
path = pathlib.Path(__file__).with_suffix(".json")
path.write_text(json.dumps(golden, separators=(",", ":")) + "\n")
