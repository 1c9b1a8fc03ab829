"""What attackers try, once under each scheme, and whether it does harm (docs/security.md)."""

from collections.abc import Iterator

from agents.schemes import SCHEMES, Query
from experiments.declare.forgeries import ECHO, FLOOD, HEADERS, MESSAGES, REPLAY, TOO_BIG, TUNNEL, UNRECOGNIZED
from experiments.declare.scenario import Attack, Case, Experiment, Flow, Move, Scenario
from topologies.presets import star

KEY = {"authentication.key": "000102030405060708090a0b0c0d0e0f", "authentication.window": "4s"}
UNDISTURBED, OUTSIDERS, IMPOSTORS, NO_KEY = "undisturbed", "outsiders", "impostors", "no-key"

_POLICIES = (("pmip", "anchor"), ("s-pmip", "notify"), ("sd-pmip", "error"))
_PING, _FIRST, _AFTER_FLOOD, _SPACING, _COUNT = 1.311, 1.511, 6.511, 0.1, 3
_NODE, _CORE, _VICTIM, _ITS_MAG, _SENDER, _ELSEWHERE = "cn2", "s1", "mn1", "mag2", "mag1", "mag3"


def _anchor(scheme: str) -> str | None:
    return "lma" if "LMA" in SCHEMES[scheme].agents else None


def _outsiders(scheme: str) -> Iterator[Attack]:
    """Without a key: from an access link, and from the core with an address that is no agent's."""
    anchor, other = _anchor(scheme), _anchor(scheme) or _ELSEWHERE
    yield Attack(ECHO, _NODE, _ITS_MAG, _VICTIM, _PING, _COUNT, claims=anchor or _SENDER)
    tries = [(kind, _NODE, _ITS_MAG, claims) for kind in MESSAGES for claims in ("", anchor or _SENDER)]
    tries += [(kind, _NODE, other, _SENDER) for kind in MESSAGES]
    tries += [(kind, _CORE, target, "") for kind in MESSAGES for target in (_SENDER, other)]
    for number, (kind, attacker, target, claims) in enumerate(tries):
        yield Attack(kind, attacker, target, _VICTIM, _FIRST + number * _SPACING, _COUNT, claims=claims)
    if SCHEMES[scheme].query is not Query.NONE:
        yield Attack(FLOOD, _NODE, _ITS_MAG, _VICTIM, at=5.0, count=1000, rate=2000.0)
    hidden = [(kind, _NODE, target) for kind in HEADERS for target in (_ITS_MAG, other)]
    hidden += [(kind, _CORE, target) for kind in HEADERS if kind != TOO_BIG for target in (_ITS_MAG, other)]
    for number, (kind, attacker, target) in enumerate(hidden):
        yield Attack(kind, attacker, target, _VICTIM, _AFTER_FLOOD + number * _SPACING, _COUNT)


def _impostors(scheme: str) -> Iterator[Attack]:
    """With a key: from the core with an agent's address; and what was heard once more, within the window and after it."""
    anchor = _anchor(scheme)
    pairs = ((_SENDER, anchor or _ITS_MAG), (anchor or _ELSEWHERE, _SENDER))
    for number, (kind, (target, claims)) in enumerate((kind, pair) for kind in (*MESSAGES, UNRECOGNIZED) for pair in pairs):
        yield Attack(kind, _CORE, target, _VICTIM, _FIRST + number * _SPACING, _COUNT, claims=claims)
    for at in (3.011, 6.511):
        yield Attack(REPLAY, _CORE, _SENDER, _VICTIM, at, count=12)
    yield Attack(TUNNEL, _CORE, _ITS_MAG, _VICTIM, at=8.011, claims=anchor if scheme == "pmip" and anchor else _SENDER, succeeds=True)


def _without_a_key(scheme: str) -> Iterator[Attack]:
    """What an impostor can do where nothing is authenticated: take a session over or, where there is no LMA, stop it for a query."""
    anchor = _anchor(scheme)
    kind, target, claims, count = ("PBU", anchor, _ELSEWHERE, 1) if anchor else ("BE", _SENDER, _ITS_MAG, 20)
    yield Attack(kind, _CORE, target, _VICTIM, at=3.011, count=count, claims=claims, succeeds=True)


EXPERIMENT = Experiment(
    name="attacks",
    title="Attacks: what do outsiders and impostors achieve?",
    question=(
        "Updates, queries, their answers, errors, revocations and notifications are forged from an access link and from the core, with "
        "and without an agent's address, and replayed; packets are tunnelled in, openly and behind headers that hide it; errors of the "
        "path are forged; one link floods its MAG with queries. Is each refused and counted, with no route, binding or packet of others "
        "changed? And what is a domain open to that authenticates nothing?"
    ),
    domain=star(mns=2, cns=2),
    cases=tuple(
        Case(scheme, policy, settings, variant, tuple(attacks(scheme)))
        for scheme, policy in _POLICIES
        for variant, settings, attacks in (
            (UNDISTURBED, {}, lambda scheme: ()),
            (OUTSIDERS, {}, _outsiders),
            (IMPOSTORS, KEY, _impostors),
            (NO_KEY, {}, _without_a_key),
        )
    ),
    scenario=Scenario(
        duration=10.0,
        flows=(
            Flow("cn1", "mn1", start=0.0, duration=9.5, rate=23.0),
            Flow("mn1", "cn1", start=0.003, duration=9.5, rate=23.0),
            Flow("mn1", "mn2", start=5.203, duration=0.5, rate=23.0),
        ),
        moves=(Move(at=1.007, mn="mn2", to="mag1"),),
    ),
    figures=(),
    usual=False,
)
