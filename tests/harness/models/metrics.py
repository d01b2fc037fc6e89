"""The metrics of probabilities by scikit-learn, as a plain reference."""

from __future__ import annotations

import numpy as np
from sklearn.metrics import accuracy_score, brier_score_loss, log_loss, recall_score, roc_auc_score

from heart_disease.evaluation.estimates import METRICS, Numbers


def plainly(labels: Numbers, probabilities: Numbers, threshold: float = 0.5) -> dict[str, float]:
    """The metrics by scikit-learn: computed for each repeat, then averaged."""
    each = [
        {
            "log_loss": log_loss(labels, p, labels=[0, 1]),
            "brier": brier_score_loss(labels, p),
            "roc_auc": roc_auc_score(labels, p),
            "accuracy": accuracy_score(labels, p >= threshold),
            "sensitivity": recall_score(labels, p >= threshold),
            "specificity": recall_score(labels, p >= threshold, pos_label=0),
        }
        for p in probabilities
    ]
    return {metric: float(np.mean([one[metric] for one in each])) for metric in METRICS}
