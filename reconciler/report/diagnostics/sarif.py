"""Diagnostics as SARIF 2.1.0 (OASIS), which code scanning and editors read."""

from __future__ import annotations

import hashlib
import json
import posixpath
from collections import Counter
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from reconciler import __version__
from reconciler.diagnostics import Severity
from reconciler.report.diagnostics.markdown import rule_page
from reconciler.report.format.escape import visible

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from reconciler.diagnostics import Diagnostic, Extent, Rule
    from reconciler.model import Location

_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_FINGERPRINT = "reconcilerDiagnostic/v1"
_MOST_RESULTS = 5_000
"""GitHub code scanning shows at most this many results of a run, and rejects a log with over 25,000."""


def diagnostics_sarif(diagnostics: Sequence[Diagnostic], rules: Mapping[str, Rule]) -> str:
    """Return a SARIF log with one run.

    It has at most 5,000 results, errors first; a notification says how many are left out.

    Args:
        diagnostics: the results; source lines do not go into the log.
        rules: all rules by code, so that their indices do not depend on the results.
    """
    chosen = diagnostics
    if len(diagnostics) > _MOST_RESULTS:
        # Sorting is stable: within a severity, the order of places stays.
        chosen = sorted(diagnostics, key=lambda each: each.severity is not Severity.ERROR)[:_MOST_RESULTS]
    index = {code: number for number, code in enumerate(rules)}
    twins: Counter[tuple[str, str, str]] = Counter()
    driver = {
        "name": "reconciler",
        "version": __version__,
        "rules": [_rule(rule) for rule in rules.values()],
    }
    run: dict[str, Any] = {
        "tool": {"driver": driver},
        "columnKind": "utf16CodeUnits",
        "results": [_result(each, index[each.rule], twins) for each in chosen],
    }
    if left_out := len(diagnostics) - len(chosen):
        text = f"{left_out:,} more problems are left out; `reconciler validate` lists them all"
        note = {"level": "warning", "message": {"text": text}}
        run["invocations"] = [{"executionSuccessful": True, "toolExecutionNotifications": [note]}]
    log = {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}
    # Compact: the log is for programs and can be large.
    return json.dumps(log, separators=(",", ":")) + "\n"


def _rule(rule: Rule) -> dict[str, Any]:
    """Return the description of a rule."""
    return {
        "id": rule.code,
        "shortDescription": {"text": rule.title},
        "fullDescription": {"text": rule.explanation},
        "help": {"text": rule.explanation, "markdown": rule_page(rule)},
        "helpUri": rule.uri,
        "defaultConfiguration": {"level": str(rule.severity), "enabled": rule.default},
    }


def _result(diagnostic: Diagnostic, rule_index: int, twins: Counter[tuple[str, str, str]]) -> dict[str, Any]:
    """Return one result; `twins` counts results that differ only in their line."""
    hint = f"\nhelp: {diagnostic.hint}" if diagnostic.hint else ""
    result: dict[str, Any] = {
        "ruleId": diagnostic.rule,
        "ruleIndex": rule_index,
        "level": str(diagnostic.severity),
        "message": {"text": _text(diagnostic.message + hint)},
    }
    path = ""
    if diagnostic.location:
        path = diagnostic.location.path
        result["locations"] = [_location(diagnostic.location, diagnostic.extent)]
    if diagnostic.also:
        result["relatedLocations"] = [
            {
                "id": number,
                "message": {"text": _text(other.message)},
                **_location(other.location, other.extent),
            }
            for number, other in enumerate(diagnostic.also)
        ]
    twin = (diagnostic.rule, _uri(path), diagnostic.message)
    # Without the line, so that the fingerprint survives lines added above.
    identity = json.dumps([*twin, twins[twin]])
    twins[twin] += 1
    result["partialFingerprints"] = {_FINGERPRINT: hashlib.sha256(identity.encode()).hexdigest()}
    return result


def _location(place: Location, extent: Extent | None) -> dict[str, Any]:
    """Return a place in a file; columns in UTF-16 code units."""
    region = {"startLine": place.line}
    if extent:
        region |= {"startColumn": extent.utf16[0], "endColumn": extent.utf16[1]}
    return {"physicalLocation": {"artifactLocation": {"uri": _uri(place.path)}, "region": region}}


def _uri(path: str) -> str:
    """Return a path as a percent-encoded URI, relative to the working directory."""
    encoded = quote(posixpath.normpath(path), safe="/", errors="replace")
    return f"file://{encoded}" if encoded.startswith("/") else encoded


def _text(text: str) -> str:
    """Return a plain text message without placeholders, links and control characters."""
    text = "\n".join(map(visible, text.splitlines())).replace("{", "{{").replace("}", "}}")
    # Brackets form a link only before a parenthesis; elsewhere, as in indices, they stay readable.
    return text.replace("[", "\\[").replace("]", "\\]") if "](" in text else text
