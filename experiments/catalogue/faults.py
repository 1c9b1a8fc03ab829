"""What goes wrong in a network, once under each scheme, and whether all is well afterwards (docs/faults.md)."""

from experiments.declare.scenario import Case, Experiment, Fault, Flow, Impairment, Kill, Move, Partition, Revocation, Scenario, WrongClock
from topologies.presets import star

SCHEMES = (("pmip", "anchor"), ("pmip-lr", "anchor"), ("s-pmip", "notify"), ("sd-pmip", "error"))
_SETTINGS = {"binding.lifetime": "16s", "lr.wait_time": "1s"}
"""Short, so that an LMA which has lost its cache learns of every node while the flows last; not so short that what is left of it is ever
less than the 4 s in which an answer's lifetime counts; and an LMA soon gives up what is not answered."""

FAULTS: dict[str, tuple[Fault, ...]] = {
    "loss": (Impairment(at=2.0, end=10.0, loss=0.3),),
    "disorder": (Impairment(at=2.0, end=10.0, duplicate=0.3, reorder=0.3, delay=0.5),),
    "lma-killed": (Kill("lma", at=3.0, end=6.0),),
    "old-mag-killed": (Kill("mag2", at=3.0, end=6.0),),
    "new-mag-killed": (Kill("mag3", at=3.0, end=6.0),),
    "querying-mag-killed": (Kill("mag1", at=0.004, end=6.0),),
    "partition": (Partition("mag1", "mag3", at=3.0, end=8.0),),
    "anchor-parted": (Partition("mag1", "lma", at=3.0, end=10.0),),
    "revoked": (Revocation("mn1", at=3.0, end=4.1),),
    "wrong-clock": (WrongClock("mag3", seconds=3600.0, end=8.0),),
}
"""Name of a fault to what happens; where mag1 is parted from the LMA, for longer than the LMA repeats anything.

The mobile node moves from mag2 to mag3 at 4.007 s, in the midst of most; at 0.004 s mag1 waits for the answer to the query that the first
packet caused."""

_OF_THE_LMA = frozenset({"lma-killed", "anchor-parted", "revoked"})

EXPERIMENT = Experiment(
    name="faults",
    title="Faults: is all well after what goes wrong?",
    question=(
        "Signalling is lost, delayed, duplicated and reordered, agents are killed and start anew, two MAGs, or one and the LMA, do not "
        "reach each other, a clock is an hour off; and the mobile node moves meanwhile. Do packets flow again, both ways, as soon "
        "afterwards as the protocol's timers promise, and does no stale route, rule, tunnel or buffered packet stay behind?"
    ),
    domain=star(),
    cases=tuple(
        Case(scheme, policy, _SETTINGS, name, faults)
        for name, faults in FAULTS.items()
        for scheme, policy in SCHEMES
        if scheme != "sd-pmip" or name not in _OF_THE_LMA
    ),
    scenario=Scenario(
        duration=30.0,
        flows=(
            Flow("cn1", "mn1", start=0.0, duration=28.0, rate=23.0),
            Flow("mn1", "cn1", start=0.003, duration=28.0, rate=23.0),
        ),
        moves=(Move(at=4.007, mn="mn1", to="mag3"),),
        phase=0.001,  # so that mag1 is always waiting for its answer when it is killed
    ),
    figures=("delays", "losses"),
    usual=False,
)
