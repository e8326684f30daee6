"""Makes two small tokenizers and the ids that llama.cpp gives texts.json with them.

score.gguf   SentencePiece with scores: pieces learned from the sentences, some with equal scores,
             user-defined pieces that overlap, a piece whose character is no piece
byte.gguf    byte-level BPE: merges learned from the sentences, a word without merges, a byte
             without a token
golden.json  for each variant (the space before a text, the patterns that cut words) the ids of
             all texts, and the text that llama.cpp makes of those ids

The two files have keys and no tensors; llama.cpp is given a copy with a tiny model inside.

Run: python make_golden.py (with gguf, numpy, xllamacpp). Deterministic.
"""

import collections
import json
import pathlib
import re
import tempfile

import gguf
import numpy as np

from llama import Llama

HERE = pathlib.Path(__file__).parent
TEXTS = json.loads((HERE / "texts.json").read_text(encoding="utf-8"))
NORMAL, UNKNOWN, CONTROL, USER, UNUSED, BYTE = 1, 2, 3, 4, 5, 6
WIDTH = 32
PATTERNS = ["default", "gpt-2", "smollm", "qwen2", "llama-bpe"]


def learn(words, count):
    """The most frequent pairs, merged one after the other: `count` merges of two pieces."""
    words = [(list(word), n) for word, n in sorted(words.items())]
    merges = []
    while len(merges) < count:
        pairs = collections.Counter()
        for word, n in words:
            for pair in zip(word, word[1:]):
                pairs[pair] += n
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        merges.append(best)
        for word, _ in words:
            i = 0
            while i + 1 < len(word):
                if (word[i], word[i + 1]) == best:
                    word[i : i + 2] = ["".join(best)]
                i += 1
    return merges


def score_tokens():
    """Texts, kinds and scores of the SentencePiece tokenizer."""
    tokens = [(name, CONTROL, -1000.0) for name in ("<pad>", "<eos>", "<bos>")]
    tokens += [("<unk>", UNKNOWN, 0.0)]
    tokens += [(f"<unused{i}>", CONTROL, -1000.0) for i in range(64)]
    tokens += [(name, CONTROL, -1000.0) for name in ("<start_of_turn>", "<end_of_turn>")]
    user = ["\n", "\n\n", "\n\n\n", "  ", "   ", "<b>", "</b>", "</s>", "ab#", "b#cd", "[multimodal]"]
    tokens += [(text, USER, -1000.0) for text in user]
    tokens += [(f"<0x{byte:02X}>", BYTE, 0.0) for byte in range(256)]

    words = collections.Counter()
    for text in TEXTS["sentences"]:
        words.update(re.findall("▁?[^▁]+", text.replace(" ", "▁")))
    # Repetitions, for pieces that can be made in several ways.
    words.update({"aaaaaaaa": 40, "hahahaha": 30, "ababab": 30})
    merged = []
    for one, other in learn(words, 380):
        if one + other not in merged:
            merged.append(one + other)
    # Three neighbours in the list share a score.
    tokens += [(text, NORMAL, -float(i // 3)) for i, text in enumerate(merged)]
    letters = sorted(set("".join(words)) | set("▁"), key=lambda c: (-sum(n for w, n in words.items() if c in w), c))
    letters = [letter for letter in letters if letter not in "z好"]
    tokens += [(letter, NORMAL, -500.0 - i) for i, letter in enumerate(letters)]
    # Pieces of characters that are none; and bytes and controls as text that could be merged.
    tokens += [("zz", NORMAL, -3.5), ("好好", NORMAL, -2.5), ("<0x4", NORMAL, -400.0), ("1>", NORMAL, -401.0)]
    tokens += [("<unused", NORMAL, -402.0), ("5>", NORMAL, -403.0), ("<", NORMAL, -900.0)]
    return tokens


def letters_of_bytes():
    """GPT-2's alphabet: a printable letter for each byte."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {**{b: chr(b) for b in printable}, **{b: chr(256 + i) for i, b in enumerate(others)}}


def byte_tokens():
    """Texts, kinds and merges of the byte-level tokenizer."""
    letters = letters_of_bytes()
    names = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    tokens = [(name, CONTROL) for name in names]
    tokens += [(letter, NORMAL) for byte, letter in sorted(letters.items()) if byte != 0xEF]
    words = collections.Counter()
    for text in TEXTS["sentences"]:
        for word in re.findall(r" ?\w+| ?[^\w\s]+|\s+", text):
            words["".join(letters[byte] for byte in word.encode())] += 1
    words.update({"0123456789": 20, "2024": 20, "ĠĠĠĠ": 20, "ĊĊ": 20, "...": 20})
    merges = learn(words, 300)
    known = {text for text, _ in tokens}
    for one, other in merges:
        if one + other not in known:
            known.add(one + other)
            tokens.append((one + other, NORMAL))
    tokens += [(text, USER) for text in ("<b>", "[multimodal]", "</s>")]
    # A word that no merges lead to: taken where the patterns say that whole words are.
    assert "Ġtranscription" not in known
    tokens += [("Ġtranscription", NORMAL), ("<unused>", UNUSED)]
    return tokens, [f"{one} {other}" for one, other in merges]


def write(path, keys, model):
    """A GGUF file of these tokenizer keys, with or without a tiny model."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("tokenizer for tests")
    count = len(keys["tokens"])
    for key, value in keys.items():
        key = f"tokenizer.ggml.{key}"
        if isinstance(value, bool):
            writer.add_bool(key, value)
        elif isinstance(value, int):
            writer.add_uint32(key, value)
        elif isinstance(value, str):
            writer.add_string(key, value)
        else:
            writer.add_array(key, value)
    if model:
        writer.add_vocab_size(count)
        writer.add_context_length(128)
        writer.add_embedding_length(WIDTH)
        writer.add_feed_forward_length(WIDTH)
        writer.add_block_count(1)
        writer.add_head_count(1)
        writer.add_layer_norm_rms_eps(1e-5)
        chance = np.random.default_rng(0)
        square = ["attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"]
        shapes = {f"blk.0.{name}.weight": (WIDTH, WIDTH) for name in square}
        shapes |= {f"blk.0.{name}.weight": (WIDTH,) for name in ("attn_norm", "ffn_norm")}
        shapes |= {"token_embd.weight": (count, WIDTH), "output_norm.weight": (WIDTH,)}
        for name, shape in shapes.items():
            writer.add_tensor(name, chance.standard_normal(shape, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    if model:
        writer.write_tensors_to_file()
    writer.close()


def main():
    texts = TEXTS["sentences"] + TEXTS["strange"]
    special = {"bos_token_id": 2, "eos_token_id": 1, "padding_token_id": 0, "unknown_token_id": 3}
    tokens, kinds, scores = map(list, zip(*score_tokens()))
    score = {"model": "llama", "pre": "default", "tokens": tokens, "token_type": kinds}
    score |= {"scores": scores, "add_space_prefix": False, "add_bos_token": True} | special
    both, merges = byte_tokens()
    tokens, kinds = map(list, zip(*both))
    special = {"bos_token_id": 1, "eos_token_id": 2, "padding_token_id": 0}
    byte = {"model": "gpt2", "pre": "smollm", "tokens": tokens, "token_type": kinds}
    byte |= {"merges": merges, "add_bos_token": False} | special

    variants = {"score": score, "score, add_space_prefix": score | {"add_space_prefix": True}}
    variants |= {f"byte, {pattern}": byte | {"pre": pattern} for pattern in PATTERNS}
    golden = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, keys in variants.items():
            path = pathlib.Path(folder) / f"{len(golden)}.gguf"
            write(path, keys, model=True)
            llama = Llama(path)
            ids = [llama.encode(text) for text in texts]
            golden[name] = {"ids": ids, "texts": [llama.decode(some) for some in ids]}
    write(HERE / "score.gguf", score, model=False)
    write(HERE / "byte.gguf", byte, model=False)
    lines = (f"{json.dumps(name)}: {json.dumps(golden[name], separators=(',', ':'))}" for name in golden)
    (HERE / "golden.json").write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
