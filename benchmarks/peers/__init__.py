"""The supervisors under test: PEERS has a row for each."""

from benchmarks.peers.bare import Bare
from benchmarks.peers.base import Peer
from benchmarks.peers.circus import Circus
from benchmarks.peers.ini import Sdsuper, Supervisor
from benchmarks.peers.runit import Runit
from benchmarks.peers.s6 import S6
from benchmarks.peers.units import Units

PEERS: dict[str, type[Peer]] = {
    peer.name: peer for peer in (Sdsuper, Supervisor, Runit, S6, Circus, Units, Bare)
}
"""In the order in which they have their turns, and their columns."""

OURS = Sdsuper.name
FLOOR = Bare.name

__all__ = ["FLOOR", "OURS", "PEERS", "Peer"]
