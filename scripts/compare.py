#!/usr/bin/env python3
"""Partita's Whisper engine beside faster-whisper (int8), with the same weights on the same clips.

Error rates on a fixed list of real recordings per language, and speed on 5, 11 and 30 seconds of
English, each engine in processes of its own. Prints Markdown tables; writes the same as JSON.

plain     greedy, language given, no fallback, no voice activity detection, no timestamps
defaults  each program's own defaults (faster-whisper: with vad_filter), language given
"""

import argparse
import hashlib
import json
import os
import pathlib
import statistics
import sys
import tempfile

import engines
from engines import ROOT, Run

LANGUAGES = ["de", "en", "es", "fr", "it", "nl", "ru"]
PER_LANGUAGE = 300
BATCH = 100  # clips a process
SHORTEST, LONGEST = 1.0, 30.0
LENGTHS = [5, 11, 30]
VARIANTS = 3  # different recordings of each length
RATE = 16_000
# (setting of Partita, setting of faster-whisper that it is held against)
PAIRS = [("plain, padded", "plain"), ("plain, unpadded", "plain"), ("defaults", "defaults")]


def clips(data: pathlib.Path, lang: str, count: int) -> list[dict]:
    """The same clips each time: the first of those of fitting length, by the hash of their path."""
    manifest = data / "speech" / lang / "manifest.tsv"
    if not manifest.exists():
        sys.exit(f"{manifest} is missing: name a folder of recordings with --data")
    head, *rows = manifest.read_text(encoding="utf-8").splitlines()
    rows = [dict(zip(head.split("\t"), row.split("\t"))) for row in rows]
    rows = [row for row in rows if SHORTEST <= float(row["seconds"]) <= LONGEST]
    rows.sort(key=lambda row: hashlib.sha256(f"{lang}/{row['path']}".encode()).hexdigest())
    return [{**row, "file": str(manifest.parent / row["path"])} for row in rows[:count]]


def fingerprint(lists: dict[str, list[dict]]) -> str:
    text = "".join(f"{lang}/{clip['path']}\t{clip['transcript']}\n"
                   for lang, chosen in lists.items() for clip in chosen)
    return hashlib.sha256(text.encode()).hexdigest()


class Bench:
    """Runs the engines; keeps what they printed, so that --reuse can count again."""

    def __init__(self, args: argparse.Namespace, lists: dict[str, list[dict]]):
        self.args, self.lists, self.mark = args, lists, fingerprint(lists)

    def command(self, engine: str, setting: str, lang: str, threads: int, files: list) -> list:
        if engine == "partita":
            return engines.partita(self.args.partita, setting, lang, threads, files)
        return engines.faster_whisper(self.args.model, setting, lang, threads, files)

    def transcripts(self, engine: str, setting: str, lang: str) -> dict:
        """What an engine hears in the clips of a language, in their order, and what it cost."""
        kept = self.args.out / f"{engine}-{setting.replace(', ', '-')}-{lang}.json"
        known = {}
        if engine in self.args.reuse and kept.exists():
            known = json.loads(kept.read_text(encoding="utf-8"))
        files = [clip["file"] for clip in self.lists[lang]]
        left = [file for file in files if file not in known]
        while left:
            batch, left = left[:BATCH], left[BATCH:]
            print(f"  {lang}: {engine}, {setting}, {len(left) + len(batch)} clips to go",
                  file=sys.stderr, flush=True)
            done = engines.run(self.command(engine, setting, lang, self.args.threads, batch),
                               threads=self.args.threads)
            heard = {line["file"]: line for line in done.lines}
            missing = [file for file in batch if file not in heard]
            if missing:
                sys.exit(f"{engine}, {setting}: nothing printed for {missing[0]} and "
                         f"{len(missing) - 1} others")
            known |= {file: {"text": heard[file]["text"], "cpu": heard[file]["cpu"],
                             "peak_mb": done.peak_mb} for file in batch}
            kept.write_text(json.dumps(known, ensure_ascii=False, indent=1), encoding="utf-8")
        return {
            "texts": [known[file]["text"] for file in files],
            "cpu": sum(known[file]["cpu"] for file in files),
            "seconds": sum(float(clip["seconds"]) for clip in self.lists[lang]),
            "peak_mb": max(known[file]["peak_mb"] for file in files),
        }


def chosen_pairs(args: argparse.Namespace) -> list[tuple[str, str]]:
    return [pair for pair in PAIRS if set(pair) & set(args.settings)]


def settings_of(engine: str, pairs: list[tuple[str, str]]) -> list[str]:
    """The settings of one engine in these pairs, each once."""
    return list(dict.fromkeys(ours if engine == "partita" else theirs for ours, theirs in pairs))


def counts(lang: str, references: list[str], heard: list[str]):
    """Errors and reference words of each clip, as an array [clips, 2]."""
    import jiwer
    import numpy as np
    from whisper_normalizer.basic import BasicTextNormalizer
    from whisper_normalizer.english import EnglishTextNormalizer

    normal = EnglishTextNormalizer() if lang == "en" else BasicTextNormalizer()
    rows = []
    for reference, text in zip(references, heard):
        reference, text = normal(reference).strip(), normal(text).strip()
        if not reference:
            rows.append((len(text.split()), 0))
            continue
        found = jiwer.process_words(reference, text)
        errors = found.substitutions + found.deletions + found.insertions
        rows.append((errors, len(reference.split())))
    return np.array(rows, float)


def percent(rows) -> float:
    """The corpus's word error rate."""
    return 100 * rows[:, 0].sum() / rows[:, 1].sum()


def difference(ours, theirs) -> tuple[float, float, float]:
    """Our error rate less theirs, with a 95 % interval from resampling the clips."""
    import numpy as np

    picks = np.random.default_rng(1).integers(0, len(ours), (2000, len(ours)))
    words = ours[picks, 1].sum(1)
    spread = 100 * (ours[picks, 0].sum(1) - theirs[picks, 0].sum(1)) / words
    low, high = np.percentile(spread, [2.5, 97.5])
    return percent(ours) - percent(theirs), float(low), float(high)


def accuracy(bench: Bench, wanted: list[str]) -> dict:
    result = {}
    pairs = chosen_pairs(bench.args)
    for lang, chosen in bench.lists.items():
        references = [clip["transcript"] for clip in chosen]
        row = {"clips": len(chosen), "wer": {}, "cpu": {}, "peak_mb": {},
               "difference": {}}
        tallies = {}
        for engine in wanted:
            for setting in settings_of(engine, pairs):
                found = bench.transcripts(engine, setting, lang)
                tally = counts(lang, references, found["texts"])
                tallies[engine, setting] = tally
                row["words"] = int(tally[:, 1].sum())
                row["wer"][f"{engine}, {setting}"] = percent(tally)
                row["cpu"][f"{engine}, {setting}"] = found["cpu"] / found["seconds"]
                row["peak_mb"][f"{engine}, {setting}"] = found["peak_mb"]
        for ours, theirs in pairs:
            if ("partita", ours) in tallies and ("faster-whisper", theirs) in tallies:
                row["difference"][ours] = difference(
                    tallies["partita", ours], tallies["faster-whisper", theirs])
        result[lang] = row
    return result


def fluent_speaker(data: pathlib.Path) -> list[dict]:
    """The clips of the English speaker with the most words a second, in reading order: joined,
    they give an engine as much to decode as ordinary speech does."""
    speakers = {}
    for clip in sorted(clips(data, "en", sys.maxsize), key=lambda clip: clip["path"]):
        speakers.setdefault(clip["speaker"], []).append(clip)

    def seconds(chosen: list[dict]) -> float:
        return sum(float(clip["seconds"]) for clip in chosen)

    enough = [chosen for chosen in speakers.values() if seconds(chosen) >= LENGTHS[-1]]
    if not enough:
        sys.exit(f"no English speaker with {LENGTHS[-1]} s of recordings in {data}")
    return max(enough, key=lambda chosen: sum(
        len(clip["transcript"].split()) for clip in chosen) / seconds(chosen))


def cuts(data: pathlib.Path, folder: pathlib.Path) -> dict[int, list[str]]:
    """Three recordings each of exactly 5, 11 and 30 seconds of one English speaker."""
    import wave

    import numpy as np
    from faster_whisper.audio import decode_audio

    spoken = [decode_audio(clip["file"], RATE) for clip in fluent_speaker(data)]
    made = {length: [] for length in LENGTHS}
    for variant in range(VARIANTS):
        first = variant * len(spoken) // VARIANTS
        joined = np.concatenate(spoken[first:] + spoken[:first])
        for length in LENGTHS:
            samples = (joined[:length * RATE] * 32767).clip(-32768, 32767).astype("<i2")
            name = folder / f"{length}s-{variant}.wav"
            with wave.open(str(name), "wb") as file:
                file.setnchannels(1)
                file.setsampwidth(2)
                file.setframerate(RATE)
                file.writeframes(samples.tobytes())
            made[length].append(str(name))
    return made


def speed(bench: Bench, wanted: list[str]) -> list[dict]:
    """CPU and wall seconds a clip; the first clip of each process only warms it up."""
    pairs = chosen_pairs(bench.args)
    settings = [(engine, setting) for engine in wanted for setting in settings_of(engine, pairs)]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        made = cuts(bench.args.data, pathlib.Path(folder))
        for threads in bench.args.speed_threads:
            for engine, setting in settings:
                row = {"engine": engine, "setting": setting, "threads": threads, "lengths": {}}
                for length in LENGTHS:
                    print(f"  speed: {engine}, {setting}, {threads} threads, {length} s",
                          file=sys.stderr, flush=True)
                    files = [made[length][0], *made[length]]
                    command = bench.command(engine, setting, "en", threads, files)
                    runs = [engines.run(command, threads=threads)
                            for _ in range(bench.args.repeats)]
                    row["lengths"][length] = cost(runs, files, length)
                rows.append(row)
    return rows


def cost(runs: list[Run], files: list[str], length: int) -> dict:
    # A warm-up file is named twice, so lines are taken by place.
    if any(len(done.lines) != len(files) for done in runs):
        sys.exit(f"{len(files)} files given, {[len(done.lines) for done in runs]} lines printed")
    timed = [line for done in runs for line in done.lines[1:]]
    cpu = statistics.median(line["cpu"] for line in timed)
    wall = statistics.median(line["elapsed"] for line in timed)
    return {
        "cpu": cpu,
        "cpu_spread": [min(line["cpu"] for line in timed), max(line["cpu"] for line in timed)],
        "wall": wall,
        "cpu_rtf": cpu / length,
        "wall_rtf": wall / length,
        "peak_mb": max(done.peak_mb for done in runs),
        "start_cpu": statistics.median(
            done.cpu - sum(line["cpu"] for line in done.lines) for done in runs),
        "start_wall": statistics.median(
            done.wall - sum(line["elapsed"] for line in done.lines) for done in runs),
    }


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def report_accuracy(result: dict) -> str:
    names = list(next(iter(result.values()))["wer"])
    pairs = list(next(iter(result.values()))["difference"])
    head = ["language", "clips", "words", *names, *(f"difference, {pair} [95 %]" for pair in pairs)]
    rows = []
    for lang, row in result.items():
        shown = [f"{change:+.2f} [{low:+.2f}, {high:+.2f}]"
                 for change, low, high in row["difference"].values()]
        rows.append([lang, str(row["clips"]), str(row["words"]),
                     *(f"{row['wer'][name]:.2f}" for name in names), *shown])
    text = "Word error rate, %\n\n" + table(head, rows)
    for pair in pairs:
        off = [lang for lang, row in result.items() if abs(row["difference"][pair][0]) > 1.0]
        text += f"\n{pair}: " + (f"more than 1.0 apart: {', '.join(off)}" if off
                                 else "within 1.0 on every language")
    rows = [[lang, *(f"{row['cpu'][name]:.3f}" for name in names)] for lang, row in result.items()]
    return text + "\n\nCPU seconds a second of audio\n\n" + table(["language", *names], rows)


def report_speed(rows: list[dict]) -> str:
    head = ["engine", "setting", "threads", *(f"CPU s, {n} s" for n in LENGTHS),
            *(f"wall s, {n} s" for n in LENGTHS), "CPU RTF at 30 s", "wall RTF at 30 s",
            "start CPU s", "peak MB"]
    shown = []
    for row in rows:
        each, longest = row["lengths"], row["lengths"][LENGTHS[-1]]
        shown.append([
            row["engine"], row["setting"], str(row["threads"]),
            *(f"{each[n]['cpu']:.2f}" for n in LENGTHS),
            *(f"{each[n]['wall']:.2f}" for n in LENGTHS),
            f"{longest['cpu_rtf']:.3f}", f"{longest['wall_rtf']:.3f}",
            f"{longest['start_cpu']:.2f}", f"{max(n['peak_mb'] for n in each.values()):.0f}"])
    return "Speed: one clip, median\n\n" + table(head, shown)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=pathlib.Path, default=ROOT.parent / "shared" / "data",
                        help="folder with speech/LANG/manifest.tsv (default ../shared/data)")
    parser.add_argument("--partita", default=str(ROOT / "target" / "release" / "partita"))
    parser.add_argument("--model", help="CTranslate2 folder (default: the model store's)")
    parser.add_argument("--langs", nargs="+", default=LANGUAGES)
    parser.add_argument("--clips", type=int, default=PER_LANGUAGE, help="at most, a language")
    parser.add_argument("--quick", action="store_true", help="20 clips a language, one repeat")
    parser.add_argument("--engines", nargs="+", default=["faster-whisper", "partita"],
                        choices=["faster-whisper", "partita"])
    parser.add_argument("--settings", nargs="+", default=["plain", "defaults"],
                        choices=sorted({name for pair in PAIRS for name in pair}))
    parser.add_argument("--only", choices=["accuracy", "speed"])
    parser.add_argument("--threads", type=int, default=1, help="for the error rates")
    parser.add_argument("--speed-threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repeats", type=int, default=3, help="processes for each speed figure")
    parser.add_argument("--reuse", nargs="+", default=[],
                        choices=["faster-whisper", "partita"],
                        help="take what these left in --out before, and run only the rest")
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "target" / "compare")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    if not args.data.is_dir():
        sys.exit(f"{args.data}: no recordings there; name a folder with --data")
    engines.enter_venv()
    if "partita" in args.engines and not os.access(args.partita, os.X_OK):
        sys.exit(f"{args.partita} is missing: cargo build --release -p partita")
    args.model = args.model or engines.whisper_folder(args.partita)
    args.out.mkdir(parents=True, exist_ok=True)
    count = 20 if args.quick else args.clips
    args.repeats = 1 if args.quick else args.repeats
    lists = {lang: clips(args.data, lang, count) for lang in args.langs}
    bench = Bench(args, lists)
    result = {"list_sha256": bench.mark, "load_before": os.getloadavg()}
    print(f"{sum(map(len, lists.values()))} clips, list sha256 {bench.mark}\n", flush=True)
    if args.only != "speed":
        result["accuracy"] = accuracy(bench, args.engines)
        print(report_accuracy(result["accuracy"]), flush=True)
    if args.only != "accuracy":
        result["speed"] = speed(bench, args.engines)
        print(report_speed(result["speed"]))
    result["load_after"] = os.getloadavg()
    print("load before {:.1f}, after {:.1f}; {} processors".format(
        result["load_before"][0], result["load_after"][0], os.cpu_count()))
    written = args.out / "results.json"
    written.write_text(json.dumps(result, indent=1, ensure_ascii=False), encoding="utf-8")
    print(f"written: {written}")


if __name__ == "__main__":
    main()
