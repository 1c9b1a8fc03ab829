"""Two handovers under traffic, for every scheme."""

from experiments.declare.scenario import Case, Experiment, Flow, Move, Scenario
from topologies.presets import star

EXPERIMENT = Experiment(
    name="handover",
    title="Handover: what a moving node costs under each scheme",
    question=(
        "A correspondent node sends 97 packets a second for 30 s while the mobile node moves twice. What is lost, for how long is the "
        "node out of reach, and what does it take in signalling? Without mobility management (none) the first move ends the session "
        "until the node comes back; with the draft as written (expire) stale routes last until they lapse; forward and predict lose "
        "only what was in the air. A tenth of a second before each move the link layer says where the node is about to go, which only "
        "predict makes use of."
    ),
    domain=star(),
    cases=(
        Case("none", "none"),
        Case("pmip", "anchor"),
        Case("pmip-lr", "anchor"),
        Case("s-pmip", "notify"),
        Case("s-pmip", "expire"),
        Case("s-pmip", "predict"),
        Case("sd-pmip", "error"),
        Case("sd-pmip", "expire"),
        Case("sd-pmip", "predict"),
    ),
    scenario=Scenario(
        duration=31.0,
        flows=(Flow("cn1", "mn1", start=0.0, duration=30.0),),
        moves=(Move(at=10.007, mn="mn1", to="mag3", notice=0.1), Move(at=20.007, mn="mn1", to="mag2", notice=0.1)),
        phase=7.0,  # a route in use is renewed so often: query.lifetime less query.margin
    ),
    figures=("delays", "handovers", "losses", "bars", "ladder"),
)
