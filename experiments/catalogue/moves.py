"""Moves that are harder than one at a time: to the correspondent's own MAG, of both ends at once, back and forth, during a query."""

from dataclasses import replace

from agents.schemes import SCHEMES
from experiments.declare.scenario import Case, Experiment, Flow, Move, Scenario
from topologies.domain import Domain, LinkKind, LinkSettings
from topologies.presets import star

_CASES = tuple(Case(scheme.name, policy) for scheme in SCHEMES.values() if scheme.home_prefixes for policy in scheme.policies)
_LOCAL = Case("pmip-lr", "anchor", {"local_routing": "on"}, "local")
"""RFC 6705 lets a MAG connect two nodes of its own only where it is configured to; without, they go on through the anchor."""

_FIGURES = ("delays", "handovers", "bars", "ladder")
_NOTICE = 0.1


def _uneven_star() -> Domain:
    """A star whose MAGs are at different distances, so that no news reach two of them at one moment."""
    domain = star()
    delays = iter((0.005, 0.006, 0.0075))
    links = tuple(replace(link, settings=LinkSettings(next(delays))) if link.kind is LinkKind.MAG else link for link in domain.links)
    return replace(domain, links=links)


TO_CN = Experiment(
    name="to-cn",
    title="Moves: to the correspondent's own MAG, and back",
    question=(
        "Where both ends are behind one MAG, packets need no tunnel and no query. Is the route that led away from it taken back at once "
        "when the mobile node comes, and is the node found again when it leaves?"
    ),
    domain=star(),
    cases=(*_CASES, _LOCAL),
    scenario=Scenario(
        duration=5.0,
        flows=(Flow("cn1", "mn1", start=0.0, duration=4.0),),
        moves=(Move(1.007, "mn1", "mag1", notice=_NOTICE), Move(2.507, "mn1", "mag2", notice=_NOTICE)),
    ),
    figures=_FIGURES,
    usual=False,
)

BOTH_ENDS = Experiment(
    name="both-ends",
    title="Moves: both ends at once",
    question=(
        "Mobile and correspondent node send to each other and move at the same moment, so that each MAG's news are about a node that the "
        "other end no longer sends from. Do both directions come right?"
    ),
    domain=_uneven_star(),
    cases=_CASES,
    scenario=Scenario(
        duration=4.0,
        flows=(Flow("cn1", "mn1", start=0.0, duration=3.0), Flow("mn1", "cn1", start=0.0031, duration=3.0)),
        moves=(Move(1.0071, "mn1", "mag3", notice=_NOTICE), Move(1.0074, "cn1", "mag2", notice=_NOTICE)),
    ),
    figures=_FIGURES,
    usual=False,
)

PING_PONG = Experiment(
    name="ping-pong",
    title="Moves: back and forth every 500 ms",
    question=(
        "A node at the edge of two cells moves eight times, half a second apart. News of one move may still be under way when the next "
        "begins: does any policy end up behind, or with packets that go round in circles?"
    ),
    domain=star(),
    cases=_CASES,
    scenario=Scenario(
        duration=7.0,
        flows=(Flow("cn1", "mn1", start=0.0, duration=6.0),),
        moves=tuple(Move(1.007 + 0.5 * n, "mn1", ("mag3", "mag2")[n % 2], notice=_NOTICE) for n in range(8)),
    ),
    figures=_FIGURES,
    usual=False,
)

MID_QUERY = Experiment(
    name="mid-query",
    title="Moves: during a query",
    question=(
        "The mobile node leaves its MAG while the query for it is answered, so that the answer is wrong when it arrives. How does each "
        "policy find that out?"
    ),
    domain=star(),
    cases=_CASES,
    scenario=Scenario(
        duration=5.0,
        flows=(Flow("cn1", "mn1", start=1.0, duration=3.0),),
        moves=(Move(1.0135, "mn1", "mag3", notice=_NOTICE),),
        phase=0.006,  # so that the query, 20 or 50 ms from the first packet on, is always under way
    ),
    figures=_FIGURES,
    usual=False,
)

EXPERIMENTS = (TO_CN, BOTH_ENDS, PING_PONG, MID_QUERY)
