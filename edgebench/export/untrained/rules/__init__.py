"""How the exporter writes each ATen operator down: one rule an operator, whatever its spelling."""

from edgebench.export.untrained.rules import elementwise, layers, pools, views

RULES = {**layers.RULES, **pools.RULES, **elementwise.RULES, **views.RULES}

__all__ = ["RULES"]
