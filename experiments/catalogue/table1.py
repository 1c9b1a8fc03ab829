"""Table 1 of the draft: what each scheme uses."""

from experiments.declare.scenario import Case, Experiment, Flow, Scenario
from topologies.presets import star

EXPERIMENT = Experiment(
    name="table1",
    title="Table 1: what each scheme uses, and what its paths cost",
    question=(
        "Which agents, binding updates, queries and paths does each scheme really use? Every cell of the draft's Table 1 is derived from "
        "what the captures show, and set beside the draft's; the delays follow from the paths."
    ),
    domain=star(),
    cases=(Case("pmip", "anchor"), Case("s-pmip", "notify"), Case("sd-pmip", "error")),
    scenario=Scenario(duration=3.0, flows=(Flow("cn1", "mn1", start=0.0, duration=2.0),)),
    figures=("bars", "delays"),
    draft=("table1",),
)
