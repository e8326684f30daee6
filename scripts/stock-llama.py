"""Opens an exported pair in stock llama.cpp (the packages `xllamacpp` and `soundfile`) and compares what it writes.

python scripts/stock-llama.py NAME-QUANT.gguf mmproj-NAME-QUANT.gguf AUDIO... [--greedy PROGRAM]
python scripts/stock-llama.py NAME-QUANT.gguf mmproj-NAME-QUANT.gguf --answers ANSWERS.jsonl SPEECH.jsonl
python scripts/stock-llama.py MODEL.gguf --text "..."

Without audio, the language model alone goes on with a text. ANSWERS.jsonl is what `partita-train eval`
wrote about SPEECH.jsonl: its clips are transcribed here too, and word error rates of both printed. PROGRAM is the built example `greedy`;
with it, the same tokens are made by Partita and the two texts are compared.
"""

import argparse
import base64
import http.client
import io
import json
import os
import re
import subprocess
import sys
import time
import unicodedata
import urllib.parse

import soundfile
import xllamacpp


class Server:
    """One model, with its projector or without."""

    def __init__(self, model, projector=None):
        parameters = xllamacpp.CommonParams()
        parameters.model.path = model
        if projector:
            parameters.mmproj.path = projector
        parameters.n_ctx = 2048
        parameters.n_parallel = 1
        parameters.warmup = False
        parameters.port = 0
        parameters.use_jinja = True
        # Half-precision keys and values would decide between words that are about as likely.
        parameters.cache_type_k = parameters.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
        parameters.flash_attn_type = (
            xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED)
        begun = time.monotonic()
        self.server = xllamacpp.Server(parameters)
        self.seconds = time.monotonic() - begun
        self.address = urllib.parse.urlsplit(self.server.listening_address)

    def ask(self, path, question):
        headers = {"Content-Type": "application/json"}
        # One connection a question: the server closes those that wait.
        host, port = self.address.hostname, self.address.port
        connection = http.client.HTTPConnection(host, port, timeout=600)
        connection.request("POST", path, json.dumps(question), headers)
        answer = json.loads(connection.getresponse().read())
        if "error" in answer:
            raise SystemExit(f"{path}: {answer['error']}")
        return answer

    def go_on(self, text, most):
        question = {"prompt": text, "n_predict": most, "temperature": 0, "cache_prompt": False}
        return self.ask("/completion", question)["content"]

    def template(self, content):
        question = {"messages": [{"role": "user", "content": content}]}
        return self.ask("/apply-template", question)["prompt"]

    def hear(self, audio, kind, task, most):
        audio = base64.b64encode(audio).decode()
        content = [
            {"type": "input_audio", "input_audio": {"data": audio, "format": kind}},
            {"type": "text", "text": task},
        ]
        question = {
            "messages": [{"role": "user", "content": content}],
            "max_tokens": most,
            "temperature": 0,
            "cache_prompt": False,
        }
        answer = self.ask("/v1/chat/completions", question)
        return answer["choices"][0]["message"]["content"], answer["usage"]


def words(text):
    kept = (c if unicodedata.category(c)[0] in "LMN" or c == "'" else " " for c in text.lower())
    return "".join(kept).split()


def rate(pairs):
    """Word errors of (reference, hypothesis) pairs, percent, language by language and then the mean."""
    languages = {}
    for language, reference, hypothesis in pairs:
        errors, length = languages.get(language, (0, 0))
        reference, hypothesis = words(reference), words(hypothesis)
        row = list(range(len(hypothesis) + 1))
        for place, word in enumerate(reference, 1):
            corner, row[0] = row[0], place
            for at, other in enumerate(hypothesis, 1):
                corner, row[at] = row[at], min(row[at] + 1, row[at - 1] + 1, corner + (word != other))
        languages[language] = errors + row[-1], length + len(reference)
    rates = [100 * errors / max(length, 1) for errors, length in languages.values()]
    return sum(rates) / max(len(rates), 1)


def wav(manifest, clip):
    """A clip of a manifest, as the bytes of a file."""
    with soundfile.SoundFile(os.path.join(os.path.dirname(manifest), clip["audio_filepath"])) as file:
        file.seek(round(clip["offset"] * file.samplerate))
        samples = file.read(round(clip["duration"] * file.samplerate), always_2d=True)
        cut = io.BytesIO()
        soundfile.write(cut, samples.mean(axis=1), file.samplerate, format="WAV")
    return cut.getvalue()


def compare_answers(server, answers, manifest):
    """Transcribes the clips that `partita-train eval` was asked about, and scores both."""
    with open(manifest, encoding="utf-8") as lines:
        clips = {clip["id"]: clip for clip in map(json.loads, lines)}
    theirs, ours = [], []
    with open(answers, encoding="utf-8") as lines:
        rows = [row for row in map(json.loads, lines) if row["task"] == "asr" and row["lang"] != "none"]
    for row in rows:
        text, _ = server.hear(wav(manifest, clips[row["id"]]), "wav", "<asr>", 200)
        text = re.sub(r"<[^>]*>", " ", text).strip()
        theirs.append((row["lang"], row["reference"], text))
        ours.append((row["lang"], row["reference"], row["hypothesis"]))
        print(json.dumps({"id": row["id"], "llama.cpp": text, "partita": row["hypothesis"]}, ensure_ascii=False))
    print(f"{len(rows)} clips, word error rate: llama.cpp {rate(theirs):.2f}, Partita {rate(ours):.2f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("projector", nargs="?")
    parser.add_argument("audio", nargs="*")
    parser.add_argument("--text", default="The weather in Berlin is")
    parser.add_argument("--task", default="<asr>")
    parser.add_argument("--tokens", type=int, default=24)
    parser.add_argument("--greedy", help="the built example `greedy`")
    parser.add_argument("--answers", nargs=2, metavar=("ANSWERS", "MANIFEST"))
    arguments = parser.parse_args()
    server = Server(arguments.model, arguments.projector)
    print(f"opened in {server.seconds:.1f} s")
    if arguments.answers:
        compare_answers(server, *arguments.answers)
        return
    print("template:", json.dumps(server.template(arguments.task)))

    def ours(audio, prompt):
        command = [arguments.greedy, arguments.model, audio, prompt, str(arguments.tokens)]
        return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)

    different = 0
    theirs = server.go_on(arguments.text, arguments.tokens)
    print("text:", json.dumps(theirs, ensure_ascii=False))
    if arguments.greedy:
        own = ours("-", arguments.text)
        different += own["text"] != theirs
        print("ours:", json.dumps(own["text"], ensure_ascii=False), f"least gap {min(own['gaps']):.3f}")
    for path in arguments.audio:
        with open(path, "rb") as file:
            audio = file.read()
        theirs, usage = server.hear(audio, path.rsplit(".", 1)[-1], arguments.task, arguments.tokens)
        print(f"{path}:", json.dumps(theirs, ensure_ascii=False), usage)
        if arguments.greedy:
            own = ours(path, arguments.task)
            same = own["text"] == theirs
            different += not same
            gap = f"least gap {min(own['gaps']):.3f}"
            print("  ours:", json.dumps(own["text"], ensure_ascii=False), gap, "same" if same else "DIFFERENT")
    sys.exit(1 if different else 0)


main()
