#!/usr/bin/env python3
"""A long live session: does its memory grow, is an utterance missing, are words invented?

Plays recordings of several languages in turn, with pauses, over and over for so many hours of audio
(`--noise`: music and sounds without speech instead, where every word is an invented one), as fast
as `partita listen` takes it or at true speed, and prints its memory every minute.
"""

import argparse
import collections
import itertools
import json
import pathlib
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import wave

import engines
from compare import RATE, clips
from engines import ROOT

PAUSE = 1.5  # seconds of silence behind each clip
SETTLED = 5 * 60  # seconds of a session after which its memory must not grow


def pieces(args: argparse.Namespace) -> list[pathlib.Path]:
    """The recordings of one round."""
    if args.noise:
        rows = (args.data / "noise" / "manifest.tsv").read_text().splitlines()[1:]
        return [args.data / "noise" / row.split("\t")[0] for row in rows]
    chosen = []
    for lang in args.langs:
        every = [c for c in clips(args.data, lang, sys.maxsize) if 2 <= float(c["seconds"]) <= 12]
        chosen += [pathlib.Path(clip["file"]) for clip in every[: args.clips]]
    random.Random(1).shuffle(chosen)
    return chosen


def play(args: argparse.Namespace, path: pathlib.Path) -> float:
    """Writes the session's audio; seconds of a round."""
    import numpy as np
    from faster_whisper.audio import decode_audio

    silence = np.zeros(int(PAUSE * RATE), dtype=np.float32)
    parts = [part for piece in pieces(args) for part in (decode_audio(str(piece), RATE), silence)]
    samples = (np.concatenate(parts).clip(-1, 1) * 32767).astype("<i2")
    wanted = int(args.hours * 3600 * RATE)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        written = 0
        while written < wanted:
            part = samples[: wanted - written] if args.noise else samples
            file.writeframes(part.tobytes())
            written += len(part)
    return len(samples) / RATE


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=pathlib.Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--langs", nargs="+", default=["en", "de", "fr", "es", "it"])
    parser.add_argument("--clips", type=int, default=10, help="recordings a language and round")
    parser.add_argument("--hours", type=float, default=2.0)
    parser.add_argument("--speed", type=float, default=0.0, help="0: as fast as it is taken")
    parser.add_argument("--noise", action="store_true")
    parser.add_argument("--program", type=pathlib.Path,
                        default=ROOT / "target" / "release" / "partita")
    parser.add_argument("flags", nargs="*", help="flags of `partita listen`, behind --")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        source = pathlib.Path(folder) / "session.wav"
        length = play(args, source)
        report(args, source, length)


def report(args: argparse.Namespace, source: pathlib.Path, length: float) -> None:
    command = [args.program, "listen", "--json", "--source", f"file:{source}", "--speed",
               args.speed, *args.flags]
    begun = time.monotonic()
    child = subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, text=True)
    rounds, words, last, heard = collections.Counter(), [], {}, [0.0]
    memory: list[tuple[float, float]] = []  # seconds, MB

    def watch() -> None:
        for second in itertools.count():
            if child.poll() is not None:
                return
            found = engines.memory_mb(child.pid)
            if found:
                memory.append((time.monotonic() - begun, found["VmRSS"]))
                if second % 60 == 0:
                    print(f"{memory[-1][0] / 60:6.1f} min, audio {heard[0] / 60:6.1f} min:"
                          f" {found['VmRSS']:.1f} MB", flush=True)
            time.sleep(1)

    watcher = threading.Thread(target=watch)
    watcher.start()
    for line in child.stdout:
        last = json.loads(line)
        if last["event"] == "final":
            heard[0] = last["end"]
            middle = (last["start"] + last["end"]) / 2
            rounds[int(middle // length)] += 1
            words += last["text"].split()
            if args.noise:
                print(f"invented at {last['start']:.0f} s: {last['text']}", flush=True)
    watcher.join()
    if child.wait() != 0:
        sys.exit(f"ended with {child.returncode}")
    print(f"audio {last['seconds'] / 60:.1f} min in {(time.monotonic() - begun) / 60:.1f} min,"
          f" lost {last['lost']} s, {sum(rounds.values())} utterances, {len(words)} words")
    whole = [rounds[number] for number in range(int(last["seconds"] // length))]
    if whole and not args.noise:
        print(f"utterances a round of {length:.0f} s: {min(whole)} to {max(whole)},"
              f" {statistics.median(whole):.0f} in the middle")
    settled = [mb for seconds, mb in memory if seconds >= SETTLED]
    if settled:
        before = max(mb for seconds, mb in memory if seconds < SETTLED)
        print(f"memory in the first {SETTLED // 60} minutes: at most {before:.1f} MB,"
              f" at their end {settled[0]:.1f}, at most {max(settled):.1f} later,"
              f" in the end {settled[-1]:.1f}")


if __name__ == "__main__":
    engines.enter_venv()
    main()
