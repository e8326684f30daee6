"""The two programs that are compared, as child processes whose time and memory are measured."""

import hashlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field

ROOT = pathlib.Path(__file__).resolve().parent.parent
REQUIREMENTS = ROOT / "scripts" / "compare-requirements.txt"

PLAIN = ["--no-vad", "--no-fallback", "--no-timestamps", "--beam", "1"]
# Name of each way of running Partita's Whisper engine: its flags.
PARTITA_SETTINGS = {
    "plain, padded": [*PLAIN, "--padded"],
    "plain, unpadded": [*PLAIN, "--unpadded"],
    "defaults": [],
}


def enter_venv() -> None:
    """Go on inside target/compare-venv, made on first use from compare-requirements.txt."""
    folder = ROOT / "target" / "compare-venv"
    python = folder / "bin" / "python"
    if pathlib.Path(sys.prefix).resolve() == folder.resolve():
        return
    wanted = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()
    stamp = folder / "requirements.sha256"
    if not stamp.exists() or stamp.read_text() != wanted:
        print(f"installing {REQUIREMENTS.name} into {folder.relative_to(ROOT)}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "-r", REQUIREMENTS], check=True)
        stamp.write_text(wanted)
    os.execv(python, [python, *sys.argv])


@dataclass
class Run:
    """What a child process printed and what it cost."""

    lines: list[dict]
    cpu: float  # user + system seconds of the whole process
    wall: float
    peak_mb: float
    rss_mb: list[tuple[float, float]] = field(default_factory=list)  # (seconds since start, MB)


def memory_mb(pid: int) -> dict[str, float]:
    """VmRSS and VmHWM of a process; empty when it is gone."""
    try:
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return {}
    rows = (line.split() for line in status.splitlines() if line.startswith(("VmRSS", "VmHWM")))
    return {row[0].rstrip(":"): int(row[1]) / 1024 for row in rows}


def run(command: list, poll: float = 0.05, threads: int | None = None) -> Run:
    """Run a command that prints JSON lines; stop everything when it fails.

    The peak is the kernel's own high-water mark (VmHWM), read while the process lives:
    `ru_maxrss` would count the parent's memory at the fork as well.
    """
    environment = dict(os.environ)
    if threads is not None:
        environment["OMP_NUM_THREADS"] = str(threads)
    rss, peak, over = [], [0.0], threading.Event()
    with tempfile.TemporaryFile("w+") as errors:
        started = time.perf_counter()
        child = subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE,
                                 stderr=errors, text=True, env=environment)

        def watch() -> None:
            while not over.wait(poll):
                now = memory_mb(child.pid)
                if now:
                    rss.append((time.perf_counter() - started, now["VmRSS"]))
                    peak[0] = max(peak[0], now["VmHWM"])

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        printed = child.stdout.read()
        _, status, usage = os.wait4(child.pid, 0)
        wall = time.perf_counter() - started
        child.returncode = os.waitstatus_to_exitcode(status)
        over.set()
        watcher.join()
        if child.returncode != 0:
            errors.seek(0)
            shown = " ".join(str(part) for part in command[:14])
            sys.exit(f"exit code {child.returncode} of: {shown} ...\n{errors.read()[-2000:]}")
    lines = [json.loads(line) for line in printed.splitlines() if line.startswith("{")]
    return Run(lines, usage.ru_utime + usage.ru_stime, wall, peak[0], rss)


def partita(binary: str, setting: str, lang: str | None, threads: int, files: list) -> list:
    """The command line of Partita's Whisper engine."""
    language = ["--lang", lang] if lang else []
    return [binary, "transcribe", "--engine", "whisper", "--json", "--quiet", "--threads", threads,
            *language, *PARTITA_SETTINGS[setting], *files]


def faster_whisper(model: str, setting: str, lang: str | None, threads: int, files: list) -> list:
    """The command line of faster-whisper with the same weights, in int8."""
    language = ["--lang", lang] if lang else []
    return [sys.executable, ROOT / "scripts" / "peer.py", "--model", model, "--setting", setting,
            "--threads", threads, *language, *files]


def whisper_folder(binary: str) -> str:
    """Where the model store keeps Whisper base in CTranslate2's form."""
    asked = [binary, "models", "path", "whisper-base", "model.bin"]
    found = subprocess.run(asked, capture_output=True, text=True)
    if found.returncode != 0:
        sys.exit(f"{' '.join(asked)}: {found.stderr.strip()}\nrun `make models` first")
    return str(pathlib.Path(found.stdout.strip()).parent)
