#!/usr/bin/env python3
"""Delays of live text on this machine: recordings of 2 to 10 s a language, played as if somebody
spoke them, with pauses between.

Prints a Markdown table, a row a language: first text after speech began, how late words are
committed, from the decision that speech has ended to the final text and to its translation (the
middle one and the 95th of a hundred), text taken back, cores busy, and the word error rate beside
that of `partita transcribe` of the same recordings.
"""

import argparse
import json
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import wave

import engines
from compare import RATE, clips
from engines import ROOT

PAUSE = 2.0  # seconds of silence around each clip
LENGTHS = (2.0, 10.0)


def conversation(chosen: list[dict], path: pathlib.Path) -> list[tuple[float, float]]:
    """Write clips in a row with pauses between; when each begins and ends."""
    import numpy as np
    from faster_whisper.audio import decode_audio

    silence = np.zeros(int(PAUSE * RATE), dtype=np.float32)
    parts, places, length = [silence], [], len(silence)
    for clip in chosen:
        samples = decode_audio(clip["file"], RATE)
        places.append((length / RATE, (length + len(samples)) / RATE))
        parts += [samples, silence]
        length += len(samples) + len(silence)
    whole = (np.concatenate(parts).clip(-1, 1) * 32767).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(whole.tobytes())
    return places


def listen(program: pathlib.Path, source: pathlib.Path, flags: list[str]):
    """Events of a live session, and the CPU seconds that it took."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [program, "listen", "--json", "--source", f"file:{source}", *flags]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(done.stderr)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return [json.loads(line) for line in done.stdout.splitlines()], cpu


def retractions(events: list[dict]) -> int:
    """How often a text did not begin with what had been committed of it."""
    kept, count = "", 0
    for event in events:
        if event["event"] == "started":
            kept = ""
        elif event["event"] == "partial":
            count += not event["committed"].startswith(kept)
            kept = event["committed"]
        elif event["event"] == "final":
            count += not event["text"].startswith(kept)
    return count


def percentile(values: list[float], share: float) -> float:
    values = sorted(values)
    return values[min(len(values) - 1, int(share * len(values)))] if values else float("nan")


def error_rate(lang: str, references: list[str], heard: list[str]) -> float:
    from compare import counts

    rows = counts(lang, references, heard)
    return 100 * sum(row[0] for row in rows) / max(1, sum(row[1] for row in rows))


def row(args: argparse.Namespace, lang: str, folder: pathlib.Path) -> list[str]:
    every = clips(args.data, lang, sys.maxsize)
    chosen = [clip for clip in every if LENGTHS[0] <= float(clip["seconds"]) <= LENGTHS[1]][: args.clips]
    source = folder / f"{lang}.wav"
    places = conversation(chosen, source)
    flags = ["--threads", str(args.threads), *args.flags]
    events, cpu = listen(args.program, source, flags)
    finals = [event for event in events if event["event"] == "final"]
    timing = [event["timing"] for event in finals]
    heard = []
    for start, end in places:
        middle = lambda event: (event["start"] + event["end"]) / 2  # noqa: E731
        texts = [e["text"] for e in finals if start - 0.5 <= middle(e) <= end + 0.5]
        heard.append(" ".join(texts))
    files = [clip["file"] for clip in chosen]
    rows = engines.run([args.program, "transcribe", "--json", "--quiet", *files]).lines
    references = [clip["transcript"] for clip in chosen]
    live = error_rate(lang, references, heard)
    whole = error_rate(lang, references, [line["text"] for line in rows])
    of = lambda key: [t[key] for t in timing if t[key] is not None]  # noqa: E731
    translated = [e["to_translation"] for e in events if e["event"] == "translation"]
    ms = lambda seconds: f"{1000 * seconds:.0f}"  # noqa: E731
    middle = lambda values: ms(percentile(values, 0.5))  # noqa: E731
    late = lambda values: ms(percentile(values, 0.95))  # noqa: E731
    seconds = events[-1]["seconds"]
    speech = sum(end - start for start, end in places)
    flicker = statistics.mean(of("flicker")) if finals else float("nan")
    return [
        lang, str(len(chosen)), f"{speech:.0f}",
        f"{middle(of('first_partial'))} / {late(of('first_partial'))}",
        f"{middle(of('commit_lag'))}",
        f"{middle(of('to_final'))} / {late(of('to_final'))}",
        f"{middle(translated)} / {late(translated)}" if translated else "",
        f"{flicker:.2f}", str(retractions(events)),
        f"{cpu / seconds:.2f}", f"{cpu / speech:.2f}", f"{live:.1f}", f"{whole:.1f}",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=pathlib.Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--langs", nargs="+", default=["en", "de", "fr", "es", "it"])
    parser.add_argument("--clips", type=int, default=12, help="recordings a language")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--program", type=pathlib.Path,
                        default=ROOT / "target" / "release" / "partita")
    parser.add_argument("flags", nargs="*", help="flags of `partita listen`, behind --")
    args = parser.parse_args()
    head = ["language", "clips", "speech s", "first text ms (50 / 95 %)", "commit ms",
            "final ms (50 / 95 %)", "translation ms (50 / 95 %)", "flicker", "retractions",
            "cores", "cores while speaking", "WER live", "WER of files"]
    print("| " + " | ".join(head) + " |")
    print("|" + "---|" * len(head))
    with tempfile.TemporaryDirectory() as folder:
        for lang in args.langs:
            print("| " + " | ".join(row(args, lang, pathlib.Path(folder))) + " |", flush=True)


if __name__ == "__main__":
    engines.enter_venv()
    main()
