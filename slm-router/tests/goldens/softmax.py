"""Makes softmax.json: scikit-learn's logistic regressions on a small problem of dense and sparse columns."""

import json
import pathlib

import numpy as np
from sklearn.linear_model import LogisticRegression

rng = np.random.default_rng(7)
rows, width, features, classes = 60, 4, 6, 3
labels = np.arange(rows) % classes
dense = np.round(rng.normal(size=(rows, width)) + 0.7 * np.eye(classes, width)[labels], 3)
sparse = np.round(rng.random((rows, features)) * (rng.random((rows, features)) < 0.3), 3)
x = np.hstack([dense, sparse])

out = {"dense": dense.tolist(), "sparse": sparse.tolist(), "labels": labels.tolist(), "fits": []}
for c in (0.3, 5.0):
    for kept in (3, 2):
        own = labels < kept
        fit = LogisticRegression(C=c, tol=1e-10, max_iter=10_000).fit(x[own], labels[own])
        out["fits"].append({"c": c, "classes": kept, "probabilities": np.round(fit.predict_proba(x), 6).tolist()})
pathlib.Path(__file__).with_suffix(".json").write_text(json.dumps(out) + "\n")
