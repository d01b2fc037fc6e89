"""`heart notify`: a Prefect automation that reports every run that ended badly, by webhook or by mail.

Prefect's server sends the notification, so a run whose process was killed is reported too. The address and the
password are kept on that server as secrets, in a block.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import quote, urlencode, urlsplit
from uuid import UUID

from prefect.blocks.core import Block
from prefect.blocks.notifications import SlackWebhook
from prefect.blocks.webhook import Webhook
from prefect.client.orchestration import SyncPrefectClient
from prefect.events.actions import ActionTypes, CallWebhook, SendNotification
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification
from prefect.settings import get_current_settings
from prefect.types import SecretDict
from pydantic import SecretStr

from heart_disease import registry
from heart_disease.model.errors import UsageError, hide
from heart_disease.operations import states
from heart_disease.operations.reconciliation import FLOWS
from heart_disease.operations.server.follow import server

NOT_PROMOTED = f"{states.EVENT}NotPromoted"
# Rejected and unavailable runs fail. A run that is not promoted completes, so only our own event tells.
EVENTS = {*(f"prefect.flow-run.{name}" for name in ("Failed", "TimedOut", "Crashed", "Cancelled")), NOT_PROMOTED}
SKIPPED = "Deployment concurrency limit reached."  # the message of a run that --if-running skip cancelled on purpose
MODES = {"smtp": ("mailto", "insecure"), "starttls": ("mailtos", "starttls"), "smtps": ("mailtos", "ssl")}
# This Prefect block passes every address that is not Slack's to Apprise, which can send mail. Prefect itself has
# no block for mail, and a block of our own would need this project installed wherever the Prefect server runs.
Mail = SlackWebhook

# The outcome if there is one, or else the state's name.
END = (
    f"{{{{ event.resource['{states.LABEL}']"
    f" or (flow_run.tags | select('in', {list(states.FAILED)}) | first"
    " if event.resource['prefect.state-name'] == 'Failed')"
    " or event.resource['prefect.state-name'] }}"
)
HEADLINE = f"{{{{ flow.name }}}}: {END}"
REASON = "{{ (event.resource['prefect.state-message'] or 'no reason was given').split() | join(' ') }}"
RUN = "{{ flow_run.name }}"


@dataclass(frozen=True)
class Made:
    """The page that lists the automation, and whether the automation is on or paused."""

    page: str
    enabled: bool


def by_webhook(url: str | None) -> Made:
    """Set up or change the notification by a POST of JSON to `url` (default: HEART_WEBHOOK_URL).

    HEART_WEBHOOK_TOKEN, if set, is sent as a bearer token.

    Raises:
        UsageError: no address is given, or it is not http(s).
        UnavailableError: a server does not answer.
    """
    url = url or os.environ.get("HEART_WEBHOOK_URL", "")
    if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
        raise UsageError(
            "--webhook: expected an address that begins with https:// or http://, on the command line or in "
            "HEART_WEBHOOK_URL"
        )
    token = os.environ.get("HEART_WEBHOOK_TOKEN")
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    block = Webhook(url=SecretStr(url), headers=SecretDict(headers), allow_private_urls=True)
    text = "\n".join([HEADLINE, RUN, REASON])
    links = _links()
    fields = {"text": f"{text}\n{links['prefect']}\n{links['mlflow']}", "reason": REASON, **links}
    fields |= {"flow": "{{ flow.name }}", "run": RUN, "state": END}
    with server() as client:
        action = CallWebhook(block_document_id=_save(block, "heart-webhook"), payload=_json(fields))
        return _automate(client, "heart: webhook", action)


def by_mail(addresses: list[str]) -> Made:
    """Set up or change the notification by mail, through the server of HEART_SMTP_URL and from HEART_MAIL_FROM.

    Raises:
        UsageError: an address or the mail server makes no sense.
        UnavailableError: a server does not answer.
    """
    wrong = [address for address in addresses if address.count("@") != 1 or "," in address]
    if wrong:
        raise UsageError(f"--mail {wrong[0]}: expected an address such as you@example.org")
    block = Mail(url=SecretStr(mail_url(addresses)))
    links = _links()
    body = "\n".join([REASON, "", f"run: {RUN}", f"Prefect: {links['prefect']}", f"MLflow: {links['mlflow']}"])
    with server() as client:
        action = SendNotification(block_document_id=_save(block, "heart-mail"), subject=HEADLINE, body=body)
        return _automate(client, "heart: mail", action)


def mail_url(addresses: list[str]) -> str:
    """Apprise's URL for a mail from HEART_MAIL_FROM, through HEART_SMTP_URL, to these addresses.

    Raises:
        UsageError: HEART_SMTP_URL is not set, or is not the address of a mail server.
    """
    try:
        given = urlsplit(os.environ.get("HEART_SMTP_URL", ""))
        scheme, mode = MODES[given.scheme]
        host, port = given.hostname or "", given.port
        if not host:
            raise ValueError
    except (KeyError, ValueError):
        raise UsageError(
            "--mail: HEART_SMTP_URL is not set, or no address of a mail server; expected smtps://USER:PASSWORD@HOST, "
            "starttls://USER:PASSWORD@HOST or smtp://HOST (without encryption), each with :PORT if it is unusual"
        ) from None
    login = f"{given.username}:{given.password}@" if given.username and given.password else ""
    sender = os.environ.get("HEART_MAIL_FROM", f"heart@{socket.getfqdn()}")
    options = {"smtp": host, "mode": mode, "from": sender, "to": ",".join(addresses), "format": "text"}
    return f"{scheme}://{login}{host}{f':{port}' if port else ''}/?{urlencode(options, quote_via=quote)}"


def _links() -> dict[str, str]:
    """Links to the flow run in Prefect and to its MLflow run, found by its tag, so also if it crashed."""
    ui = hide(get_current_settings().ui_url or "").rstrip("/")
    search = quote(f"tags.`{registry.FLOW_RUN}` = '", safe="") + "{{ flow_run.id }}" + quote("'", safe="")
    runs = f"{registry.page()}/#/experiments/{registry.open_experiment()}/runs"
    return {
        "prefect": f"{ui}/runs/flow-run/{{{{ flow_run.id }}}}",
        "mlflow": f"{runs}?{registry.TRAINING}&searchFilter={search}",
    }


def _json(fields: dict[str, str]) -> str:
    """A template of a JSON object; each value is itself a template."""
    texts = [f"{{% set its_{name} %}}{text}{{% endset %}}" for name, text in fields.items()]
    values = [f'"{name}": {{{{ its_{name} | string | tojson }}}}' for name in fields]
    return "".join(texts) + "{" + ", ".join(values) + "}"


def _save(block: Block, name: str) -> UUID:
    saved = block.save(name, overwrite=True)
    assert isinstance(saved, UUID)
    return saved


def _automate(client: SyncPrefectClient, name: str, action: ActionTypes) -> Made:
    """Create the automation of this name, or change it; one that is paused stays paused."""
    core = AutomationCore(
        name=name,
        description="A run of this project's flows failed, crashed, was cancelled, or made no champion.",
        trigger=EventTrigger(
            expect=EVENTS,
            match=ResourceSpecification(
                {"prefect.resource.id": "prefect.flow-run.*", "prefect.state-message": f"!{SKIPPED}"}
            ),
            match_related=ResourceSpecification({"prefect.resource.role": "flow", "prefect.resource.name": FLOWS}),
            for_each={"prefect.resource.id"},
            posture=Posture.Reactive,
            threshold=1,
            within=timedelta(0),
        ),
        actions=[action],
    )
    before = client.read_automations_by_name(name)
    if before:
        core.enabled = before[0].enabled
        client.update_automation(before[0].id, core)
    else:
        client.create_automation(core)
    page = hide(get_current_settings().ui_url or "").rstrip("/")
    return Made(f"{page}/automations", core.enabled)
