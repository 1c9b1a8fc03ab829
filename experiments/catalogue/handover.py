"""Two handovers under traffic, for every scheme."""

from experiments.scenario import Case, Experiment, Flow, Move, Scenario
from topologies.presets import star

EXPERIMENT = Experiment(
    name="handover",
    title="Handover: what a moving node costs under each scheme",
    question=(
        "A correspondent node sends 100 packets a second for 30 s while the mobile node moves twice. What is lost, for how long is the "
        "node out of reach, and what does it take in signalling? Without mobility management (none) the first move ends the session until "
        "the node comes back; with the draft as written (expire) stale routes last until they lapse."
    ),
    domain=star(),
    cases=(
        Case("none", "none"),
        Case("pmip", "anchor"),
        Case("s-pmip", "notify"),
        Case("s-pmip", "expire"),
        Case("sd-pmip", "error"),
        Case("sd-pmip", "expire"),
    ),
    scenario=Scenario(
        duration=31.0,
        flows=(Flow("cn1", "mn1", start=0.0, duration=30.0),),
        moves=(Move(at=10.007, mn="mn1", to="mag3"), Move(at=20.007, mn="mn1", to="mag2")),
    ),
    figures=("delays", "handovers", "losses", "bars", "ladder"),
)
