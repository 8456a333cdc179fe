"""Records what reference packages make of texts and scores of our own: `metrics.json`.

    pip install rouge-score==0.1.2 nltk==3.10.4 scikit-learn==1.9.1 torchmetrics==1.9.0 matplotlib
    pip install --no-deps torch-uncertainty==0.13.0
    python make_metrics.py
"""
import importlib.util
import json
import random
import sysconfig
from pathlib import Path

import numpy as np
import torch
from nltk.stem.porter import PorterStemmer
from rouge_score import rouge_scorer
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss
from torchmetrics.functional.classification import binary_calibration_error
from torchmetrics.functional.text import squad

TYPES = ["rouge1", "rouge2", "rougeL", "rougeLsum"]
STEMS = """abandon abil accept activ adapt add adjust agree allow analy appli argu arrang assert at bath be bel big
bl bound broad bus cab car cas caus ceil classif clin comput connect construct control cop cr criti cry d dec decid
decl defin depend deriv differ digit direct distribut do dry electr employ enjoy equi estim ev exam exist express
fall fals feas feed fil fit flee fly form fulf gener geo glob go grad hap hop hes hiss hiz i ident imp induct inf
inter k lag log luc mat mess mod mot nat necess neg norm not nucl obs oper opt or oscill ow pan part pl pon predic
prob prof pub pul quan quick rad rat re red rel repl rol sens serv siz sk sky snow solv spec stab stat str succ
succeed tan tap tempor tend tri troubl typ under us val vari vol wa wal wr y yell zip""".split()
SUFFIXES = """s es ies ied ed ing eed ational tional enci anci izer bli abli alli entli eli ousli ization ation ator
alism iveness fulness ousness aliti iviti biliti fulli logi icate ative alize iciti ical ful ness al ance ence er ic
able ible ant ement ment ent ion sion tion ou ism ate iti ous ive ize e ll y ly ying ss sses eing""".split()
WORDS = """the a of to and in is was for on model models running runs ran quickly quick dose doses patient patients'
policy policies agreed agreement generalization generalizations relational conditional U.S. 3.5 mg/kg state-of-the-art
naïve café Müller İstanbul K 2024 2,500 e-mail trying tried tries skies dying lying news happily happiness hopping
hoping national rationally""".split()


def aurc_metric():
    """The package itself does not import without Lightning; this module of it does."""
    path = Path(sysconfig.get_paths()["purelib"], "torch_uncertainty/metrics/classification/risk_coverage.py")
    spec = importlib.util.spec_from_file_location("risk_coverage", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.AURC()


def text(rng, vocabulary, lines):
    ends = [".", "!", "?", "", ";", "…"]
    line = lambda: " ".join(rng.choice(vocabulary) for _ in range(rng.randint(0, 14))) + rng.choice(ends)
    return "\n".join(line() for _ in range(lines))


def rouge(rng):
    cases = []
    for at in range(60):
        vocabulary = rng.sample(WORDS, rng.randint(4, len(WORDS)))
        references = [text(rng, vocabulary, rng.randint(1, 4)) for _ in range(rng.randint(1, 3))]
        prediction = text(rng, vocabulary, rng.randint(1, 4))
        if at < 3:
            prediction = ["", references[0], "…"][at]
        case = {"prediction": prediction, "references": references}
        for name, stem in [("porter", True), ("none", False)]:
            scores = rouge_scorer.RougeScorer(TYPES, use_stemmer=stem).score_multi(references, prediction)
            case[name] = [[scores[t].precision, scores[t].recall, scores[t].fmeasure] for t in TYPES]
        cases.append(case)
    return cases


def stems(rng):
    words = sorted({stem + suffix for stem in STEMS for suffix in SUFFIXES} | set(STEMS))
    words = rng.sample(words, 1500) + ["skies", "dying", "innings", "exceed", "proceed", "howe", "ties", "dies"]
    stemmer = PorterStemmer()
    return " ".join(f"{word}:{stemmer.stem(word)}" for word in words)


def sureness(rng):
    cases = []
    for count, bins in [(1, 5), (7, 5), (50, 10), (120, 15), (120, 7)]:
        # No two equally sure, and none on an edge of a bin: there packages differ, or rounding decides.
        p = np.array([round(rng.random() ** 0.5, 6) * 0.999983 + 0.000007 for _ in range(count)])
        assert len(set(p)) == count
        right = np.array([rng.random() < q**1.5 for q in p])
        case = {"confidence": p.tolist(), "correct": right.tolist(), "bins": bins}
        case["brier"] = brier_score_loss(right, p, labels=[False, True])
        for name, strategy in [("width", "uniform"), ("mass", "quantile")]:
            accuracy, confidence = calibration_curve(right, p, n_bins=bins, strategy=strategy, pos_label=True)
            case[name] = [[float(c), float(a)] for c, a in zip(confidence, accuracy)]
        for norm in ["l1", "max"]:
            case[norm] = binary_calibration_error(
                torch.tensor(p, dtype=torch.float64), torch.tensor(right).long(), n_bins=bins, norm=norm).item()
        # The metric takes the larger class's probability, so give it one above one half for either outcome.
        aurc = aurc_metric()
        q = torch.tensor(p) / 2 + 0.5
        aurc.update(torch.stack([1 - q, q], -1), torch.tensor(right).long())
        case["risk"] = [float(r) for r in aurc.partial_compute()]
        case["aurc"] = None if count < 2 else aurc.compute().item()
        cases.append(case)
    return cases


def answers(rng):
    """SQuAD's exact match and F1, of the accepted answer that fits best."""
    pieces = ["the", "a", "An", "cat", "Cats", "sat,", "on", "mat.", "U.S.A.", "42", "state-of-the-art", "naïve", "(grey)", "“mat”", "a–b"]
    phrase = lambda: " ".join(rng.choice(pieces) for _ in range(rng.randint(0, 5)))
    cases = []
    for _ in range(80):
        golds = [phrase() for _ in range(rng.randint(1, 4))]
        text = rng.choice([rng.choice(golds).upper(), phrase(), rng.choice(golds) + " " + phrase()])
        found = squad({"prediction_text": text, "id": "0"}, {"answers": {"text": golds, "answer_start": [0] * len(golds)}, "id": "0"})
        cases.append([text, golds, found["exact_match"].item() / 100, found["f1"].item() / 100])
    return cases


def main():
    rng = random.Random(11)
    goldens = {"stems": stems(rng), "rouge": rouge(rng), "answers": answers(random.Random(4)), "sureness": sureness(rng)}
    path = Path(__file__).with_name("metrics.json")
    path.write_text(json.dumps(goldens, ensure_ascii=False, separators=(",", ":")) + "\n")
    print(path, path.stat().st_size)


if __name__ == "__main__":
    main()
