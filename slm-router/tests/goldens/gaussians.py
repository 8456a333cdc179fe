"""Makes gaussians.json: Mahalanobis distances under a shared covariance by scikit-learn's Ledoit-Wolf estimator."""

import json
import pathlib

import numpy as np
from scipy.spatial.distance import mahalanobis
from sklearn.covariance import LedoitWolf

rng = np.random.default_rng(11)
labels = np.arange(30) % 3
mixing = rng.normal(size=(5, 5))
x = np.round(rng.normal(size=(30, 5)) @ mixing + 2 * np.eye(3, 5)[labels], 3)
means = np.stack([x[labels == c].mean(0) for c in range(3)])
precision = LedoitWolf(assume_centered=True).fit(x - means[labels]).precision_
distances = [min(mahalanobis(row, mean, precision) ** 2 for mean in means) for row in x]
golden = {"vectors": x.tolist(), "labels": labels.tolist(), "distances": np.round(distances, 6).tolist()}
pathlib.Path(__file__).with_suffix(".json").write_text(json.dumps(golden) + "\n")
