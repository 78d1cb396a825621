"""Nets: built from a NetParameter (build), run (net), their weights to files (weights) and from them (copy_weights)."""

from caffepy.net.copy_weights import CopyRules, Report
from caffepy.net.net import Net

__all__ = ["CopyRules", "Net", "Report"]
