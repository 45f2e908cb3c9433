"""Diagnostics in every format; each format is a module of its own and escapes for itself."""

from reconciler.report.diagnostics_github import diagnostics_github
from reconciler.report.diagnostics_json import diagnostics_json
from reconciler.report.diagnostics_sarif import diagnostics_sarif
from reconciler.report.diagnostics_text import diagnostics_text

__all__ = ["diagnostics_github", "diagnostics_json", "diagnostics_sarif", "diagnostics_text"]
