"""What the models must beat, on the same rows with the same weights: hashed n-gram logistic regression, and boosted trees on the counts."""

import lightgbm
import numpy as np
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.linear_model import SGDClassifier

ROWS_MAX = 60_000


class Logistic:
    """Logistic regression on hashed n-grams, one model a head; the judged texts are hashed once for all."""

    def __init__(self, grams, seed):
        self.hasher = HashingVectorizer(analyzer="char", ngram_range=grams, n_features=1 << 20, alternate_sign=False, dtype=np.float32, lowercase=False)
        self.seed, self.models = seed, []

    def fit(self, texts, label, weight):
        model = SGDClassifier(loss="log_loss", alpha=2e-6, max_iter=6, tol=None, random_state=self.seed)
        model.fit(self.hasher.transform(texts), label, sample_weight=weight / weight.mean())
        self.models.append(model)

    def scores(self, texts):
        parts = [self.hasher.transform(texts[at : at + 20000]) for at in range(0, len(texts), 20000)]
        return np.stack([np.concatenate([model.decision_function(part) for part in parts]) for model in self.models], 1)


def boosted(counts, label, weight, judged, seed):
    """LightGBM on small integer features."""
    model = lightgbm.LGBMClassifier(
        n_estimators=300, num_leaves=63, learning_rate=0.08, n_jobs=1, random_state=seed, verbose=-1, deterministic=True, force_row_wise=True
    )
    model.fit(counts, label, sample_weight=weight / weight.mean())
    return model.predict(judged, raw_score=True)


def sample(rows, seed):
    """At most ROWS_MAX of these rows, drawn by the seed."""
    random = np.random.default_rng(seed)
    return rows if len(rows) <= ROWS_MAX else np.sort(random.choice(rows, ROWS_MAX, replace=False))
