#!/usr/bin/env python3
"""Holds exported ONNX graphs against the same model in 32-bit floats.

    check-onnx.py FOLDER REFERENCE.safetensors [--dtype fp32|fp16|int8|q4] [--least 0.99999]
        [--clips N] [--most TOKENS] [--json]

REFERENCE is what `cargo run --release --workspace --example onnx_reference` wrote. Every graph is
checked by onnx.checker and run by ONNX Runtime on the processor; printed are the smallest cosines
over all clips, and how many greedy answers are the same. Fails when a cosine is below --least, or
when it is 0.99999 or more and an answer differs.
Needs: onnx, onnxruntime, numpy, safetensors.
"""

import argparse
import json
import os
import resource
import sys
import time

import numpy as np
import onnx
import onnxruntime as ort
from safetensors import safe_open

SUFFIX = {"fp32": "", "fp16": "_fp16", "int8": "_int8", "q4": "_q4"}


def session(path):
    onnx.checker.check_model(path, full_check=True)
    model = onnx.load(path, load_external_data=False)
    newest = max((o.version for o in model.opset_import if o.domain == ""), default=0)
    assert newest <= 20, f"{path}: opset {newest}"
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    begun = time.time()
    made = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return made, time.time() - begun


def cosine(a, b):
    a, b = np.asarray(a, np.float64).ravel(), np.asarray(b, np.float64).ravel()
    assert a.shape == b.shape, (a.shape, b.shape)
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b) + 1e-300))


def least_by_row(a, b):
    """The smallest cosine of any row."""
    a, b = a.reshape(-1, a.shape[-1]), b.reshape(-1, b.shape[-1])
    return min(cosine(x, y) for x, y in zip(a, b))


class Grammar:
    """A transcript: the language's mark first, then text, no mark in it."""

    def __init__(self, folder):
        tokens = json.load(open(os.path.join(folder, "tokenizer.json")))["added_tokens"]
        self.end = json.load(open(os.path.join(folder, "generation_config.json")))["eos_token_id"]
        special = {t["content"]: t["id"] for t in tokens if t["special"]}
        self.first = [i for name, i in special.items() if name.startswith("<lang:")]
        self.none = special["<lang:none>"]
        self.task = special["<asr>"]
        self.never = [i for name, i in special.items() if i != self.end and name != "<unk>"]
        self.audio = special["<|audio|>"]

    def apply(self, logits, written):
        kept = logits.copy()
        if not written:
            only = self.first
        elif written[0] == self.none:
            only = [self.end]
        else:
            kept[[i for i in self.never if i < len(kept)]] = -np.inf
            return kept
        kept[:] = -np.inf
        kept[only] = logits[only]
        return kept


def answer(decoder, embed, prompt, caches, grammar, most):
    """Greedy: outputs without the end."""
    past = {n: np.zeros([1, s[1], 0, s[3]], np.float32) for n, s in caches.items()}
    vectors, written, length = prompt, [], 0
    while True:
        count = vectors.shape[1]
        feeds = {
            "inputs_embeds": vectors,
            "attention_mask": np.ones([1, length + count], np.int64),
            "position_ids": np.arange(length, length + count, dtype=np.int64)[None],
            "num_logits_to_keep": np.array(1, np.int64),
            **past,
        }
        outputs = decoder.run(None, feeds)
        named = dict(zip([o.name for o in decoder.get_outputs()], outputs))
        length += count
        past = {n: named[n.replace("past_key_values", "present")] for n in past}
        best = int(np.argmax(grammar.apply(named["logits"][0, -1], written)))
        if best == grammar.end or len(written) >= most:
            return written
        written.append(best)
        vectors = embed.run(None, {"input_ids": np.array([[best]], np.int64)})[0]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("reference")
    parser.add_argument("--dtype", default="fp32", choices=SUFFIX)
    parser.add_argument("--least", type=float, default=0.99999)
    parser.add_argument("--clips", type=int, default=1000, help="look at so many clips alone")
    parser.add_argument("--most", type=int, default=448, help="compare so many tokens of an answer")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    path = lambda name: os.path.join(given.folder, "onnx", f"{name}{SUFFIX[given.dtype]}.onnx")
    file = safe_open(given.reference, "np")
    clips = sorted({int(key.split(".")[0]) for key in file.keys()})[: given.clips]
    texts = file.metadata() or {}
    get = lambda clip, name: file.get_tensor(f"{clip}.{name}")
    found = {"dtype": given.dtype, "clips": len(clips)}
    cosines = {}

    def note(name, value):
        cosines[name] = min(cosines.get(name, 1.0), value)

    if os.path.exists(path("encoder_model")):
        encoder, found["load"] = session(path("encoder_model"))
        found["bytes"] = os.path.getsize(path("encoder_model"))
        for clip in clips:
            heard = encoder.run(None, {"input_features": get(clip, "mel")})[0]
            note("last_hidden_state", cosine(heard, get(clip, "audio")))
    else:
        names = ["audio_encoder", "embed_tokens", "decoder_model_merged"]
        sessions = [session(path(name)) for name in names]
        (encoder, _), (embed, _), (decoder, _) = sessions
        found["load"] = sum(seconds for _, seconds in sessions)
        found["bytes"] = {name: os.path.getsize(path(name)) for name in names}
        grammar = Grammar(given.folder)
        caches = {i.name: i.shape for i in decoder.get_inputs() if i.name.startswith("past")}
        same, spent, seconds = 0, 0.0, 0.0
        for clip in clips:
            audio, prompt = get(clip, "audio"), get(clip, "prompt")
            heard = encoder.run(None, {"audio_values": get(clip, "mel")})[0]
            note("audio_features", cosine(heard, audio))
            task = embed.run(None, {"input_ids": np.array([[grammar.task]], np.int64)})[0]
            note("inputs_embeds", cosine(task, prompt[:, audio.shape[1]:]))
            time_ = prompt.shape[1]
            feeds = {
                "inputs_embeds": prompt,
                "attention_mask": np.ones([1, time_], np.int64),
                "position_ids": np.arange(time_, dtype=np.int64)[None],
                "num_logits_to_keep": np.array(0, np.int64),
                **{n: np.zeros([1, s[1], 0, s[3]], np.float32) for n, s in caches.items()},
            }
            logits = decoder.run(["logits"], feeds)[0]
            note("logits", cosine(logits, get(clip, "logits")))
            note("logits, worst position", least_by_row(logits, get(clip, "logits")))
            expected = get(clip, "answer").astype(int).tolist()[: given.most]
            begun = time.process_time()
            heard = encoder.run(None, {"audio_values": get(clip, "mel")})[0]
            prompt = np.concatenate([heard, task], 1)
            written = answer(decoder, embed, prompt, caches, grammar, len(expected))
            spent += time.process_time() - begun
            seconds += get(clip, "samples").shape[0] / 16000
            same += written == expected
            if written != expected and given.dtype == "fp32":
                print(f"clip {clip}: {written[:12]} for {expected[:12]}", texts.get(f"{clip}.text"))
        found["same answers"] = same
        found["cpu seconds a second"] = round(spent / seconds, 4)
        if given.least >= 0.99999 and same < len(clips):
            found["fault"] = "answers differ"
    found["cosines"] = {name: round(value, 8) for name, value in cosines.items()}
    found["peak MiB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(json.dumps(found) if given.json else json.dumps(found, indent=1))
    return 1 if min(cosines.values()) < given.least or "fault" in found else 0


if __name__ == "__main__":
    sys.exit(main())
