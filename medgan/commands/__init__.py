"""What the verbs of the command line do: the composition root.

Only here is a configuration read, a manifest opened, a device chosen, a run created, and parts of both towers
connected. Heavy imports stand inside functions. Nobody imports this package but :mod:`medgan.cli` and ``pipelines``.
"""
