"""The fleet's page: every organization read, then one HTML document."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.apply.run_log import read_audit
from reconciler.cli.certificates import look_at_receivers
from reconciler.cli.cut_off import tell_what_was_cut_off
from reconciler.cli.occasion import current_occasion
from reconciler.cli.output import write_result
from reconciler.cli.preview import tell_drift
from reconciler.cli.wiring import for_each, load_sites
from reconciler.errors import ExitCode
from reconciler.manifest.webhooks import KNOWN_EVENTS
from reconciler.plan.history import last_changes, merged
from reconciler.report.pages.fleet import Fleet, fleet_html
from reconciler.usecases.inventory import fleet
from reconciler.usecases.preview import drift as find_drift
from reconciler.usecases.preview import preview

if TYPE_CHECKING:
    from reconciler.cli.options import Settings
    from reconciler.cli.wiring import Site


def write_page(settings: Settings, *, drift: bool, endpoints: bool = False) -> ExitCode:
    """Write one page for all organizations; those that cannot be read are told on stderr and on the page.

    With `endpoints` the receivers that manifests name are looked at, too.
    """
    sites = load_sites(settings)
    fleets: list[Fleet] = []

    def read(site: Site) -> ExitCode:
        tell_what_was_cut_off(site.place.journal)
        use_case = find_drift if drift else preview
        with site.session() as session, site.reporter:
            found = use_case(session)
        changes = [each for each in read_audit(site.place.audit, site.name) if not each.is_request]
        history = merged(changes, last_changes(found.metadata))
        receivers = look_at_receivers(site.desired) if endpoints else None
        fleets.append(Fleet(site.name, fleet(found), history, receivers))
        if drift:
            tell_drift(site, found)
        return ExitCode.PENDING if drift and found.plan.pending else ExitCode.OK

    code = for_each(sites, read)
    if fleets:
        names = {each.organization for each in fleets}
        unread = [site.name for site in sites if site.name not in names]
        occasion = current_occasion(settings.actor)
        page = fleet_html(fleets, occasion, known_events=KNOWN_EVENTS, unread=unread, drift=drift)
        write_result(page, settings.output)
    return code
