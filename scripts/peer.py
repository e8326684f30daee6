"""faster-whisper as a child process: files in, one JSON object a line out, as `partita transcribe
--json` prints them. A process of its own, so that its CPU time and memory are its own."""

import argparse
import json
import time

PLAIN = {
    "beam_size": 1,
    "temperature": 0.0,
    "vad_filter": False,
    "without_timestamps": True,
    "condition_on_previous_text": False,
    "compression_ratio_threshold": None,
    "log_prob_threshold": None,
    "no_speech_threshold": None,
}
SETTINGS = {"plain": PLAIN, "defaults": {"vad_filter": True}, "no-vad": {"vad_filter": False}}


def main() -> None:
    args = argparse.ArgumentParser(description=__doc__)
    args.add_argument("--model", required=True, help="folder of a CTranslate2 model")
    args.add_argument("--setting", choices=SETTINGS, required=True)
    args.add_argument("--lang", help="without it, the language is detected")
    args.add_argument("--threads", type=int, default=1)
    args.add_argument("files", nargs="+")
    args = args.parse_args()

    from faster_whisper import WhisperModel

    model = WhisperModel(args.model, device="cpu", compute_type="int8", cpu_threads=args.threads)
    for file in args.files:
        wall, cpu = time.perf_counter(), time.process_time()
        found, about = model.transcribe(file, language=args.lang, **SETTINGS[args.setting])
        segments = [{"start": s.start, "end": s.end, "text": s.text} for s in found]
        print(json.dumps({
            "file": file,
            "lang": about.language,
            "text": "".join(s["text"] for s in segments).strip(),
            "segments": segments,
            "seconds": about.duration,
            "elapsed": time.perf_counter() - wall,
            "cpu": time.process_time() - cpu,
        }, ensure_ascii=False), flush=True)


if __name__ == "__main__":
    main()
