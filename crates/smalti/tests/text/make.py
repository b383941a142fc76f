"""Makes the fixture of `text.rs`: what the wordllama package, with the tokenizers package, does with some texts.

    scripts/fetch-assets text
    pip install wordllama==0.4.0.post1
    python make.py
"""

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file
from tokenizers import Tokenizer
from wordllama import WordLlamaInference

ASSETS = Path(__file__).resolve().parents[4] / "assets" / "weights" / "text"
# How many numbers of every vector are kept.
NUMBERS = 4

TEXTS = [
    "",
    " ",
    "   ",
    "a",
    " a",
    "a ",
    "a dog",
    "A dog.",
    "grinning face with smiling eyes",
    "a photo of a mountain lake at sunset, snow in the foreground",
    "The quick brown fox jumps over the lazy dog.",
    "flag: Côte d’Ivoire",
    "the the the the the",
    "supercalifragilisticexpialidocious",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "oil painting, 1889; 73.7 cm × 92.1 cm",
    "0123456789 3.14159 -1e-5 1,000,000",
    "2024-02-29T12:34:56Z",
    "naïve café, déjà vu, Ångström, Łódź, mañana",
    "Straße, Größe, Füße",
    "œuvre d'art à l'été",
    "cafe\u0301 combining",
    "привет, мир",
    "γειά σου κόσμε",
    "مرحبا بالعالم",
    "שלום עולם",
    "नमस्ते दुनिया",
    "สวัสดีชาวโลก",
    "你好，世界",
    "こんにちは世界",
    "안녕하세요 세계",
    "ქართული",
    "🙂",
    "a 🙂 b 🙂🙂",
    "👩‍👩‍👧‍👦 family",
    "🏳️‍🌈 🇨🇭 👍🏽",
    "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𐍈 𓀀",
    "\t",
    "\n\n\n",
    "one\ttwo\nthree\r\nfour",
    "\u0000",
    "\u0001\u001b[31m\u007f",
    "\ufffd \ufeff \u200b \u00a0 \u2028",
    "\ue000 \U0010ffff",
    "▁",
    "▁a▁▁b",
    "a▁ b",
    "<s>",
    "</s>",
    "a</s>b",
    " </s> ",
    "<s>a dog</s><s>a cat</s>",
    "<unk><unk>",
    "<s",
    "<<s>>",
    "<0x41>",
    "<0x0A><0xFF>",
    "if (x < 3 && y >= 2) { return x[0] + \"\\n\"; }",
    "https://example.org/a?b=c&d=%20#e",
    "user.name+tag@example.org",
    "#hashtag @mention $5 50% ^_^ ~*~",
    "don't can't won't I'll we've",
    "ALL CAPS and cAmElCaSe and snake_case and kebab-case",
    "................................................................",
    "- a\n- b\n    - c\n        - d",
    " leading and trailing and   many    spaces     ",
]
# Of one text many times over only a checksum is kept.
REPEATED, TIMES = "A lighthouse in fog, 🙂 naïve</s>; aaa  lllll ", 2000


def checksum(tokens):
    value = 0
    for token in tokens:
        value = (value * 31 + token + 1) % (1 << 32)
    return value


def main():
    table = load_file(ASSETS / "l2_supercat_256.safetensors")["embedding.weight"]
    tokenizer = Tokenizer.from_file(str(ASSETS / "l2_supercat_tokenizer_config.json"))
    encoder = WordLlamaInference(table, tokenizer)
    cases = []
    for text in TEXTS:
        tokens = encoder.tokenize(text)[0].ids
        vector = encoder.embed(text)[0]
        length = float(np.sqrt((vector.astype(np.float64) ** 2).sum()))
        numbers = [round(float(value), 6) for value in (*vector[:NUMBERS], length)]
        cases.append(json.dumps([text, tokens, numbers], ensure_ascii=True, separators=(",", ":")))
    tokens = encoder.tokenize(REPEATED * TIMES)[0].ids
    vector = encoder.embed(REPEATED * TIMES)[0]
    long = {
        "repeated": REPEATED,
        "times": TIMES,
        "count": len(tokens),
        "checksum": checksum(tokens),
        "numbers": [round(float(value), 6) for value in vector[:NUMBERS]],
    }
    path = Path(__file__).with_name("wordllama.json")
    path.write_text('{"cases":[\n' + ",\n".join(cases) + '\n],\n"long":' + json.dumps(long) + "}\n")
    print(f"{path.name}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
