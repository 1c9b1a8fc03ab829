"""Figure 1 of the draft: the procedures of S-PMIP."""

from experiments.declare.scenario import Case, Experiment, Flow, Scenario
from topologies.presets import star

EXPERIMENT = Experiment(
    name="fig1",
    title="Figure 1: S-PMIP, steps 1 to 8",
    question=(
        "Does S-PMIP run as draft section 3.2.1 has it? The mobile node's MAG registers it with the LMA; the correspondent node's first "
        "packet makes its MAG ask the LMA (PBQ, PQA), buffer meanwhile, and then tunnel straight to the mobile node's MAG."
    ),
    domain=star(),
    cases=(Case("s-pmip", "notify"),),
    scenario=Scenario(duration=2.0, flows=(Flow("cn1", "mn1", start=0.0, duration=1.0),)),
    figures=("ladder", "delays", "bars"),
    draft=("fig1",),
)
