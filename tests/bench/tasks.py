"""What the bench puts the gateways to: to tunnel, and to bump. Each task has its own peers, measures and aims."""

import dataclasses

import bump_measures
import bump_peers
import measures
import peers


@dataclasses.dataclass(frozen=True, eq=False)
class Task:
    title: str
    peers: list
    ours: str  # the peer that the others are compared with
    measures: dict  # name of --what -> its parts
    once: tuple  # parts that start the peer anew; the others are run twice per round, there and back through the peers
    metrics: dict
    aims: list


TUNNEL = Task("tunnel: the SNI is read, the rest passes through", peers.ALL, "sluice", measures.ALL, measures.ONCE,
              measures.METRICS, measures.AIMS)
BUMP = Task("bump: TLS ends at the gateway, which mints a certificate", bump_peers.ALL, "sluice-bump", bump_measures.ALL,
            bump_measures.ONCE, bump_measures.METRICS, bump_measures.AIMS)
ALL = [TUNNEL, BUMP]
