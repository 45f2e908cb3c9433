"""Receivers of ours that have another secret than Vault: a real receiver is asked on loopback."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from reconciler.cli.receiver_secrets import check_secrets, is_ours
from reconciler.errors import ExitCode, ReconcilerError, StoreError
from reconciler.receiver.server import ReceiverServer
from reconciler.receiver.service import Receiver
from tests.fakes.world import webhook
from tests.fixtures.deliveries import fields
from tests.fixtures.web import Answer, Collector

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from reconciler.report.checks import Check


@contextmanager
def running(folder: Path, secret: str | None) -> Iterator[tuple[str, list[str]]]:
    """Run a receiver of the webhook `ci`; give its URL, and the events that it hands on."""
    stop, handled = threading.Event(), list[str]()

    def read(_: str) -> Mapping[str, object]:
        if secret is None:
            raise ReconcilerError("Vault is sealed")
        return fields(secret)

    inbox = f"sqlite:///{folder}/inbox.db"
    receiver = Receiver(["ci"], secrets=read, inbox=inbox, handler=lambda event: handled.append(event.id))
    server = ReceiverServer(receiver, "127.0.0.1:0", stop)
    thread = threading.Thread(target=server.run)
    thread.start()
    yield server.url, handled
    stop.set()
    thread.join()


def check(url: str, name: str = "ci") -> list[Check]:
    """Compare the secret of a webhook at a URL with the right one."""
    return check_secrets([webhook(name, url=f"{url}/{name}")], lambda _: fields("right"))


def test_the_right_secret_is_recognized(tmp_path: Path) -> None:
    """A receiver of ours with the secret of Vault is well, and hands nothing on because of the question."""
    with running(tmp_path, "right") as (url, handled):
        assert is_ours(f"{url}/ci")
        (found,) = check(url)
        assert (found.name, found.ok, found.warning) == ("receiver of ci", True, False)
        assert found.detail == "it has the signing secret that is in Vault"
    assert handled == []


def test_a_wrong_secret_is_reported(tmp_path: Path) -> None:
    """Another secret than Vault's, none at all, and a receiver of other webhooks: each fails the check."""
    with running(tmp_path, "wrong") as (url, _):
        (wrong,), (other,) = check(url), check(url, name="other")
    with running(tmp_path, None) as (url_of_another, _):
        (without,) = check(url_of_another)
    host = url.removeprefix("http://")
    assert wrong.detail == f"`reconciler receive` at {host} has another signing secret than Vault"
    assert "then run `reconciler test ci`" in (wrong.hint or "")
    assert other.detail == f"`reconciler receive` at {host} does not receive this webhook"
    assert without.detail.endswith(" has no signing secret")
    assert {each.exit_code for each in (wrong, other, without)} == {ExitCode.FAILED}


def test_a_receiver_of_others_gets_no_signature() -> None:
    """It is asked once, without a signature, and there is nothing to report; so it is if nobody answers."""
    with Collector(Answer(401)) as service:
        assert check(service.url) == []
        assert not is_ours(service.url)
        assert all("x-zof-signature" not in request.headers for request in service.requests)
        assert {request.method for request in service.requests} == {"GET"}
        url = service.url
    assert check(url) == []


def test_a_secret_that_cannot_be_read_is_not_compared(tmp_path: Path) -> None:
    """With a token that may only plan, or before the first apply, the check warns or says so."""

    def denied(_: str) -> Mapping[str, object]:
        raise StoreError("permission denied")

    with running(tmp_path, "right") as (url, _):
        webhooks = [webhook("ci", url=f"{url}/ci")]
        (unread,) = check_secrets(webhooks, denied)
        (absent,) = check_secrets(webhooks, lambda _: {})
    assert (unread.ok, unread.warning) == (True, True)
    assert unread.detail == "secret not compared: permission denied"
    assert (absent.ok, absent.detail) == (True, "secret not compared: Vault has none yet")


def test_an_odd_answer_is_not_a_wrong_secret() -> None:
    """Something in front of a receiver that answers in its place: nothing is concluded."""
    with Collector(Answer(429, headers={"X-Webhook-Receiver": "webhook-reconciler"})) as proxy:
        (found,) = check(proxy.url)
    assert (found.ok, found.detail) == (True, "secret not compared: HTTP 429")
