"""Makes the goldens of this folder with references that we did not write:

    pip install ftfy 'datatrove[processing]' spacy cleanlab python-docx reportlab pyarrow zstandard
    python make.py

- mojibake.json: sentences mangled once and twice, and what ftfy.fix_encoding makes of them.
- web.json: texts, and what datatrove's Gopher and C4 filters say of them.
- formats/: one set of rows as Parquet (pyarrow) and zstd (zstandard), one text as DOCX (python-docx) and PDF (reportlab).
- noise.json: labels and probabilities, and what cleanlab finds.
"""

import json
import random
from pathlib import Path

HERE = Path(__file__).parent

SENTENCES = [
    "Der Rechner läuft über Nacht – größer, schöner, süß.",
    "Où est le café crème de l’hôtel ? Ça dépend, c’est très loin.",
    "¿Dónde está el niño? ¡Mañana será otro día!",
    "“Don’t do it,” she said — it’s £5 or €6… 20 °C.",
    "Příliš žluťoučký kůň úpěl ďábelské ódy.",
    "Zażółć gęślą jaźń i powtórz to jeszcze raz.",
    "Съешь ещё этих мягких французских булок, да выпей чаю.",
    "Ξεσκεπάζω την ψυχοφθόρα βδελυγμία.",
    "日本語の文章もある。中文也可以。",
    "Emoji 😀 and 🚀 and ☕ stay.",
    "Maçã, coração, não e São Paulo.",
    "Plain ASCII text stays as it is.",
    "Smörgåsbord på Åland, blåbær på Færøerne.",
    "Die Straße hat 3 × 4 m² und ½ Liter.",
    "İstanbul’da güneşli bir gün, şimdi ılık.",
]


def mojibake():
    import ftfy.bad_codecs  # noqa: F401
    from ftfy import fix_encoding

    cases = []
    for text in SENTENCES:
        once = text.encode("utf-8").decode("sloppy-windows-1252")
        twice = once.encode("utf-8").decode("sloppy-windows-1252")
        for mangled in (text, once, twice):
            cases.append({"text": mangled, "fixed": fix_encoding(mangled)})
    return cases


WORDS = (
    "the of and to in is that it was for on are with as his they at be this from have or by one had not but what all "
    "were when we there can an your which their said if do will each about how up out them then she many some so these "
    "would other into has more her two like him see time could no make than first been its who now people my made over "
    "did down only way find use may water long little very after words called just where most know server network disk "
    "process memory thread patient treatment clinical diagnosis contract liability clause river mountain season"
).split()


def sentence(rng):
    words = [rng.choice(WORDS) for _ in range(rng.randint(4, 18))]
    for at in range(2, len(words) - 1):
        if rng.random() < 0.06:
            words[at] += ","
        if rng.random() < 0.02:
            words[at] = rng.choice(["don't", "it's", "(see)", "3.5", "17", "e.g."])
    return " ".join(words).capitalize() + rng.choice([".", ".", ".", "?", "!"])


def page(rng):
    paragraphs = [" ".join(sentence(rng) for _ in range(rng.randint(1, 6))) for _ in range(rng.randint(1, 8))]
    kind = rng.randrange(12)
    if kind == 0:
        paragraphs += [paragraphs[0]] * rng.randint(1, 4)
    elif kind == 1:
        paragraphs = ["- " + p for p in paragraphs]
    elif kind == 2:
        paragraphs = [p[:-1] + "..." if rng.random() < 0.6 else p for p in paragraphs]
    elif kind == 3:
        paragraphs = [p.replace(" ", " # ", rng.randint(1, 9)) for p in paragraphs]
    elif kind == 4:
        paragraphs.insert(0, "Home\nProducts\nContact us\nWe use cookies on this site.")
    elif kind == 5:
        paragraphs.append("function f() { return 1; }.")
    elif kind == 6:
        paragraphs = [" ".join(str(rng.randint(0, 99999)) if rng.random() < 0.4 else w for w in p.split()) for p in paragraphs]
    elif kind == 7:
        phrase = sentence(rng)
        paragraphs = [p + " " + phrase for p in paragraphs]
    return "\n\n".join(paragraphs) if rng.random() < 0.5 else "\n".join(paragraphs)


def web():
    from datatrove.data import Document
    from datatrove.pipeline.filters import C4QualityFilter, GopherQualityFilter, GopherRepetitionFilter

    filters = {"quality": GopherQualityFilter(), "repetition": GopherRepetitionFilter(), "c4": C4QualityFilter()}
    rng = random.Random(3)
    cases = []
    for _ in range(50):
        text = page(rng)
        case = {"text": text}
        for name, rules in filters.items():
            document = Document(text=text, id="x")
            found = rules.filter(document)
            case[name] = None if found is True else found[1]
            if name == "c4" and found is True:
                case["kept"] = document.text
        cases.append(case)
    return cases


def noise():
    import numpy as np
    from cleanlab.count import compute_confident_joint, get_confident_thresholds
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores

    rng = np.random.default_rng(4)
    cases = []
    for classes, rows, flipped in [(2, 60, 0.2), (3, 150, 0.15), (5, 200, 0.3)]:
        truth = rng.integers(0, classes, rows)
        labels = np.where(rng.random(rows) < flipped, rng.integers(0, classes, rows), truth)
        scores = rng.normal(size=(rows, classes))
        scores[np.arange(rows), truth] += 2.0
        probabilities = np.exp(scores)
        probabilities = np.round(probabilities / probabilities.sum(axis=1, keepdims=True), 6)
        probabilities[:, -1] = 1 - probabilities[:, :-1].sum(axis=1)
        issues = find_label_issues(labels, probabilities, filter_by="confident_learning", n_jobs=1)
        cases.append({
            "labels": labels.tolist(),
            "probabilities": probabilities.tolist(),
            "thresholds": get_confident_thresholds(labels, probabilities).tolist(),
            "joint": compute_confident_joint(labels, probabilities, calibrate=False).tolist(),
            "confident_learning": np.flatnonzero(issues).tolist(),
            "quality": get_label_quality_scores(labels, probabilities, method="self_confidence").tolist(),
        })
    return cases


ROWS = [
    {"messages": [{"role": "user", "content": "Größe?"}, {"role": "assistant", "content": "3 m"}], "source": "a", "group": "g"},
    {"messages": [{"role": "user", "content": "q\n2"}, {"role": "assistant", "content": ""}], "source": "b", "group": None},
]


def formats():
    import docx
    import pyarrow
    import pyarrow.parquet
    import zstandard
    from reportlab.pdfgen import canvas

    folder = HERE / "formats"
    folder.mkdir(exist_ok=True)
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), folder / "rows.parquet")
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS)
    (folder / "rows.jsonl.zst").write_bytes(zstandard.compress(lines.encode()))
    (folder / "rows.jsonl").write_text(lines, encoding="utf-8")

    document = docx.Document()
    document.add_heading("Restart", level=1)
    document.add_paragraph("Stop the service & wait for “idle”.")
    document.add_paragraph("first", style="List Bullet")
    table = document.add_table(rows=1, cols=2)
    table.rows[0].cells[0].text, table.rows[0].cells[1].text = "host", "web-03"
    document.save(folder / "runbook.docx")

    page = canvas.Canvas(str(folder / "runbook.pdf"), invariant=1)
    page.drawString(72, 720, "Restart the service.")
    page.drawString(72, 700, "Then wait twelve minutes.")
    page.showPage()
    page.drawString(72, 720, "Second page.")
    page.save()
    (folder / "runbook.html").write_text(
        "<!doctype html><html><head><title>x</title><style>p{}</style></head><body><nav><ul><li>Home</ul></nav><main>"
        "<h2>Restart</h2><p>Stop it &amp; <em>wait</em>.<ol><li>first<li>second</ol></main><footer>©</footer></body></html>",
        encoding="utf-8",
    )


if __name__ == "__main__":
    for make in (mojibake, web, noise):
        text = json.dumps(make(), ensure_ascii=False, separators=(",", ":"))
        (HERE / f"{make.__name__}.json").write_text(text + "\n", encoding="utf-8")
        print(make.__name__, len(text))
    formats()
