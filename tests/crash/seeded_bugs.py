"""Bugs of the protocol to seed, one at a time, and the pytest plugin that seeds one.

A bug is a replacement in the syntax tree of one module (see `rewriting`). It survives new comments, new
formatting and renames of whatever its pattern leaves open. `test_mutants.py` reports a pattern that no longer
fits the code.

As a plugin (`SEEDED_BUG=title pytest -p tests.crash.seeded_bugs …`) it changes modules as they are imported.
"""

from __future__ import annotations

import ast
import os
import sys
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from typing import TYPE_CHECKING

from tests.crash.rewriting import NoMatchError, Pattern, named

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import CodeType, ModuleType

ROOT = Path(__file__).resolve().parents[2]
VARIABLE = "SEEDED_BUG"
CREATE, CLEANUP, STATE = "plan.protocol.create", "plan.protocol.cleanup", "plan.protocol.state"
ADOPT, DECIDE, WINDOWS = "plan.protocol.adopt", "plan.protocol.decide", "plan.protocol.evidence"
LEDGER = "ledger.ledger"
RUNNER, EXECUTOR = "apply.runner", "apply.executor"
CRASHES, RIVALS, FAULTS = "every_crash_point", "rival", "fault_at_every"
EVIDENCE = "../unit/plan/protocol/test_evidence.py"


@dataclass(frozen=True)
class Edit:
    """`right` becomes `wrong` in `function` (None: anywhere) of `module`, which is below `reconciler`."""

    module: str
    function: str | None
    right: str
    wrong: str

    def applied_to(self, source: str) -> ast.Module:
        """Return the changed syntax tree of the module.

        Raises:
            AssertionError: the code does not fit; the message says where to look and what to update.
        """
        tree = ast.parse(source)
        try:
            Pattern(self.right, self.wrong).replace_in(tree, self.function)
        except NoMatchError as error:
            raise AssertionError(self._advice(tree, error)) from None
        return tree

    def _advice(self, tree: ast.Module, error: NoMatchError) -> str:
        """Say what to update, with the code as it is now and where else the pattern matches."""
        pattern = Pattern(self.right, self.wrong)
        elsewhere = [
            f"{path.relative_to(ROOT)}: {count} match(es)"
            for path in sorted((ROOT / "reconciler").rglob("*.py"))
            if (count := pattern.count_in(ast.parse(path.read_text("utf-8"))))
        ]
        now = (
            "\n\n".join(ast.unparse(each) for each in named(tree, self.function or ""))
            or "(no such function)"
        )
        return "\n".join((
            f"the pattern of a seeded bug does not fit reconciler.{self.module}, {self.function}: {error}.",
            "Update `module`, `function` or `right` of this bug in tests/crash/seeded_bugs.py:",
            "it must match the code that does the same job now. Do not drop the bug.",
            f"--- pattern\n{self.right}",
            f"--- the function now\n{now}" if self.function else "--- anywhere in the module",
            f"--- the pattern matches in\n{chr(10).join(elsewhere) or '(no module)'}",
        ))  # fmt: skip


@dataclass(frozen=True)
class Bug:
    """One seeded bug; of `tests` those `caught_by` (pytest's -k) must fail."""

    title: str
    edit: Edit
    caught_by: str = CRASHES
    tests: str = "test_simulation.py"
    without: Edit | None = None
    """A second guard that would hide the bug, and is taken out with it."""

    @property
    def edits(self) -> tuple[Edit, ...]:
        """All that is changed."""
        return (self.edit, self.without) if self.without else (self.edit,)


WRITE = "version = $store.write($name, $document, cas=$cas)"
SECOND_LOOK = Edit(EXECUTOR, "_delete", "self._learn_all_owners()", "None")
"""Before a leftover is deleted, a run checks once more whether another has recorded it."""
BUGS = (
    Bug(
        "no write-ahead",
        Edit(
            EXECUTOR,
            "_write",
            WRITE,
            "version = step.cas if step.begins_attempt else $store.write($name, $document, cas=$cas)",
        ),
    ),
    Bug(
        "a key without its generation",
        Edit(
            CREATE,
            "begin",
            "Pending($*rest, idempotency_key=$key)",
            "Pending($*rest, idempotency_key=s.name)",
        ),
        caught_by=f"{CRASHES} and gap and one",
    ),
    Bug(
        "a replay past the window",
        Edit(CREATE, None, "REPLAY_WINDOW = $hours", "REPLAY_WINDOW = timedelta(9999)"),
    ),
    Bug(
        "deletion before creation",
        Edit(CREATE, "_send", "if pending.gap: $*body", "if pending: $*body"),
        caught_by=f"{CRASHES} and replace",
    ),
    Bug(
        "the client's secret is assumed to be honoured",
        Edit(
            CREATE,
            "_promote",
            "replace(document, $*rest, signing_secret=$secret)",
            "replace(document, $*rest, signing_secret=pending.client_secret)",
        ),
    ),
    Bug(
        "a new key on each retry",
        Edit(
            EXECUTOR,
            None,
            "$api.create($key, $body)",
            "$api.create($key + self._session.fresh().key_suffix, $body)",
        ),
    ),
    Bug(
        "a hidden secret is kept",
        Edit(
            CREATE,
            "resolve",
            """
            if $secret is not None:
                return $promote($*before, $secret)
            return $abandon($*arguments)
            """,
            """
            if $secret is not None:
                return $promote($*before, $secret)
            return $promote($*before, pending.client_secret)
            """,
        ),
    ),
    Bug(
        "a hidden secret's endpoint goes before the intent is given up",
        Edit(
            CREATE,
            "resolve",
            """
            if $secret is not None:
                return $promote($*before, $secret)
            return $abandon($*arguments)
            """,
            """
            if $secret is not None:
                return $promote($*before, $secret)
            if step := delete(s, answer.endpoint.id, ""):
                return step
            return $abandon($*arguments)
            """,
        ),
        caught_by=f"{RIVALS} and hides and unmanaged",
    ),
    Bug(
        "no sweep of abandoned attempts",
        Edit(RUNNER, "_sweep", "failure = $sweep(swept, conflicts)", "failure = None"),
    ),
    Bug(
        "a sweep without the baseline",
        Edit(
            LEDGER,
            "resembles",
            "endpoint.id not in self.baseline_ids and $events and $url",
            "$events and $url",
        ),
        caught_by=f"{CRASHES} and unmanaged",
    ),
    Bug(
        "a sweep before pendings are resolved",
        Edit(
            RUNNER,
            "_sweep_all",
            "any(s.document and s.document.ledger.pending for s in $documents)",
            "False",
        ),
        caught_by="leftover",
    ),
    Bug(
        "a sweep that takes what its own ledger records",
        Edit(
            CLEANUP,
            "_is_known",
            "endpoint.id in spared or live.is_recorded(endpoint.id)",
            "False",
        ),
        caught_by=f"{CRASHES} and replace",
    ),
    Bug(
        "a sweep without an end in time",
        Edit(
            LEDGER,
            None,
            "window.began - $margin <= created <= window.ended + $margin",
            "window.began - $margin <= created",
        ),
        caught_by="operator",
    ),
    Bug(
        "an endpoint of any time is taken for a leftover",
        Edit(LEDGER, "may_have_made", "$resembles and is_within($*arguments)", "$resembles"),
        caught_by="certainly_created_nothing or created_later or no_time_of_creation",
        tests=EVIDENCE,
    ),
    Bug(
        "an endpoint without a time of creation is taken for a leftover",
        Edit(LEDGER, "is_within", "created is not None and $within", "created is None or $within"),
        caught_by="no_time_of_creation",
        tests=EVIDENCE,
    ),
    Bug(
        "a request that certainly failed counts as one that may have been executed",
        Edit(
            CREATE,
            "_unanswered",
            """
            if not $evidence:
                return $forget
            """,
            "pass",
        ),
        caught_by="certainly_created_nothing",
        tests=EVIDENCE,
    ),
    Bug(
        "the window of a request stays open when it has ended",
        Edit(WINDOWS, "evidence_of", "known.remove(opened)", "pass"),
        caught_by="created_later",
        tests=EVIDENCE,
    ),
    Bug(
        "an intent is sent again beside a person's endpoint",
        Edit(CREATE, "_send", "_belongs_to_others(s, document, pending)", "False"),
        caught_by="created_later",
        tests=EVIDENCE,
    ),
    Bug(
        "what resembles a leftover is not reported",
        Edit(RUNNER, None, "self._sweep_all($swept, $conflicts)", "self._sweep_all($swept, {})"),
        caught_by="beside_our_endpoint",
        tests=EVIDENCE,
    ),
    Bug(
        "the previous endpoint is forgotten",
        Edit(
            CREATE,
            "_promote",
            "$old is not None and $old.endpoint_id != $made.endpoint.id",
            "$old is not None and $old.generation > 99",
        ),
        caught_by=f"{CRASHES} and replace",
    ),
    Bug(
        "a promotion without check-and-set",
        Edit(
            EXECUTOR,
            "_write",
            WRITE,
            "version = $store.write($name, $document, cas=$store.read($name).version)",
        ),
        caught_by=RIVALS,
    ),
    Bug(
        "acting on a listing older than the document",
        Edit(
            RUNNER,
            None,
            "$change($*rest, listing_current=$version == $known)",
            "$change($*rest, listing_current=True)",
        ),
        caught_by=RIVALS,
    ),
    Bug(
        "an endpoint goes before its URL is taken over",
        Edit(STATE, None, "Hold($name, $url) if $name != s.name and $deletes else $step", "$step"),
        caught_by=f"{FAULTS} and swap",
    ),
    Bug(
        "what an attempt made goes before the attempt is given up",
        Edit(
            CREATE,
            "_give_up",
            "$since = timedelta(seconds=s.stored.age) if $stuck else $window",
            """
            if not s.listing_current:
                return ListAgain()
            left = replace(document.ledger, abandoned=(pending.abandon(s.now, windows_of(pending)),))
            if step := clear_abandoned(s, left):
                return step
            $since = timedelta(seconds=s.stored.age) if $stuck else $window
            """,
        ),
        caught_by="only_after_it_has_won",
        tests="test_histories.py",
        without=SECOND_LOOK,
    ),
    Bug(
        "what an attempt made goes before the next intent is written",
        Edit(
            CREATE,
            "begin",
            "if $found := conflict($*arguments): $*body",
            """
            if step := clear_abandoned(s, ledger):
                return step
            if $found := conflict($*arguments):
                $*body
            """,
        ),
        caught_by="only_after_it_has_won",
        tests="test_histories.py",
        without=SECOND_LOOK,
    ),
    Bug(
        "another run's intent is sent without a word",
        Edit(CREATE, "_send", "not is_announced(s, pending)", "False"),
        caught_by="says_that_it_sends",
        tests="test_histories.py",
    ),
    Bug(
        "a leftover goes by what was known when the listing began",
        SECOND_LOOK,
        caught_by="another_run_has_recorded",
        tests="test_histories.py",
    ),
    Bug(
        "no sweep for a webhook that waits to go",
        Edit(
            CLEANUP,
            "sweep_step",
            "document is None or document.ledger.pending is not None",
            "document is None or document.ledger.pending is not None or document.ledger.removing",
        ),
        caught_by="waits_to_go",
        tests="test_histories.py",
    ),
    Bug(
        "a secret is made up for an endpoint that has its own",
        Edit(
            ADOPT,
            None,
            "replace($document, $*rest, signing_secret=adoption.secret)",
            "replace($document, $*rest, signing_secret=adoption.secret or s.fresh.secret)",
        ),
        caught_by=f"{CRASHES} and rotate",
        tests="test_adoption_crashes.py",
    ),
    Bug(
        "an adoption forgets what it has replaced",
        Edit(ADOPT, "_is_done", "$is_as_asked or $is_replaced(ledger, adoption.endpoint_id)", "$is_as_asked"),
        caught_by=f"{CRASHES} and rotate",
        tests="test_adoption_crashes.py",
    ),
    # --- people, the vendor and proxies: what users of similar tools reported ---------------------------
    # Not here, because no simulated request shows them: how NO_PROXY and certificates are read
    # (tests/unit), and what `doctor` reports (tests/integration/test_cli_doctor.py).
    Bug(
        "a leftover needs no evidence",
        Edit(
            "ledger.ledger",
            "may_have_made",
            "self.resembles(endpoint) and is_within($*when)",
            "self.resembles(endpoint)",
        ),
        caught_by="after_a_run_that_failed and faithful",
        tests="test_people.py",
    ),
    Bug(
        "an endpoint without a date is a leftover",
        Edit(
            "ledger.ledger",
            "may_have_made",
            "self.resembles(endpoint) and is_within($*when)",
            "self.resembles(endpoint) and (endpoint.created is None or is_within($*when))",
        ),
        caught_by="after_a_phase and absent",
        tests="test_wire.py",
    ),
    Bug(
        "what certainly was not carried out has a window",
        Edit("zof.caller", "call", "if $leaves_doubt($last): $append", "$append"),
        caught_by="after_a_phase and created-429",
        tests="test_wire.py",
    ),
    Bug(
        "a spelling is never learned",
        Edit(
            "plan.protocol.spelling",
            "settle_suspicion",
            "replace(ledger, spelling=ledger.suspected, suspected=None)",
            "replace(ledger, suspected=None)",
        ),
        caught_by="spelling and query_order",
        tests="test_habits.py",
    ),
    Bug(
        "a test that lags makes another endpoint",
        Edit(
            EXECUTOR,
            "_test",
            "if endpoint_id in self._made: $*wait\nelif $not_found: $*rest",
            "if $not_found:\n    $*rest\n    self._made.discard(endpoint_id)",
        ),
        caught_by="lag_makes",
        tests="test_habits.py",
        without=Edit(
            "plan.protocol.next_step",
            "_verify",
            "is_not_found($answer) and $made and $made.endpoint.id == $current.endpoint_id",
            "False",
        ),
    ),
    Bug(
        "paths do not limit what is deleted",
        Edit("plan.compare", "_out_of_scope", "if scope is None: $*body", "if True: $*body"),
        caught_by="outside and changed and there",
        tests="test_situations.py",
    ),
    Bug(
        "a deleted document without metadata is not looked at",
        Edit(
            "plan.protocol.next_step",
            "_undelete",
            "s.progress.revived is not None",
            "s.stored.projection is None",
        ),
        caught_by="a_person_deletes and create",
        tests="test_situations.py",
    ),
    Bug(
        "a cap is taken for a refused key",
        Edit(
            STATE,
            "refuses_key",
            "isinstance($answer, Refused) and $refuses and not answer.is_cap",
            "isinstance($answer, Refused) and $refuses",
        ),
        caught_by="a_cap_blocks",
        tests="test_habits.py",
    ),
    Bug(
        "no gap makes room under a cap",
        Edit(
            CREATE,
            "_capped",
            "$wanted is not None and $wanted.allow_event_gap and replaceable and not pending.gap",
            "False",
        ),
        caught_by="a_cap_blocks and replace",
        tests="test_habits.py",
    ),
    Bug(
        "a line break is cut off a secret",
        Edit("zof.responses", "read_secret", "return Secret(value)", "return Secret(value.strip())"),
        caught_by="line_break",
        tests="test_wire.py",
    ),
    Bug(
        "a token is never renewed",
        Edit("vault.session", "_current_token", "self._lifetime is not None and $due", "False"),
        caught_by="token_is_renewed",
        tests="test_vault_wire.py",
    ),
    Bug(
        "nobody hears that Vault will delete a secret",
        Edit("plan.expiry", "expiry_warnings", "return (warning,)", "return ()"),
        caught_by="delete_version_after",
        tests="test_vault_wire.py",
    ),
    Bug(
        "a rate limit that is answered with 403 is a missing permission",
        Edit("zof.responses", "is_rate_limit", "if $status == _FORBIDDEN: $*body", "pass"),
        caught_by="secondary_limit",
        tests="test_wire.py",
    ),
    Bug(
        "a long pause is not mentioned",
        Edit("zof.client", "_settle", "if failure.wait_until is not None: $*body", "pass"),
        caught_by="long_pause",
        tests="test_wire.py",
    ),
    Bug(
        "one odd entry stops everything",
        Edit(
            "plan.odd_entries",
            "sort_out",
            "if $refusal := $refuse($*arguments): $*body",
            "$refusal = str(entry)\nif $refusal: $*body",
        ),
        caught_by="odd_entry_that_cannot",
        tests="test_wire.py",
    ),
    Bug(
        "an odd entry that is ours is skipped",
        Edit(
            "plan.odd_entries",
            "_refusal",
            "if entry.id is not None: $*body",
            "if entry.id is not None:\n    return None",
        ),
        caught_by="odd_entry_with_our_id",
        tests="test_wire.py",
    ),
    Bug(
        "another organization's 404s are facts",
        Edit("plan.guards", "_foreign_key", "facts.listed or facts.key in facts.recorded_keys", "True"),
        caught_by="another_organizations_key and one",
        tests="test_situations.py",
    ),
    Bug(
        "a disabled endpoint counts as in sync",
        Edit(DECIDE, "_as_asked", "$endpoint is not None and not $endpoint.enabled", "False"),
        caught_by="disabled_endpoint",
        tests="test_situations.py",
    ),
    Bug(
        "a file in capitals is skipped",
        Edit(
            "manifest.files",
            "is_manifest_name",
            "$name.endswith($suffixes) or $name.lower().endswith($suffixes)",
            "$name.endswith($suffixes)",
        ),
        caught_by="no_file_that_is_there",
        tests="test_situations.py",
    ),
    Bug(
        "a link is skipped without a word",
        Edit("manifest.files", "_entries", "if is_link: $*body\nelse: $*rest", "if not is_link: $*rest"),
        caught_by="no_file_that_is_there",
        tests="test_situations.py",
    ),
    Bug(
        "a move overwrites what somebody else has written",
        Edit(
            "usecases.move",
            "_move_document",
            "session.store.write(name, $document, cas=version)",
            "session.store.write(name, $document, cas=session.store.read(name).version)",
        ),
        caught_by="a_move_that_dies and write",
        tests="test_situations.py",
    ),
    Bug(
        "what Vault did not do is not tried again",
        Edit(
            "vault.session",
            "call",
            "$purpose.harmless or isinstance($error, NotExecuted)",
            "$purpose.harmless",
        ),
        caught_by="did_not_do and 429",
        tests="test_vault_wire.py",
    ),
    Bug(
        "an upgrade of Vault's mount is a refusal",
        Edit("vault.responses", None, "_UPGRADING in $words", "False"),
        caught_by="did_not_do and upgrade",
        tests="test_vault_wire.py",
    ),
    Bug(
        "what exists is reported as not created",
        Edit(RUNNER, "_change", "ended_by($*arguments, ongoing, $step)", "ended_by($*arguments, None, None)"),
        caught_by="true_report and 429",
        tests="test_vault_wire.py",
    ),
    Bug(
        "a listing with the verb LIST",
        Edit(
            "vault.documents",
            "_send_listing",
            """$client.adapter.get($path, params={"list": "true"})""",
            "$client.adapter.list($path)",
        ),
        caught_by="verb_list",
        tests="test_vault_wire.py",
    ),
    Bug(
        "a proxy's page is Vault's answer",
        Edit("vault.responses", "interpret", "if $words is None: $*body", "$words = $words or ''"),
        caught_by="proxys_page and 501",
        tests="test_vault_wire.py",
    ),
    Bug(
        "other people's keys are wiped",
        Edit("vault.documents", "write_projection", "self._others_of($name)", "{}"),
        caught_by="peoples_keys",
        tests="test_vault_wire.py",
    ),
)


def source_of(module: str) -> str:
    """Return the source of a module below `reconciler`.

    Raises:
        AssertionError: there is none; the message says what to update.
    """
    path = ROOT.joinpath("reconciler", *module.split(".")).with_suffix(".py")
    assert path.exists(), f"{path.relative_to(ROOT)} has moved: update its name in tests/crash/seeded_bugs.py"
    return path.read_text("utf-8")


# --- the plugin -------------------------------------------------------------------------------------------


class _SeedingLoader(SourceFileLoader):
    """Compiles a module with the bug in it, past the cache of compiled files."""

    def __init__(self, name: str, path: str, edits: Sequence[Edit]) -> None:
        super().__init__(name, path)
        self._edits = edits

    def get_code(self, fullname: str) -> CodeType:
        source = Path(self.path).read_text("utf-8")
        for edit in self._edits:
            source = ast.unparse(edit.applied_to(source))
        return compile(source, f"{self.path} with a seeded bug", "exec")


class _SeedingFinder(MetaPathFinder):
    def __init__(self, bug: Bug) -> None:
        self._bug = bug

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        edits = [edit for edit in self._bug.edits if f"reconciler.{edit.module}" == fullname]
        spec = PathFinder.find_spec(fullname, path, target) if edits else None
        if spec is not None and spec.origin is not None:
            spec.loader = _SeedingLoader(fullname, spec.origin, edits)
        return spec


if title := os.environ.get(VARIABLE):
    seeded = next(bug for bug in BUGS if bug.title == title)
    assert not any(f"reconciler.{edit.module}" in sys.modules for edit in seeded.edits), "imported too early"
    sys.meta_path.insert(0, _SeedingFinder(seeded))
