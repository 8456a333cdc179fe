"""Records which instructions the checker of lm-evaluation-harness finds followed by answers of our own:
`instructions.json`.

    pip install lm-eval==0.4.13 nltk==3.10.4 langdetect==1.0.9 immutabledict==4.3.1
    python make_instructions.py english.json

NLTK's model of English sentences comes from its `punkt_tab` data, or, where that cannot be downloaded, from the same
parameters as JSON (`src/data/english.json` of the crate punkt 1.0.5), whose path is the argument.
"""
import json
import random
import sys
from collections import defaultdict
from pathlib import Path

import langdetect
import nltk
from nltk.tokenize.punkt import PunktParameters, PunktSentenceTokenizer

if len(sys.argv) > 1:
    data = json.loads(Path(sys.argv[1]).read_text())
    parameters = PunktParameters()
    parameters.abbrev_types = set(data["abbrev_types"])
    parameters.collocations = {tuple(pair) for pair in data["collocations"]}
    parameters.sent_starters = set(data["sentence_starters"])
    parameters.ortho_context = defaultdict(int, data["ortho_context"])
    punkt = PunktSentenceTokenizer(parameters)
    nltk.data.find = lambda *_: None
    nltk.tokenize._get_punkt_tokenizer = lambda language="english": punkt

from lm_eval.tasks.ifeval import instructions_util
from lm_eval.tasks.ifeval.utils import InputExample, test_instruction_following_loose, test_instruction_following_strict

if len(sys.argv) > 1:
    instructions_util._get_sentence_tokenizer = lambda: punkt
langdetect.DetectorFactory.seed = 0

RELATIONS = ["less than", "at least"]
SENTENCES = """The garden is quiet in the morning. We walked along the river until it was dark. Dr. Smith arrived at 5 p.m. on
Monday. Prices rose by 3.5 percent, from $10 to $10.35. \"Is it true?\" she asked. Nobody knew why the lights went out! He
works for the U.S. government. Wait... what happened here? The store (open since 1999) sells tea, coffee, etc. to tourists.
Please read section 2. It explains everything. My friend J. Miller lives in Paris. This is amazing!!! Really?! The
answer is yes, of course. They moved to St. Louis in Jan. 2020. I can't believe it's over. Mr. and Mrs. Jones stayed; we
didn't. Visit www.example.com today. First, mix the flour. Then add water, salt and oil.""".replace("\n", " ")
FOREIGN = {
    "de": "Der Garten ist am Morgen sehr ruhig und wir gehen gerne am Fluss spazieren, bevor die Sonne untergeht.",
    "fr": "Le jardin est très calme le matin et nous aimons marcher le long de la rivière avant la nuit.",
    "es": "El jardín está muy tranquilo por la mañana y nos gusta caminar junto al río antes de la noche.",
    "it": "Il giardino è molto tranquillo al mattino e ci piace camminare lungo il fiume prima di sera.",
    "ru": "Утром в саду очень тихо, и мы любим гулять вдоль реки до захода солнца.",
    "hi": "सुबह बगीचा बहुत शांत होता है और हमें शाम से पहले नदी के किनारे चलना पसंद है।",
    "ko": "아침에 정원은 매우 조용하고 우리는 해가 지기 전에 강을 따라 걷는 것을 좋아합니다.",
    "th": "สวนเงียบมากในตอนเช้าและเราชอบเดินไปตามแม่น้ำก่อนพระอาทิตย์ตก",
    "fa": "باغ در صبح بسیار آرام است و ما دوست داریم قبل از غروب آفتاب در کنار رودخانه قدم بزنیم.",
}
WORDS = """garden river morning tea coffee store lights Monday RIVER TEA US A I can't CAN'T GONNA IT'S well-known TOP-NOTCH
C++ e-mail 42 naïve café Q&A A.I. NASA's hello, WORLD! O'CLOCK (YES) "NO" STOP. AND/OR x=Y 3D""".split()


def instruction(rng):
    n = lambda high: rng.randint(1, high)
    return rng.choice([
        lambda: ("keywords:existence", {"keywords": rng.sample(["garden", "river", "tea", "U.S.", "sm.th", "c++"], n(2))}),
        lambda: ("keywords:frequency", {"keyword": rng.choice(["the", "we", "tea"]), "frequency": n(4), "relation": rng.choice(RELATIONS)}),
        lambda: ("keywords:forbidden_words", {"forbidden_words": rng.sample(["the", "riv", "tea", "nobody", "zebra"], n(2))}),
        lambda: ("keywords:letter_frequency", {"letter": rng.choice("aEqz"), "let_frequency": n(12), "let_relation": rng.choice(RELATIONS)}),
        lambda: ("language:response_language", {"language": rng.choice(["en", *FOREIGN])}),
        lambda: ("length_constraints:number_sentences", {"num_sentences": n(12), "relation": rng.choice(RELATIONS)}),
        lambda: ("length_constraints:number_paragraphs", {"num_paragraphs": n(3)}),
        lambda: ("length_constraints:number_words", {"num_words": n(60), "relation": rng.choice(RELATIONS)}),
        lambda: ("length_constraints:nth_paragraph_first_word", {"num_paragraphs": (k := n(3)), "nth_paragraph": n(k), "first_word": rng.choice(["The", "we", "dr"])}),
        lambda: ("detectable_content:number_placeholders", {"num_placeholders": n(3)}),
        lambda: ("detectable_content:postscript", {"postscript_marker": rng.choice(["P.S.", "P.P.S", "Note"])}),
        lambda: ("detectable_format:number_bullet_lists", {"num_bullets": n(4)}),
        lambda: ("detectable_format:constrained_response", {}),
        lambda: ("detectable_format:number_highlighted_sections", {"num_highlights": n(4)}),
        lambda: ("detectable_format:multiple_sections", {"section_spliter": rng.choice(["Section", "PARAGRAPH"]), "num_sections": n(3)}),
        lambda: ("detectable_format:json_format", {}),
        lambda: ("detectable_format:title", {}),
        lambda: ("combination:two_responses", {}),
        lambda: ("combination:repeat_prompt", {"prompt_to_repeat": "Write about the garden."}),
        lambda: ("startend:end_checker", {"end_phrase": rng.choice(["Is there anything else?", " THE END "])}),
        lambda: ("change_case:capital_word_frequency", {"capital_frequency": n(6), "capital_relation": rng.choice(RELATIONS)}),
        lambda: ("change_case:english_capital", {}),
        lambda: ("change_case:english_lowercase", {}),
        lambda: ("punctuation:no_comma", {}),
        lambda: ("startend:quotation", {}),
    ])()


def prose(rng):
    pieces = SENTENCES.split(". ")
    text = ". ".join(rng.sample(pieces, rng.randint(1, 5)))
    if rng.random() < 0.3:
        text += " " + " ".join(rng.choices(WORDS, k=rng.randint(1, 10)))
    return text if rng.random() < 0.3 else text.rstrip(".") + rng.choice([".", "!", "", "?", '."'])


def answer(rng):
    text = prose(rng)
    changes = [
        lambda t: t, lambda t: t, str.upper, str.lower, lambda t: f'"{t}"', lambda t: f"<<{t[:12]}>>\n{t}", lambda t: f"<< >>\n{t}",
        lambda t: "\n".join(f"* {line}" for line in t.split(". ")), lambda t: "\n".join(f"- {line}" for line in t.split(". ")),
        lambda t: t.replace(". ", ".\n\n"), lambda t: f"{t}\n***\n{prose(rng)}", lambda t: f"{t}******{prose(rng)}",
        lambda t: f"{t}\n******\n{t}", lambda t: f"{t}******", lambda t: f"{t} [name] and [place] [", lambda t: f"{t}\n\nP.S. {prose(rng)}",
        lambda t: f"{t}\nP. P. S {prose(rng)}", lambda t: f"Section 1\n{t}\nSection 2\n{t}", lambda t: f"PARAGRAPH 1 {t} PARAGRAPH 2",
        lambda t: f"*{t[:9]}* and **{t[9:18]}** {t} **", lambda t: json.dumps({"answer": t}), lambda t: f"```json\n{json.dumps([t])}\n```",
        lambda t: "{'answer': 1}", lambda t: "My answer is maybe.", lambda t: f"Sure:\nMy answer is no. {t}",
        lambda t: f"write about the garden.\n{t}", lambda t: f"{t} Is there anything else?", lambda t: f'"{t} the end"',
        lambda t: t.replace(",", ""), lambda t: rng.choice(list(FOREIGN.values())), lambda t: " ".join(rng.choices(WORDS, k=rng.randint(3, 25))),
        lambda t: f"Here you are:\n{t}\nHope this helps!", lambda t: rng.choice(["", " \n", "42", "null", "...", "\n\n\n", '"']),
        lambda t: f"The {t}\n\n\n\nWe {prose(rng)}\n\n'dr, {prose(rng)}",
    ]
    for _ in range(rng.randint(1, 2)):
        text = rng.choice(changes)(text)
    return text


def main():
    rng = random.Random(3)
    rows = []
    for key in range(240):
        ids, kwargs = map(list, zip(*[instruction(rng) for _ in range(rng.randint(1, 3))]))
        prompt = {"prompt": "Write about the garden.", "instruction_id_list": ids, "kwargs": kwargs}
        text = answer(rng)
        example = InputExample(key=key, **prompt)
        strict = test_instruction_following_strict(example, text).follow_instruction_list
        loose = test_instruction_following_loose(example, text).follow_instruction_list
        rows.append({**prompt, "answer": text, "strict": strict, "loose": loose})
    texts = [prose(rng) for _ in range(110)]
    sentences = [[text, instructions_util.count_sentences(text)] for text in texts]
    path = Path(__file__).with_name("instructions.json")
    lines = [json.dumps(row, ensure_ascii=False, separators=(",", ":")) for row in rows]
    path.write_text('{"rows":[\n' + ",\n".join(lines) + '\n],"sentences":' + json.dumps(sentences, ensure_ascii=False) + "}\n")
    print(path, path.stat().st_size, sum(sum(row["strict"]) for row in rows), sum(len(row["strict"]) for row in rows))


if __name__ == "__main__":
    main()
