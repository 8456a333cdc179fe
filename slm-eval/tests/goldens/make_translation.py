"""Makes translation.json: BLEU, chrF and chrF++ by sacrebleu, of pairs with what its tokenizer treats in ways of its own.

    pip install sacrebleu && python make_translation.py
"""

import json
import pathlib

import sacrebleu
from sacrebleu.metrics import CHRF

PAIRS = [
    ("The cat sat on the mat.", ["The cat sat on the mat.", "A cat was sitting on a mat."]),
    ("A cat on mat", ["The cat sat on the mat.", "There is a cat on the mat."]),
    ("Pumps of 3.5 kW, 1,200 pieces; see p. 7-9 (old)!", ["Pumps of 3.5kW: 1,200 pieces, see pages 7-9 (old)."]),
    ("&quot;Ohm&quot; &amp; Volt &lt;tag&gt;", ["\"Ohm\" & Volt <tag>"]),
    ("", ["Nothing was said."]),
    ("Something", [""]),
    ("no", ["yes"]),
    ("yes", ["yes"]),
    ("Grüße aus Köln, liebe Ärztin — naïve façade", ["Grüsse aus Köln, liebe Ärztin – naive Fassade", "Hallo aus Köln"]),
    ("机器翻译很有用。", ["机器翻译非常有用。"]),
    ("the the the the the the the", ["the cat is on the mat", "there is a cat on the mat"]),
    ("a line that is bro-\nken and\ngoes on   ", ["a line that is broken and goes on"]),
    ("(bracketed) 'quoted' \"both\" $5 50% #1 a/b a_b x^2 {y} ~z", ["[bracketed] 'quoted' \"both\" 5 $ 50 % no. 1 a/b a_b x^2 {y} z"]),
    ("Set the valve to 12, then wait 5 minutes, and close it", ["Set the valve to 12 and wait five minutes before you close it."]),
    ("one two three", ["one two three four five six seven eight"]),
    ("one two three four five six seven eight", ["one two three"]),
    ("x, y.z ,w .5 5. 5,5", ["x , y . z , w 0.5 5 . 5,5"]),
]

# Corpora want as many references for each text.
most = max(len(references) for _, references in PAIRS)
texts = [text for text, _ in PAIRS]
columns = [[references[min(i, len(references) - 1)] for _, references in PAIRS] for i in range(most)]
chrf, chrf_words = CHRF(), CHRF(word_order=2)
rows = [{"text": text, "references": references,
         "bleu": sacrebleu.sentence_bleu(text, references).score,
         "chrf": chrf.sentence_score(text, references).score,
         "chrf_words": chrf_words.sentence_score(text, references).score} for text, references in PAIRS]
golden = {"sacrebleu": sacrebleu.__version__, "rows": rows,
          "corpus": {"bleu": sacrebleu.corpus_bleu(texts, columns).score, "chrf": chrf.corpus_score(texts, columns).score,
                     "chrf_words": chrf_words.corpus_score(texts, columns).score}}
path = pathlib.Path(__file__).with_name("translation.json")
path.write_text(json.dumps(golden, indent=1, ensure_ascii=False) + "\n")
print(path, {k: round(v, 3) for k, v in golden["corpus"].items()})
