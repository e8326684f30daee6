#!/usr/bin/env python3
"""Words invented where nobody speaks, and memory over a long recording.

Joins recorded noise and music with generated noise and silence into one recording of 30 minutes
and transcribes it with Partita and, its first 15 minutes, with faster-whisper with and without
voice activity detection, each with its own defaults. Every word is an invention. Prints a
Markdown table; writes the same as JSON with all that was heard.
"""

import argparse
import hashlib
import json
import os
import pathlib
import re
import sys
import tempfile

import engines
from engines import ROOT, Run

RATE = 16_000
BLOCKS = 4  # each: recorded noise, then half a minute of each generated kind
RECORDED = 330 * RATE
GENERATED = 30 * RATE
LEVELS = [-20, -30, -40, -50]  # dBFS of the generated noise, a level a block
CJK = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"  # scripts without spaces: a character is a word
WORD = re.compile(rf"[{CJK}]|[^\W{CJK}]+(?:['’][^\W{CJK}]+)*")


def recorded(data: pathlib.Path):
    """The recordings of the noise folder in the order of their hash, as one signal."""
    import numpy as np
    from faster_whisper.audio import decode_audio

    manifest = data / "noise" / "manifest.tsv"
    if not manifest.exists():
        sys.exit(f"{manifest} is missing: name a folder of recordings with --data")
    names = [row.split("\t")[0] for row in manifest.read_text(encoding="utf-8").splitlines()[1:]]
    names.sort(key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    joined, length = [], 0
    for name in names:
        joined.append(decode_audio(str(manifest.parent / name), RATE))
        length += len(joined[-1])
        if length >= BLOCKS * RECORDED:
            return np.concatenate(joined)
    sys.exit(f"{manifest.parent}: {length / RATE / 60:.1f} minutes of noise are too few")


def generated(block: int) -> list:
    """White noise, pink noise, mains hum and silence."""
    import numpy as np

    white = np.random.default_rng(block).standard_normal(GENERATED)
    spectrum = np.fft.rfft(np.random.default_rng(100 + block).standard_normal(GENERATED))
    frequency = np.fft.rfftfreq(GENERATED, 1 / RATE)
    pink = np.fft.irfft(spectrum / np.sqrt(np.maximum(frequency, 20)), GENERATED)
    time = np.arange(GENERATED) / RATE
    hum = sum(np.sin(2 * np.pi * 50 * k * time + k) / k for k in range(1, 9))
    loud = 10 ** (LEVELS[block] / 20)
    noises = [noise * loud / np.sqrt(np.mean(noise ** 2)) for noise in (white, pink, hum)]
    return [*noises, np.zeros(GENERATED)]


def write(path: pathlib.Path, audio) -> str:
    import wave

    import numpy as np

    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((np.clip(audio, -1, 1) * 32767).astype("<i2").tobytes())
    return str(path)


def summary(done: Run, minutes: float) -> dict:
    segments = [segment for line in done.lines for segment in line["segments"]]
    heard = [segment for segment in segments if segment["text"].strip()]
    load = done.wall - sum(line["elapsed"] for line in done.lines)
    first = load + (done.wall - load) / minutes  # when the first minute of audio was done, about
    early = [size for at, size in done.rss_mb if at <= first] or [size for _, size in done.rss_mb]
    return {
        "minutes": minutes,
        "words": sum(len(WORD.findall(segment["text"])) for segment in heard),
        "heard": heard,
        "cpu": done.cpu,
        "wall": done.wall,
        "rss_first_minute_mb": early[-1],
        "rss_end_mb": done.rss_mb[-1][1],
        "peak_mb": done.peak_mb,
    }


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=pathlib.Path, default=ROOT.parent / "shared" / "data",
                        help="folder with noise/manifest.tsv (default ../shared/data)")
    parser.add_argument("--partita", default=str(ROOT / "target" / "release" / "partita"))
    parser.add_argument("--model", help="CTranslate2 folder (default: the model store's)")
    parser.add_argument("--engines", nargs="+", default=["partita", "faster-whisper"],
                        choices=["partita", "faster-whisper"])
    parser.add_argument("--lang", help="without it, each program detects a language")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "target" / "compare")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    if not args.data.is_dir():
        sys.exit(f"{args.data}: no recordings there; name a folder with --data")
    engines.enter_venv()
    import numpy as np

    args.model = args.model or engines.whisper_folder(args.partita)
    args.out.mkdir(parents=True, exist_ok=True)
    noise = recorded(args.data)
    parts = []
    for block in range(BLOCKS):
        parts += [noise[block * RECORDED:(block + 1) * RECORDED], *generated(block)]
    audio = np.concatenate(parts)
    result = {"load_before": os.getloadavg(), "runs": {}}
    with tempfile.TemporaryDirectory() as folder:
        def measure(name: str, command, minutes: int) -> None:
            file = pathlib.Path(folder) / f"noise-{minutes}.wav"
            if not file.exists():
                write(file, audio[:minutes * 60 * RATE])
            print(f"  {name}, {minutes} min", file=sys.stderr, flush=True)
            done = engines.run(command([str(file)]), poll=1.0 if minutes > 1 else 0.05,
                               threads=args.threads)
            result["runs"][f"{name}, {minutes} min"] = summary(done, minutes)

        if "partita" in args.engines:
            for minutes in (1, 30):
                measure("partita, defaults", lambda files: engines.partita(
                    args.partita, "defaults", args.lang, args.threads, files), minutes)
        if "faster-whisper" in args.engines:
            for setting in ("no-vad", "defaults"):
                measure(f"faster-whisper, {setting}", lambda files, setting=setting:
                        engines.faster_whisper(args.model, setting, args.lang, args.threads, files),
                        15)
    print("| run | invented words | CPU s | wall s | MB after 1 min | MB at the end | peak MB |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name, run in result["runs"].items():
        print(f"| {name} | {run['words']} | {run['cpu']:.0f} | {run['wall']:.0f} | "
              f"{run['rss_first_minute_mb']:.0f} | {run['rss_end_mb']:.0f} | {run['peak_mb']:.0f} |")
    for name, run in result["runs"].items():
        for segment in run["heard"]:
            print(f"{name}: {segment['start']:.1f} s: {segment['text'].strip()}")
    result["load_after"] = os.getloadavg()
    written = args.out / "noise.json"
    written.write_text(json.dumps(result, indent=1, ensure_ascii=False), encoding="utf-8")
    print(f"written: {written}")


if __name__ == "__main__":
    main()
