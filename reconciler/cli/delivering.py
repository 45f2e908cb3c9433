"""`reconciler test`: send test deliveries and tell which arrived."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from reconciler.cli.attribution import current_run
from reconciler.cli.interrupt import stop_on_signal
from reconciler.cli.preview import Results
from reconciler.cli.wiring import for_each, load_places, open_session
from reconciler.errors import ExitCode, UsageError
from reconciler.plan.outcome import DeliveryResult
from reconciler.report.deliveries import deliveries_markdown, deliveries_text, deliveries_value
from reconciler.usecases.deliver import deliver_tests

if TYPE_CHECKING:
    from collections.abc import Collection

    from reconciler.cli.options import Settings
    from reconciler.cli.wiring import Place

_STOPPING = "stopping: the delivery in hand is finished first; a second signal stops at once"


def test_webhooks(settings: Settings, names: Collection[str]) -> ExitCode:
    """Test each organization's webhooks, or those of `names`; 5 where a delivery failed."""
    places = load_places(settings)
    if names and len(places) > 1:
        raise UsageError(
            "names go with one organization, and there are several", hint="choose one with --organization"
        )
    results = Results(settings, several=len(places) > 1)
    stop = threading.Event()
    run = current_run(os.environ)

    def test(place: Place) -> ExitCode:
        with open_session(place, run) as session, stop_on_signal(stop, _STOPPING), place.reporter:
            deliveries = deliver_tests(session, names, stop)
        if settings.format == "markdown":
            text = deliveries_markdown(place.name, deliveries)
        else:
            text = deliveries_text(place.name, deliveries, color=settings.color)
        results.add(deliveries_value(place.name, deliveries), text)
        done = all(each.result is DeliveryResult.DELIVERED for each in deliveries)
        return ExitCode.OK if done else ExitCode.PARTIAL

    return results.write_after(for_each(places, test, stop=stop))
