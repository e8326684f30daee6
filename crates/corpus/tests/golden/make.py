#!/usr/bin/env python3
"""Records what Whisper's text normalisers and jiwer say about sentences made here.

Needs whisper-normalizer 0.1.15 and jiwer 4.0.0. Writes normalize.jsonl and error_rate.jsonl
beside this file. The sentences are our own: written by hand, or put together at random with a
fixed seed.
"""
import json
import pathlib
import random

import jiwer
from whisper_normalizer.basic import BasicTextNormalizer
from whisper_normalizer.english import EnglishTextNormalizer

HERE = pathlib.Path(__file__).parent
RANDOM = random.Random(20)

ENGLISH = """
He won't say what he can't say, and she's been there since they'd gone.
Mr. Brown and Mrs. Green met Dr. White on St. John's Street.
Let's go, y'all; I'ma show you what we're gonna do.
Um, well, uh, I dunno. Hmm, kinda sorta maybe? Mhm.
I wanna know 'cause she's got it. It ain't over, ma'am.
You should've seen it: we'd done all we could've.
I coulda, woulda, shoulda; I gotta, imma.
The price is $5.99, not €20 or £1,250.50.
It costs twenty five dollars and seven cents.
Two dollars and seven cents, three euros, ten pounds fifty.
Ninety nine cents is fifty per cent of it, or 12 percent, or 12.5%.
One hundred and twenty-three thousand, four hundred fifty-six.
Nineteen oh five, nineteen ninety nine, twenty twenty.
Call double oh seven, triple nine, or double five double six.
Three point one four one five nine. Point five. Zero point oh one.
Two and a half million. Ten and a half. Half and a half. 2 and a half.
Minus twenty degrees, plus five, negative one, positive people.
The twenty-first century, the third of May, the hundredth time, his ninth try.
In the nineteen sixties and the twenties there were hundreds of thousands of them.
1960s cars, the 274th day, the 32nd of 3rd 2nds.
One by one, the ones at one o'clock. Number 1 and 1s.
She has 1,000,000 reasons and 007 agents in 0.50 days at 10.0 each.
2.5 million, 3.25 thousand, 1.2.3 million, 2.55 hundred.
A decillion, a decillion decillion, nine hundred ninety nine decillion.
123456789012345678901234567890123456789012345 million is much.
Oh, oh! O zero o. Oh one two three four.
Programme, colour, grey, jewellery, organise; the theatre's centre.
[applause] Thank you (laughs) <noise> very much.
The cafe's naïve façade; Ærø, Łódź, Straße, Þór and Øresund.
E-mail me at a.b@example.org, or see www.example.org/x?y=1#z.
He said: "No!" — and left... 'Twas the night.
Rock 'n' roll, the 90's, o'clock, the dogs' bones.
Gen. Lee, Capt. Fox, Prof. Hill, Sen. Kay, Rep. Ray, Gov. Bell, Rev. Ash, Col. Orr.
Jr., Sr., Esq., Assoc., Asst., Hon., Lt., Ald., Pres.
Room 101a, B52s, mp3, 5th-7th, 3x4, 10km, 5 s, 5 th.
Ten to the power of nine; six sixes are thirty-six, sevenths, ninths, eighth, twelfth, fifth.
one two three four five six seven eight nine ten eleven twelve thirteen
twenty twenty one, twenty ten, thirty three three, one twenty three
one hundred one, one hundred eleven, one thousand one hundred, eleven hundred
per person, per cent, percent, five per person, five dollars per cent
and five, five and, hundred and, hundred and five, hundred and people, double, triple, double trouble, point, the point is
$ 5, 5 $, £, % 5, 5 %, . 5, 5 ., -5, +5, ¢5, $-5, €5.05 and ¢7
zero hundred, 0 million, 0 oh, oh hundred, o'five
""".strip().splitlines()

OTHERS = """
Ça va, l'été déjà ? « Oui », dit-il [rires] (un peu) — très bien !
Der Fußgänger überquert die Straße; größer, ÄÖÜ, „so“.
¿Cómo estás? ¡Muy bien! El niño, la señora y 3,5 kg.
Perché no? Così è, città, più giù: è l'ora.
Não há ação sem coração; pão-de-ló, você à mão.
Привет, как дела? Ёлка и йод — всё хорошо, №5.
Příliš žluťoučký kůň úpěl ďábelské ódy.
Zażółć gęślą jaźń. Łódź!
Smörgåsbord på ön; Ærø, Øl og Å.
İstanbul'da ılık IŞIK, ğüşöç.
Привіт, ґанок, їжак і є.
Això és l'exercici, col·laboració.
ΟΔΥΣΣΕΥΣ και ΣΑΣ· τι κάνεις;
你好，世界！这是（测试）一个【句子】。
臺灣的天氣很好，ＡＢＣ１２３　全形。
今日は「いい」天気ですね。ﾊﾝｶｸ ガギグ パピプ
안녕하세요, 반갑습니다! 한국어 123.
สวัสดีครับ ผมชื่อสมชาย
नमस्ते, आप कैसे हैं?
مرحبا، كيف حالك؟ السَّلامُ عَلَيْكُم
שָׁלוֹם עולם, מה נשמע?
ﬁne ﬂow Ⅳ ½ ² ℃ ㎏ ™ © €5 50% 1+1=2 a_b
e\u0301te\u0301 e\u0308 n\u0303 a\u030a combining
👍 emoji 👨\u200d👩\u200d👧 family 🇩🇪 flag
tab\there  two   spaces\u00a0nbsp\u3000wide
<a> [b] (c) {d} ((e)) [f(g] h) () [] <> ( unclosed
   leading and trailing   
""".strip("\n").splitlines()

UNITS = """one two three four five six seven eight nine ten eleven twelve thirteen fifteen nineteen
twenty thirty forty fifty ninety hundred thousand million billion and point oh zero double triple
first second third fifth twentieth hundredth tens twenties hundreds thousands dollars cents euros
percent per minus plus 3 14 2.5 $7 007 1960s 21st half a the of people colour""".split()


def random_numbers(count):
    for _ in range(count):
        yield " ".join(RANDOM.choice(UNITS) for _ in range(RANDOM.randint(2, 7)))


def plausible_numbers(count):
    """Numbers as people say them, with a word on either side."""
    ones = "one two three four five six seven eight nine".split()
    teens = "ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen".split()
    tens = "twenty thirty forty fifty sixty seventy eighty ninety".split()

    def below_hundred():
        return RANDOM.choice(
            [
                RANDOM.choice(ones),
                RANDOM.choice(teens),
                RANDOM.choice(tens),
                f"{RANDOM.choice(tens)}{RANDOM.choice('- ')}{RANDOM.choice(ones)}",
            ]
        )

    def below_thousand():
        joint = RANDOM.choice([" ", " and "])
        return RANDOM.choice(
            [below_hundred(), f"{RANDOM.choice(ones)} hundred{joint}{below_hundred()}"]
        )

    for _ in range(count):
        number = RANDOM.choice(
            [
                below_thousand(),
                f"{below_thousand()} thousand {below_thousand()}",
                f"{below_hundred()} million",
                f"{below_hundred()} point {below_hundred()} billion",
                f"nineteen {below_hundred()}",
            ]
        )
        unit = RANDOM.choice(["people", "dollars", "percent", "years", "pounds", "times"])
        yield f"She's counted {number} {unit}, hasn't she?"


def normalize_cases():
    basic = BasicTextNormalizer()
    strip = BasicTextNormalizer(remove_diacritics=True)
    letters = BasicTextNormalizer(split_letters=True)
    english = EnglishTextNormalizer()
    texts = ENGLISH + OTHERS + list(plausible_numbers(150)) + list(random_numbers(150))
    for text in texts:
        yield {
            "text": text,
            "basic": basic(text).strip(),
            "strip_diacritics": strip(text).strip(),
            "split_letters": letters(text).strip(),
            "english": english(text).strip(),
        }


def error_rate_cases():
    pool = "a b c d e f the cat sat on mat".split()
    pairs = [
        ("the cat sat on the mat", "the cat sat on the mat"),
        ("the cat sat on the mat", ""),
        ("a b", "b c"),
        ("a b c d", "d c b a"),
        ("guten morgen herr meier", "guten morgen frau maier bitte"),
    ]
    for _ in range(200):
        reference = [RANDOM.choice(pool) for _ in range(RANDOM.randint(1, 12))]
        hypothesis = [RANDOM.choice(pool) for _ in range(RANDOM.randint(0, 12))]
        if RANDOM.random() < 0.5:
            hypothesis = [w for w in reference if RANDOM.random() < 0.7] + hypothesis[:2]
        pairs.append((" ".join(reference), " ".join(hypothesis)))
    for reference, hypothesis in pairs:
        words = jiwer.process_words(reference, hypothesis)
        characters = jiwer.process_characters(reference, hypothesis)
        counts = lambda m: [m.substitutions, m.deletions, m.insertions]
        yield {
            "reference": reference,
            "hypothesis": hypothesis,
            "words": counts(words),
            "wer": words.wer,
            "characters": counts(characters),
            "cer": characters.cer,
        }
    references, hypotheses = zip(*pairs)
    yield {
        "corpus_wer": jiwer.wer(list(references), list(hypotheses)),
        "corpus_cer": jiwer.cer(list(references), list(hypotheses)),
    }


def write(name, rows):
    with open(HERE / name, "w", encoding="utf-8") as out:
        for row in rows:
            out.write(json.dumps(row, ensure_ascii=False) + "\n")


write("normalize.jsonl", normalize_cases())
write("error_rate.jsonl", error_rate_cases())
