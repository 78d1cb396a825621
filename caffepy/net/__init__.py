"""Nets: built from a NetParameter (build), run (net), their weights in files (weights)."""

from caffepy.net.net import Net
from caffepy.net.weights import Report

__all__ = ["Net", "Report"]
