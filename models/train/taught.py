"""Teachers, and the narrow model that they teach.

    texts, labels ─► teachers: one with 2^18 hashed rows of 64, which nobody could ship (64 MB), one of the size that is shipped, by another seed
                        └─► the mean of their logits on the same texts ─► the model that is shipped

Grams that share a row are what a narrow table suffers from: the wide one has room for each, but learns hosts by heart, which the narrow one cannot; their mean is better than both.
Its word is handed on in place of most of the label, and is milder than the label where the label is wrong.
"""

from dataclasses import dataclass

import numpy as np

from .bag import Bag, softened
from .features import Spec, extract


#: The logit of a label where no teacher spoke.
SURE = 5.0


@dataclass
class Lesson:
    """Texts with a target and a weight for each head."""

    texts: np.ndarray
    target: np.ndarray
    weight: np.ndarray


@dataclass
class Teacher:
    name: str
    spec: Spec
    width: int
    hidden: int
    epochs: int
    drop: float
    seed: int
    batch: int = 2048
    rate: float = 0.003


class School:
    """A lesson for as many models as there are. Its first texts are those of `base`, which the teachers learn from; what came later has its label alone. The teachers' word is kept in a file."""

    def __init__(self, base, lesson, teachers, path, tell):
        self.base, self.make, self.teachers, self.path, self.tell = base, lesson, teachers, path, tell
        self.lesson = self.word = self.known = None

    def model(self, config):
        """The model of `config`, pulled by labels and by the teachers' word."""
        if self.lesson is None:
            word = self._word()
            self.lesson = self.make()
            later = SURE * (2 * self.lesson.target[len(word) :] - 1)
            self.word = softened(np.concatenate([word, later]))
        return self._fit(self.lesson, config, self.word)

    def _fit(self, lesson, config, word=None):
        model = Bag(config.spec.rows, config.width, config.hidden, lesson.target.shape[1], config.seed)
        told = lambda epoch, loss: self.tell(f"{config.name}, epoch {epoch}: loss {loss:.4f}")
        model.fit(self._bags(lesson, config.spec), lesson.target, lesson.weight, config.epochs, config.batch, config.rate, config.drop, told, word)
        return model

    def _bags(self, lesson, spec):
        """Of one lesson and spec at a time: the widest have a gigabyte."""
        if self.known is None or self.known[:2] != (id(lesson), spec):
            self.known = None
            self.known = (id(lesson), spec, extract(lesson.texts, spec))
        return self.known[2]

    def _word(self):
        """The mean of the teachers' logits on every text of the base."""
        if self.path.exists():
            return np.load(self.path)
        base = self.base()
        word = np.mean([self._fit(base, one).logits(self._bags(base, one.spec)) for one in self.teachers], axis=0)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        np.save(self.path, word)
        return word
