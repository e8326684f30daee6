"""Compares our token ids with llama.cpp's, text by text, and prints every difference.

    python compare.py MODEL.gguf --program PATH/token_ids [--lines 10000] TEXTS…

TEXTS are files of one sentence a line (.txt, .txt.gz) or of sentence pairs with a header that
names the columns src_text and tgt_text (.tsv, .tsv.gz). The lines are taken evenly from all
columns of all files, evenly over each; then come the texts of texts.json, and 2,000 of random
characters. The program is our example `token_ids`:

    cargo build --release --workspace --example token_ids

Needs the package xllamacpp. Exits with 1 when a text differs.
"""

import argparse
import csv
import gzip
import json
import pathlib
import random
import subprocess
import sys

from llama import Llama

HERE = pathlib.Path(__file__).parent


def columns(path):
    """The columns of sentences of one file."""
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8", newline="") as file:
        if ".tsv" not in path.suffixes:
            return [[line.rstrip("\r\n") for line in file if line.strip()]]
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
        return [[row[name] for row in rows if row[name]] for name in ("src_text", "tgt_text")]


def evenly(paths, count):
    """`count` sentences in all, as many from each column; short columns are made up for."""
    left = sorted((column for path in paths for column in columns(path)), key=len)
    taken = []
    while left:
        share = -(-(count - len(taken)) // len(left))
        column = left.pop(0)
        share = min(share, len(column))
        taken += [column[i * len(column) // share] for i in range(share)] if share else []
    return taken[:count]


def random_texts(count):
    """Texts of characters from everywhere, in runs as in no language."""
    chance = random.Random(20)
    ranges = [
        (0x20, 0x7F), (0x20, 0x7F), (0x30, 0x3A), (0xA0, 0x180), (0x300, 0x370), (0x370, 0x530),
        (0x590, 0x700), (0x900, 0x980), (0xE00, 0xE80), (0x1100, 0x1200), (0x2000, 0x2070),
        (0x2150, 0x21A0), (0x2580, 0x2590), (0x3000, 0x3100), (0x4E00, 0x5200), (0xAC00, 0xAD00),
        (0xFE00, 0xFE10), (0xFF00, 0xFFF0), (0x1F300, 0x1F700), (0x20000, 0x20100), (0x00, 0x20),
        (0xE000, 0xE010), (0x10FFF0, 0x110000),
    ]
    usual = " \n\t'.,-0aeinstABCéß"
    texts = []
    for _ in range(count):
        text = ""
        for _ in range(chance.randrange(1, 25)):
            low, high = chance.choice(ranges)
            one = chance.choice(usual) if chance.random() < 0.5 else chr(chance.randrange(low, high))
            text += one * (chance.randrange(1, 8) if chance.random() < 0.2 else 1)
        texts.append(text)
    return texts


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("texts", type=pathlib.Path, nargs="*")
    parser.add_argument("--program", type=pathlib.Path, required=True)
    parser.add_argument("--lines", type=int, default=10_000)
    options = parser.parse_intermixed_args()

    own = json.loads((HERE / "texts.json").read_text(encoding="utf-8"))
    kinds = {
        "sentences": evenly(options.texts, options.lines),
        "texts.json": own["sentences"] + own["strange"],
        "random characters": random_texts(2000),
    }
    texts = [text for some in kinds.values() for text in some]
    lines = "".join(json.dumps(text) + "\n" for text in texts)
    program = [options.program, options.model]
    done = subprocess.run(program, input=lines.encode(), stdout=subprocess.PIPE, check=True)
    ours = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(ours) == len(texts)

    llama = Llama(options.model)
    start, wrong = 0, 0
    for kind, some in kinds.items():
        different = 0
        for text, ids in zip(some, ours[start:]):
            expected = llama.encode(text)
            if ids != expected:
                different += 1
                print(f"{text!r}\n  llama.cpp {expected}\n  ours      {ids}")
        print(f"{kind}: {different} of {len(some)} texts differ")
        start, wrong = start + len(some), wrong + different
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
