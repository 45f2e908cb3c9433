"""One comment, one issue and the reviewed plan, against GitHub's API over HTTP, whatever it answers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from reconciler.cli.app import reconciler
from reconciler.errors import InvalidInput, ReconcilerError
from reconciler.github.client import GitHub, InDoubt
from reconciler.github.review import find_review
from reconciler.github.sticky import BODY_LIMIT, Mark, close_issue, put_comment, put_issue
from reconciler.model import Secret
from tests.fakes.clock import FakeClock
from tests.fixtures.github import BOT, REPOSITORY, TOKEN, FakeGitHub
from tests.fixtures.web import Answer, Request

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from click.testing import Result

MARK = Mark("plan:acme-prod")
HEAD, COMMIT = "a" * 40, "b" * 40
BROKEN = Answer(502, b"<html>")


@pytest.fixture
def hub() -> Iterator[FakeGitHub]:
    """Give an empty repository."""
    with FakeGitHub() as server:
        yield server


@pytest.fixture
def clock() -> FakeClock:
    """Give virtual time."""
    return FakeClock()


@pytest.fixture
def github(hub: FakeGitHub, clock: FakeClock) -> Iterator[GitHub]:
    """Give a client that waits in virtual time."""
    with GitHub(REPOSITORY, Secret(TOKEN), url=hub.url, clock=clock) as client:
        yield client


def _texts(hub: FakeGitHub) -> list[str]:
    return [each["body"] for each in hub.comments]


# --- one comment --------------------------------------------------------------------------------------------


def test_a_comment_is_written_once_and_then_changed(hub: FakeGitHub, github: GitHub) -> None:
    """The first look writes it, each later one changes it; other pull requests are left alone."""
    hub.say(8, f"{MARK.line}\nours, elsewhere", BOT)
    first = put_comment(github, 7, MARK, "one\n")
    assert put_comment(github, 7, MARK, "two\n") == first
    assert _texts(hub) == [f"{MARK.line}\nours, elsewhere", f"{MARK.line}\ntwo\n"]


def test_each_key_has_its_own_comment(hub: FakeGitHub, github: GitHub) -> None:
    """Two organizations' plans stay apart, even where one name begins with the other."""
    for key in ("plan:acme", "plan:acme-prod", "plan:acme"):
        put_comment(github, 7, Mark(key), key)
    assert len(hub.comments) == 2


def test_ours_is_found_on_any_page(hub: FakeGitHub, github: GitHub) -> None:
    """After hundreds of other comments it is still the same one."""
    for number in range(100):
        hub.say(7, f"before {number}")
    put_comment(github, 7, MARK, "one")
    for number in range(150):
        hub.say(7, f"after {number}")
    put_comment(github, 7, MARK, "two")
    assert [text for text in _texts(hub) if text.startswith(MARK.line)] == [f"{MARK.line}\ntwo"]


@pytest.mark.parametrize(
    ("login", "body"),
    [
        ("mallory", f"{MARK.line}\nclick here"),
        ("github-actions", f"{MARK.line}\nclick here"),
        ("dependabot[bot]", f"{MARK.line}\nclick here"),
        (BOT, f"quoted:\n{MARK.line}\nclick here"),
        (BOT, f" {MARK.line}\nclick here"),
        (BOT, f"{MARK.line} click here"),
        (BOT, f"{Mark('plan:acme-prod-2').line}\nclick here"),
        (BOT, ""),
    ],
)
def test_what_only_looks_like_ours_is_not_touched(
    hub: FakeGitHub, github: GitHub, login: str, body: str
) -> None:
    """Another author's mark, and a mark that does not come first, are not ours: we write our own."""
    hub.say(7, body, login)
    put_comment(github, 7, MARK, "plan")
    assert _texts(hub) == [body, f"{MARK.line}\nplan"]


def test_oddities_in_a_list_are_no_match(hub: FakeGitHub, github: GitHub) -> None:
    """A ghost's comment has no user, and some have no body."""
    hub.comments += [{"id": 1, "pull": 7, "user": None, "body": MARK.line}]
    hub.comments += [{"id": 2, "pull": 7, "user": {"login": BOT}, "body": None}]
    put_comment(github, 7, MARK, "plan")
    assert len(hub.comments) == 3


def test_ours_is_known_with_the_line_ends_of_the_web(hub: FakeGitHub, github: GitHub) -> None:
    """What was edited on the page comes back with carriage returns."""
    hub.say(7, f"{MARK.line}\r\nedited", BOT)
    put_comment(github, 7, MARK, "plan")
    assert _texts(hub) == [f"{MARK.line}\nplan"]


@pytest.mark.parametrize("block", ["x" * 999, "é" * 333, "x" * 70_000])
def test_a_text_of_any_length_is_accepted(hub: FakeGitHub, github: GitHub, block: str) -> None:
    """What is too long is cut between blocks, and says so; the longest that fits is not cut."""
    put_comment(github, 7, MARK, "\n\n".join([block] * 300))
    (text,) = _texts(hub)
    assert len(text) <= BODY_LIMIT
    assert text.endswith("**Cut off here:** the run has the rest.\n")
    assert len(text) > BODY_LIMIT - 2_000
    fits = "y" * (BODY_LIMIT - len(MARK.line) - 1)
    put_comment(github, 7, MARK, fits)
    assert _texts(hub) == [f"{MARK.line}\n{fits}"]


# --- when GitHub does not answer ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault", [BROKEN, Answer(500, {}), Answer(429, {}), Answer(429, {}, {"Retry-After": "1"})]
)
def test_a_look_is_repeated(hub: FakeGitHub, github: GitHub, clock: FakeClock, fault: Answer) -> None:
    """A server error or a rate limit while reading is waited for."""
    hub.faults = [fault, fault]
    put_comment(github, 7, MARK, "plan")
    assert len(hub.comments) == 1
    assert clock.monotonic() >= 2


@pytest.mark.parametrize("happened", [True, False])
def test_a_comment_in_doubt_is_looked_for(hub: FakeGitHub, github: GitHub, happened: bool) -> None:
    """A creation without an answer is not just repeated: there is one comment, whether it was made or not."""

    def break_off(request: Request) -> Answer:
        if happened:
            hub.serve(request)
        return BROKEN

    hub.faults = [lambda _: None, break_off]
    put_comment(github, 7, MARK, "plan")
    assert _texts(hub) == [f"{MARK.line}\nplan"]


@pytest.mark.parametrize("what", ["comment", "issue"])
def test_a_creation_that_stays_in_doubt_is_told(hub: FakeGitHub, github: GitHub, what: str) -> None:
    """After three tries it is an error that says which request it was about."""
    put = {
        "comment": lambda: put_comment(github, 7, MARK, "plan"),
        "issue": lambda: put_issue(github, MARK, "title", "plan"),
    }
    hub.faults = [lambda _: None, BROKEN] * 3
    with pytest.raises(InDoubt, match="may or may not have executed POST issues"):
        put[what]()


def test_an_api_that_is_down_is_told(hub: FakeGitHub, github: GitHub, clock: FakeClock) -> None:
    """Five tries, then one sentence."""
    hub.faults = [BROKEN] * 5
    with pytest.raises(ReconcilerError, match="GitHub did not answer GET issues/7/comments"):
        put_comment(github, 7, MARK, "plan")
    assert len(hub.requests) == 5
    assert clock.monotonic() < 60


def test_a_connection_that_is_refused_is_told(clock: FakeClock) -> None:
    """Nobody listens: the same sentence, without httpx's exception beneath it."""
    with FakeGitHub() as gone:
        url = gone.url
    with (
        GitHub(REPOSITORY, Secret(TOKEN), url=url, clock=clock) as github,
        pytest.raises(ReconcilerError, match="did not answer") as told,
    ):
        github.get("issues")
    assert told.value.__context__ is None


SECONDARY = {"message": "You have exceeded a secondary rate limit. Please wait."}


@pytest.mark.parametrize(
    ("fault", "seconds"),
    [
        (Answer(403, {}, {"Retry-After": "7"}), 7),
        (Answer(429, {}, {"Retry-After": "90"}), 90),
        (Answer(403, SECONDARY), 60),
        (Answer(403, {}, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1793534430"}), 30),
        (Answer(403, {}, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1"}), 1),
        (Answer(429, {}, {"Retry-After": "soon"}), 1),
    ],
)
def test_a_rate_limit_is_waited_for(
    hub: FakeGitHub, github: GitHub, clock: FakeClock, fault: Answer, seconds: int
) -> None:
    """As long as it says, also before a creation: GitHub has not done what it put off."""
    hub.faults = [lambda _: None, fault]
    put_comment(github, 7, MARK, "plan")
    assert len(hub.comments) == 1
    assert clock.monotonic() == seconds


def test_a_limit_that_is_too_long_is_told(hub: FakeGitHub, github: GitHub, clock: FakeClock) -> None:
    """Nobody waits for an hour in a job: it says how long it would be."""
    hub.faults = [Answer(403, {}, {"Retry-After": "3600"})]
    with pytest.raises(ReconcilerError, match="asks to wait 3,600 s"):
        put_comment(github, 7, MARK, "plan")
    assert clock.monotonic() == 0


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 422])
def test_a_refusal_says_what_github_says(hub: FakeGitHub, github: GitHub, status: int) -> None:
    """A refusal is not repeated; its words are told, the token is not."""
    hub.faults = [Answer(status, {"message": "Resource not accessible by integration"})]
    with pytest.raises(ReconcilerError) as told:
        put_comment(github, 7, MARK, "plan")
    assert told.value.message == (
        f"GitHub refused GET issues/7/comments: HTTP {status}: Resource not accessible by integration"
    )
    assert bool(told.value.hint) is (status in {401, 403, 404})
    assert TOKEN not in repr(told.value)
    assert len(hub.requests) == 1


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"message": 7}'])
def test_a_refusal_without_words_is_told_by_number(hub: FakeGitHub, github: GitHub, body: bytes) -> None:
    """What is not GitHub's own answer is not quoted."""
    hub.faults = [Answer(418, body)]
    with pytest.raises(ReconcilerError) as told:
        put_comment(github, 7, MARK, "plan")
    assert told.value.message == "GitHub refused GET issues/7/comments: HTTP 418"


@pytest.mark.parametrize("body", [b"<html>", b"null", b'"text"', b"{}", b"[" * 50_000])
def test_a_list_that_is_none_is_told(hub: FakeGitHub, github: GitHub, body: bytes) -> None:
    """An answer that is no list is an error, and no empty list: that would make a second comment."""
    hub.faults = [Answer(200, body)]
    with pytest.raises(ReconcilerError, match="something other than a list"):
        put_comment(github, 7, MARK, "plan")
    assert hub.comments == []


@pytest.mark.untraced
def test_a_list_without_an_end_is_told(hub: FakeGitHub, github: GitHub) -> None:
    """Pages that never end do not keep a job busy for ever."""
    endless = Answer(200, [{}] * 100)
    hub.faults = [endless] * 1_000
    with pytest.raises(ReconcilerError, match="does not end"):
        put_comment(github, 7, MARK, "plan")
    assert len(hub.requests) == 200


@pytest.mark.parametrize("url", ["http://api.github.com", "ftp://x", "", "https://[::1"])
def test_a_token_is_not_sent_in_the_open(url: str, clock: FakeClock) -> None:
    """Plain http is for loopback alone."""
    with pytest.raises(InvalidInput, match=r"GITHUB_API_URL .*; nothing was sent"):
        GitHub(REPOSITORY, Secret(TOKEN), url=url, clock=clock)


@pytest.mark.parametrize("token", ["line\nbreak", "ü"])
def test_a_token_that_is_none_is_told(token: str, clock: FakeClock) -> None:
    """It is not quoted."""
    with pytest.raises(InvalidInput, match="GITHUB_TOKEN contains invalid characters") as told:
        GitHub(REPOSITORY, Secret(token), url="https://api.github.com", clock=clock)
    assert token not in told.value.message


# --- one issue ----------------------------------------------------------------------------------------------


def test_an_issue_lives_as_long_as_its_cause(hub: FakeGitHub, github: GitHub) -> None:
    """It is opened, changed while it is open and closed with the reason; the next time another one is."""
    hub.open("Webhooks drift", f"{MARK.line}\nours?", "mallory")
    hub.open("a pull request", f"{MARK.line}\nours?", BOT, pull_request={})
    first = put_issue(github, MARK, "Webhooks drift", "one")
    assert put_issue(github, MARK, "Webhooks drift (2)", "two") == first
    assert [each["title"] for each in hub.issues[2:]] == ["Webhooks drift (2)"]
    assert close_issue(github, MARK, "The drift is gone.") == first
    ours = hub.issues[2]
    assert (ours["state"], ours["state_reason"]) == ("closed", "completed")
    assert ours["body"] == f"{MARK.line}\nThe drift is gone.\n\ntwo"
    assert close_issue(github, MARK, "The drift is gone.") is None
    assert put_issue(github, MARK, "Webhooks drift", "three") != first
    assert [each["state"] for each in hub.issues] == ["open", "open", "closed", "open"]


def test_an_issue_in_doubt_is_looked_for(hub: FakeGitHub, github: GitHub) -> None:
    """A creation without an answer leaves one issue."""

    def break_off(request: Request) -> Answer:
        hub.serve(request)
        return BROKEN

    hub.faults = [lambda _: None, break_off]
    put_issue(github, MARK, "Webhooks drift", "text")
    assert len(hub.issues) == 1


# --- the reviewed plan --------------------------------------------------------------------------------------


def _merged(hub: FakeGitHub, plan: bytes = b"{}", /, **artifact: Any) -> None:
    hub.upload(f"webhooks-plan-{HEAD}", HEAD, {"plan.json": plan}, **artifact)
    hub.merge(7, head=HEAD, commit=COMMIT)


def test_the_merged_pull_requests_plan_is_found(hub: FakeGitHub, github: GitHub) -> None:
    """It is the newest that was planned for its last commit; the token does not go to the storage."""
    hub.merged[COMMIT] = [
        {"number": 5, "merged_at": None, "merge_commit_sha": COMMIT, "head": {"sha": HEAD}},
        {"number": 6, "merged_at": "now", "merge_commit_sha": "c" * 40, "head": {"sha": HEAD}},
    ]
    hub.upload(f"webhooks-plan-{HEAD}", HEAD, {"plan.json": b"older"})
    hub.upload(f"webhooks-plan-{'c' * 40}", "c" * 40, {"plan.json": b"another"})
    _merged(hub, b"newer")
    review = find_review(github, COMMIT, "webhooks-plan")
    assert review is not None
    assert (review.pull, review.head, review.plan) == (7, HEAD, b"newer")


def test_a_merge_groups_plan_is_that_of_its_commit(hub: FakeGitHub, github: GitHub) -> None:
    """A merge queue pushes the commit that it planned: that plan counts, and not that of one pull request."""
    _merged(hub, b"of the pull request")
    hub.upload(f"webhooks-plan-{COMMIT}", COMMIT, {"plan.json": b"of the group"})
    review = find_review(github, COMMIT, "webhooks-plan")
    assert review is not None
    assert (review.pull, review.head, review.plan) == (None, COMMIT, b"of the group")


def test_a_commit_without_a_pull_request_has_no_review(hub: FakeGitHub, github: GitHub) -> None:
    """A direct push was reviewed by nobody."""
    _merged(hub)
    assert find_review(github, "d" * 40, "webhooks-plan") is None


FORK = {"head_sha": HEAD, "repository_id": 1, "head_repository_id": 2}
STALE = {"head_sha": "e" * 40, "repository_id": 1, "head_repository_id": 1}


@pytest.mark.parametrize(
    "artifact",
    [{"expired": True}, {"workflow_run": FORK}, {"workflow_run": STALE}, {"workflow_run": None},
     {"workflow_run": {"head_sha": HEAD}}, {"name": "webhooks-plan-other"}],
)  # fmt: skip
def test_an_artifact_that_does_not_count(hub: FakeGitHub, github: GitHub, artifact: dict[str, Any]) -> None:
    """An expired one, a fork's, another commit's or another name's is no review."""
    _merged(hub, **artifact)
    review = find_review(github, COMMIT, "webhooks-plan")
    assert review is not None
    assert review.plan is None


@pytest.mark.parametrize("archive", [b"", b"no zip", b"PK\x05\x06" + b"\0" * 18])
def test_a_damaged_artifact_is_told(hub: FakeGitHub, github: GitHub, archive: bytes) -> None:
    """What is no archive, or has no plan, stops the job: it must not pass for no review."""
    _merged(hub)
    hub.archives = dict.fromkeys(hub.archives, archive)
    with pytest.raises(ReconcilerError, match="artifact of the reviewed plan is damaged"):
        find_review(github, COMMIT, "webhooks-plan")


def test_a_storage_that_refuses_is_told(hub: FakeGitHub, github: GitHub) -> None:
    """Its answer is told by number; the signed address is not."""
    _merged(hub)
    for fault in (Answer(403, b""), Answer(302, b"")):
        hub.faults = [*[lambda _: None] * 4, fault]
        with pytest.raises(ReconcilerError, match=f"storage refused a file: HTTP {fault.status}") as told:
            find_review(github, COMMIT, "webhooks-plan")
        assert "signed-canary" not in told.value.message


@pytest.mark.parametrize("place", ["", "http://storage.example.com/", "ftp://x"])
def test_a_file_in_the_open_is_not_fetched(hub: FakeGitHub, github: GitHub, place: str) -> None:
    """A redirect that leads to plain http is not followed."""
    _merged(hub)
    hub.faults = [*[lambda _: None] * 3, Answer(302, b"", {"Location": place})]
    with pytest.raises(ReconcilerError, match="without the URL of a file"):
        find_review(github, COMMIT, "webhooks-plan")


def test_a_plan_of_absurd_size_is_told(hub: FakeGitHub, github: GitHub) -> None:
    """An archive that unpacks to more than a plan can have is unpacked so far only."""
    _merged(hub, bytes(33 << 20))
    with pytest.raises(ReconcilerError, match="the reviewed plan has more than 32 MB"):
        find_review(github, COMMIT, "webhooks-plan")


def test_an_artifact_of_absurd_size_is_told(hub: FakeGitHub, github: GitHub) -> None:
    """A file that does not end is not kept in memory."""
    _merged(hub)
    hub.archives = dict.fromkeys(hub.archives, bytes(9 << 20))
    with pytest.raises(ReconcilerError, match="the response has more than 8 MB"):
        find_review(github, COMMIT, "webhooks-plan")


def test_a_storage_that_is_gone_is_told(hub: FakeGitHub, github: GitHub) -> None:
    """One sentence without its address."""
    _merged(hub)
    hub.faults = [*[lambda _: None] * 3, Answer(302, b"", {"Location": "http://127.0.0.1:9/canary"})]
    with pytest.raises(ReconcilerError, match="storage did not return the file") as told:
        find_review(github, COMMIT, "webhooks-plan")
    assert told.value.__context__ is None


# --- the commands -------------------------------------------------------------------------------------------


def _run(hub: FakeGitHub, folder: Path, *args: str, **environ: str | None) -> Result:
    event = folder / "event.json"
    if not event.exists():
        event.write_text(json.dumps({"pull_request": {"number": 7}}))
    variables = {
        "GITHUB_API_URL": hub.url, "GITHUB_REPOSITORY": REPOSITORY, "GITHUB_TOKEN": TOKEN,
        "GITHUB_EVENT_PATH": str(event), "GITHUB_SHA": COMMIT, **environ,
    }  # fmt: skip
    result = CliRunner().invoke(reconciler, ["github", *args], env=variables)
    assert TOKEN not in result.output
    return result


def test_the_commands_do_it(hub: FakeGitHub, tmp_path: Path) -> None:
    """Each says what it did, on one line."""
    file = tmp_path / "plan.md"
    file.write_text("the plan")
    commented = _run(hub, tmp_path, "comment", str(file), "--key", "plan:a")
    assert commented.stdout == "commented: https://github.test/c/101\n"
    key = ("--key", "drift:a")
    opened = _run(hub, tmp_path, "issue", str(file), "--title", "Drift", *key)
    assert opened.stdout == "open: https://github.test/i/102\n"
    assert _run(hub, tmp_path, "close-issue", "--why", "gone", *key).stdout.startswith("closed: https")
    assert _run(hub, tmp_path, "close-issue", "--why", "gone", *key).stdout == "nothing to close\n"


def test_the_reviewed_plan_is_written(hub: FakeGitHub, tmp_path: Path) -> None:
    """With a review its plan is in the file; without one there is none, and an annotation says so."""
    out = tmp_path / "plan.json"
    args = ("reviewed-plan", "--artifact", "webhooks-plan", "--out", str(out))
    assert _run(hub, tmp_path, *args).stdout.startswith("::notice title=no reviewed plan::No pull request")
    hub.merge(7, head=HEAD, commit=COMMIT)
    assert _run(hub, tmp_path, *args).stdout.startswith("::warning title=no reviewed plan::Pull request #7")
    assert not out.exists()
    _merged(hub, '"ü"'.encode())
    assert _run(hub, tmp_path, *args).stdout == "reviewed: the plan of pull request #7 at aaaaaaaaaaaa\n"
    assert out.read_text(encoding="utf-8") == '"ü"'


@pytest.mark.parametrize(
    ("environ", "code", "words"),
    [
        ({"GITHUB_TOKEN": ""}, 3, "GITHUB_TOKEN is not set"),
        ({"GITHUB_REPOSITORY": None}, 3, "GITHUB_REPOSITORY is not set"),
        ({"GITHUB_REPOSITORY": "a/b/../../c"}, 3, "GITHUB_REPOSITORY does not have the form owner/name"),
        ({"GITHUB_EVENT_PATH": None}, 3, "GITHUB_EVENT_PATH is not set"),
        ({"GITHUB_EVENT_PATH": "/nowhere"}, 1, "cannot read /nowhere: No such file or directory"),
        ({"GITHUB_API_URL": "http://api.github.com"}, 3, "GITHUB_API_URL uses plain http"),
        ({"GITHUB_TOKEN": "wrong"}, 1, "GitHub refused GET issues/7/comments: HTTP 401: Bad credentials"),
    ],
)
def test_a_job_that_lacks_something_is_told(
    hub: FakeGitHub, tmp_path: Path, environ: dict[str, str | None], code: int, words: str
) -> None:
    """The variable is named, and nothing is written."""
    file = tmp_path / "plan.md"
    file.write_text("the plan")
    result = _run(hub, tmp_path, "comment", str(file), "--key", "k", **environ)
    assert result.exit_code == code
    assert result.stderr.startswith(f"error: {words}")
    assert hub.comments == []


@pytest.mark.parametrize(
    "event", ["{}", "[]", "no JSON", '{"pull_request": null}', '{"pull_request": {"number": "7"}}']
)
def test_a_job_without_a_pull_request_cannot_comment(hub: FakeGitHub, tmp_path: Path, event: str) -> None:
    """A push has no pull request to comment on: exit 3."""
    (tmp_path / "event.json").write_text(event)
    file = tmp_path / "plan.md"
    file.write_text("the plan")
    result = _run(hub, tmp_path, "comment", str(file), "--key", "k")
    assert (result.exit_code, hub.requests) == (3, [])
    assert "this job does not run for a pull request" in result.stderr


def test_a_commit_that_is_none_is_told(hub: FakeGitHub, tmp_path: Path) -> None:
    """A GITHUB_SHA that is no commit goes into no URL."""
    args = ("reviewed-plan", "--artifact", "a", "--out", str(tmp_path / "o"))
    result = _run(hub, tmp_path, *args, GITHUB_SHA="../../x")
    assert (result.exit_code, hub.requests) == (3, [])


def test_a_text_that_is_none_is_told(hub: FakeGitHub, tmp_path: Path) -> None:
    """A file of bytes is no comment."""
    (tmp_path / "plan.md").write_bytes(b"\xff\xfe")
    result = _run(hub, tmp_path, "comment", str(tmp_path / "plan.md"), "--key", "k")
    assert result.stderr.endswith("plan.md: not UTF-8 text\n")


def test_it_is_for_workflows_and_not_for_the_list() -> None:
    """The command is not among those that a person meets, it has help, and usage errors exit with 64."""
    assert "\n  github" not in CliRunner().invoke(reconciler, ["--help"]).stdout
    for name in ("comment", "issue", "close-issue", "reviewed-plan"):
        result = CliRunner().invoke(reconciler, ["github", name, "--help"])
        assert (result.exit_code, f"reconciler github {name}" in result.stdout) == (0, True)
        assert CliRunner().invoke(reconciler, ["github", name]).exit_code == 64
