"""The schemes and policies that tests go through."""

from __future__ import annotations

from agents.schemes import SCHEMES

EVERY = [(scheme.name, policy) for scheme in SCHEMES.values() for policy in scheme.policies]
MOBILE = [(scheme, policy) for scheme, policy in EVERY if SCHEMES[scheme].home_prefixes]
"""Those under which a node keeps its address when it moves."""

REGISTERING = [scheme.name for scheme in SCHEMES.values() if scheme.binding_update]
"""The schemes with an LMA that registers nodes."""
