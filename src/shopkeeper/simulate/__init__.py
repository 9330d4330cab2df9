"""A shop with known truth: for tests, for docstrings, for trying a policy before customers meet it.

`simulate(config)` gives a log and what was planted in it; `World` runs the same shop a day at a time and answers to a
policy; `mess` spoils a log in ways that are counted; `stream` and `write_stream` make a log that is too long for
memory, with machines, late records and repeats.
"""

from shopkeeper.simulate.config import SimulationConfig
from shopkeeper.simulate.disorder import Mess, mess
from shopkeeper.simulate.files import Written, write_stream
from shopkeeper.simulate.offers import Asked, Given, Policy
from shopkeeper.simulate.stream import StreamConfig, asked_for, sized, stream
from shopkeeper.simulate.truth import Simulated, Truth
from shopkeeper.simulate.world import World, simulate

__all__ = ["Asked", "Given", "Mess", "Policy", "Simulated", "SimulationConfig", "StreamConfig", "Truth", "World",
           "Written", "asked_for", "mess", "simulate", "sized", "stream", "write_stream"]
