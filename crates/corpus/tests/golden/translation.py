#!/usr/bin/env python3
"""Records what sacreBLEU says about translations made here.

Needs sacrebleu 2.6.0. Writes translation.json beside this file. The sentences are our own: written by
hand, or these spoiled at random with a fixed seed. With arguments (TOKENIZER REFERENCES HYPOTHESES,
files of lines) it prints the scores of those instead, as JSON.
"""
import json
import pathlib
import random
import sys

from sacrebleu.metrics import BLEU, CHRF

HERE = pathlib.Path(__file__).parent
RANDOM = random.Random(7)

LINES = {
    "en": """
The harbour was closed because of the storm, wasn't it?
Mr. Brown paid $1,250.50 (about 5% more) on 3/4/2019.
She said: "Don't touch the well-known state-of-the-art pump!"
A e-mail to a.b@example.org; see http://example.org/x?y=1&z=2#top.
The 10-year-old boy ran 3.5 km in 20-25 minutes, i.e. 1.2.3 times faster...
He's got R&amp;D, &quot;quotes&quot;, &lt;tags&gt; and &amp;quot; in it.
Version 2.0-beta, section 4., item 5, and .5 or ,5 of it.
It costs 5,- or 5.-, and -5 is less than 5 - 3.
<skipped> is skipped, and so is this<skipped>.
[brackets] {braces} ~tilde~ `tick` ^caret^ _under_ |pipe| \\back\\ *star* +plus=
What?! No... yes!!! (Well, maybe.)
one
one two
one two three
one two three four
The the the the cat.
""",
    "de": """
Der Hafen war wegen des Sturms geschlossen, nicht wahr?
Herr Braun zahlte 1.250,50 € (etwa 5 % mehr) am 3.4.2019.
Sie sagte: „Fass die allseits bekannte Pumpe nicht an!“
Die Straßenbahn fährt um 7.30 Uhr – oder um 8?
Größe, Maße und Gewicht: 1,80 m, 75 kg.
""",
    "fr": """
L'été, c'est « déjà » fini : qu'est-ce qu'on fait ?
Aujourd’hui, il a payé 1 250,50 € à l’œuvre d’un cœur naïf.
""",
    "ru": """
Гавань была закрыта из-за шторма, не так ли?
Он сказал: «Не трогай насос!» — и ушёл в 7:30.
""",
    "ar": """
كان الميناء مغلقا بسبب العاصفة، أليس كذلك؟
دفع ٥٠٪ من ١٬٢٥٠ درهم.
""",
    "hi": """
तूफ़ान के कारण बंदरगाह बंद था, है ना?
उसने १,२५० रुपये दिए।
""",
    "zh": """
因为暴风雨，港口关闭了，不是吗？
他付了1,250.50元（大约多5%），日期是2019-3-4。
她说：“别碰那台著名的泵！”——然后走了……
我们用Wi-Fi发了3.5MB的e-mail给A.B.先生。
《红色的船》是1,000,000人看过的电影。
㐀㐁𠀀𠀁 罕见字；☂☃ → ≤ ℃ ①②
ＡＢＣ１２３，全角；半角ｶﾀｶﾅ。
""",
    "ja": """
嵐のため、港は閉まっていましたよね？
彼は1,250.50円（約5％増）を2019年3月4日に払った。
「有名なポンプに触るな！」と彼女は言った。
メールをa.b@example.orgに送ってください。
すもももももももものうち。
""",
    "ko": """
폭풍 때문에 항구가 닫혔죠, 그렇지 않나요?
그는 1,250.50원(약 5% 더)을 냈다.
""",
}

# Spaces of all kinds, characters of more than one code point, nothing at all.
ODD = [
    ("a\u00a0b\u2003c\u3000d\u200be", "a b c d e"),
    ("tab\there\x1cthere\x85now", "tab here there now"),
    ("  leading and trailing  ", "leading and trailing"),
    ("cafe\u0301 nai\u0308ve", "café naïve"),
    ("👩‍👩‍👧 went to 🇩🇪!", "👩‍👩‍👧 went to 🇩🇪 !"),
    ("line-\nbreak and\nanother", "linebreak and another"),
    ("something", ""),
    ("", "something"),
    ("", ""),
    ("   ", "..."),
    ("...", "…"),
    ("1.", "1 ."),
]


def lines(*langs):
    return [line for lang in langs for line in LINES[lang].strip().split("\n")]


def spoil(line, spaced):
    """The line with some units missing, doubled, exchanged or of another case."""
    units = line.split(" ") if spaced else list(line)
    out = []
    for unit in units:
        draw = RANDOM.random()
        if draw < 0.08:
            continue
        if draw < 0.12:
            out.append(unit)
        if draw < 0.16:
            unit = RANDOM.choice(units)
        if draw < 0.20:
            unit = unit.swapcase()
        if draw < 0.24 and out:
            unit, out[-1] = out[-1], unit
        out.append(unit)
    return (" " if spaced else "").join(out)


def measured(name, tokenizer, pairs):
    references, hypotheses = [r for r, _ in pairs], [h for _, h in pairs]
    bleu, chrf = BLEU(tokenize=tokenizer), CHRF()
    score = bleu.corpus_score(hypotheses, [references])
    return {
        "name": name,
        "tokenizer": tokenizer,
        "references": references,
        "hypotheses": hypotheses,
        "tokens": [bleu._preprocess_segment(line).split() for line in references],
        "bleu": score.score,
        "counts": [score.sys_len, score.ref_len, *score.counts, *score.totals],
        "chrf": chrf.corpus_score(hypotheses, [references]).score,
        "signatures": [str(bleu.get_signature()), str(chrf.get_signature())],
    }


def main():
    spaced = lines("en", "de", "fr", "ru", "ar", "hi", "ko")
    unspaced = lines("zh", "ja")
    corpora = []
    for tokenizer in ["13a", "zh", "char"]:
        for name, all_lines, has_spaces in [
            ("spaced", spaced, True),
            ("unspaced", unspaced, False),
        ]:
            for again in range(3):
                pairs = [(line, spoil(line, has_spaces)) for line in all_lines]
                corpora.append(measured(f"{name} {again}", tokenizer, pairs))
        corpora.append(measured("the same", tokenizer, [(l, l) for l in spaced + unspaced]))
        corpora.append(measured("odd", tokenizer, ODD))
        corpora.append(measured("nothing", tokenizer, [("There was a text.", "")]))
        corpora.append(measured("short", tokenizer, [("a b c", "a b c"), ("d e", "d e")]))
        corpora.append(measured("no long runs", tokenizer, [("a b c d e f", "a b x c d y e f")]))
        corpora.append(measured("no match", tokenizer, [("a b c d", "w x y z")]))
        corpora.append(measured("brief", tokenizer, [("a b c d e f g h", "a b c d e")]))
        # Sentences by themselves: zeros and smoothing at every order.
        for at, line in enumerate(RANDOM.sample(spaced + unspaced, 25)):
            pair = (line, spoil(line, at % 2 == 0))
            corpora.append(measured(f"sentence {at}", tokenizer, [pair]))
    text = json.dumps(corpora, ensure_ascii=False, indent=None, separators=(",", ":"))
    (HERE / "translation.json").write_text(text.replace('},{"name"', '},\n{"name"') + "\n")


if len(sys.argv) == 4:
    read = lambda path: pathlib.Path(path).read_text().split("\n")
    found = measured("given", sys.argv[1], list(zip(read(sys.argv[2]), read(sys.argv[3]))))
    print(json.dumps({key: found[key] for key in ["bleu", "counts", "chrf"]}))
else:
    main()
