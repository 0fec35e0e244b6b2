"""Where `load_lifter` was before the package had rooms; it stays importable from here."""

from .model.checkpoint import load_lifter

__all__ = ["load_lifter"]
