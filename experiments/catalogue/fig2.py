"""Figure 2 of the draft: the procedures of SD-PMIP."""

from experiments.declare.scenario import Case, Experiment, Flow, Scenario
from topologies.presets import star

EXPERIMENT = Experiment(
    name="fig2",
    title="Figure 2: SD-PMIP, steps 1 to 6",
    question=(
        "Does SD-PMIP run as draft section 3.3.1 has it? There is no LMA: the correspondent node's MAG asks all MAGs by multicast, the one "
        "that serves the mobile node answers, and data goes straight to it. The draft's other reading, in which the first packets "
        "themselves go to the group, is run beside it."
    ),
    domain=star(),
    cases=(Case("sd-pmip", "error"), Case("sd-pmip", "error", {"first_packet": "multicast"}, "multicast")),
    scenario=Scenario(duration=2.0, flows=(Flow("cn1", "mn1", start=0.0, duration=1.0),)),
    figures=("ladder", "delays", "bars"),
    draft=("fig2",),
)
