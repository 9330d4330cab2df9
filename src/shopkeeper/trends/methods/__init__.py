"""Detectors: arrays of counts in, verdicts out. None of them sees a later bucket than the one that it judges."""
