"""What should happen in a run, by arithmetic: every test packet and message of a scenario, from the declaration alone.

Links have their declared delays (and what serialisation costs, where they have a rate), computing takes no time, nothing is lost but what
finds its node gone. The agents' code plays no part in this but for its messages, whose sizes count; docs/model.md derives it.
"""

from experiments.model.expectation import bounds, expect
from experiments.model.prediction import Prediction, predict

__all__ = ["Prediction", "bounds", "expect", "predict"]
