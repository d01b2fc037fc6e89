"""`heart notify`: Prefect automations that report every run that ended badly, and silence, by webhook or by mail.

Prefect's server sends the notification, so a run whose process was killed is reported too. The address and the
password are kept on that server as secrets, in a block.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import quote, urlencode, urlsplit
from uuid import UUID

from prefect.blocks.core import Block
from prefect.blocks.notifications import SlackWebhook
from prefect.blocks.webhook import Webhook
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.responses import DeploymentResponse
from prefect.events.actions import ActionTypes, CallWebhook, SendNotification
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification
from prefect.settings import get_current_settings
from prefect.types import SecretDict
from pydantic import SecretStr

from heart_disease import registry
from heart_disease.model.errors import UsageError, hide
from heart_disease.operations import kept, states
from heart_disease.operations.deployments import RETRAIN, interval_in_words
from heart_disease.operations.notifications import silence
from heart_disease.operations.reconciliation import FLOWS
from heart_disease.operations.server.follow import server

NOT_PROMOTED = f"{states.EVENT}NotPromoted"
DRIFTED = f"{states.EVENT}Drifted"
# Rejected and unavailable runs fail. A run that is not promoted, or that found drift, completes, so only our own event
# tells.
EVENTS = {
    *(f"prefect.flow-run.{name}" for name in ("Failed", "TimedOut", "Crashed", "Cancelled")), NOT_PROMOTED, DRIFTED,
}  # fmt: skip
SKIPPED = "Deployment concurrency limit reached."  # the message of a run that --if-running skip cancelled on purpose
MODES = {"smtp": ("mailto", "insecure"), "starttls": ("mailtos", "starttls"), "smtps": ("mailtos", "ssl")}
# This Prefect block passes every address that is not Slack's to Apprise, which can send mail. Prefect itself has
# no block for mail, and a block of our own would need this project installed wherever the Prefect server runs.
Mail = SlackWebhook
BAD_END = EventTrigger(
    expect=EVENTS,
    match=ResourceSpecification({"prefect.resource.id": "prefect.flow-run.*", "prefect.state-message": f"!{SKIPPED}"}),
    match_related=ResourceSpecification({"prefect.resource.role": "flow", "prefect.resource.name": FLOWS}),
    for_each={"prefect.resource.id"},
    posture=Posture.Reactive,
    threshold=1,
    within=timedelta(0),
)

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
    """The page that lists the automations, which are paused, and after which silence people are told.

    silence: None if no silence is reported; `why_not` then says why.
    """

    page: str
    paused: list[str]
    silence: timedelta | None
    why_not: str


@dataclass(frozen=True)
class Message:
    """What one automation tells; each text is a template of Prefect's.

    state: the end of a run, or what is wrong with the deployment. subject: the flow or the deployment, and `state`.
    """

    subject: str
    flow: str
    run: str
    state: str
    reason: str
    prefect: str
    mlflow: str


def by_webhook(url: str | None, if_silent: timedelta | None = None) -> Made:
    """Set up or change the notifications by a POST of JSON to `url` (default: HEART_WEBHOOK_URL).

    HEART_WEBHOOK_TOKEN, if set, is sent as a bearer token.

    if_silent: report that no retrain has ended for this long (default: twice the schedule's interval).

    Raises:
        UsageError: no address is given, or it is not http(s); if_silent is given, and there is no deployment.
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

    def action(saved: UUID, told: Message) -> ActionTypes:
        lines = [told.subject, told.run, told.reason, told.prefect, told.mlflow]
        fields = {"text": "\n".join(filter(None, lines))}
        fields |= {name: getattr(told, name) for name in ("reason", "prefect", "mlflow", "flow", "run", "state")}
        return CallWebhook(block_document_id=saved, payload=_json(fields))

    with server() as client:
        return _automate(client, "heart: webhook", lambda: _save(block, "heart-webhook"), action, if_silent)


def by_mail(addresses: list[str], if_silent: timedelta | None = None) -> Made:
    """Set up or change the notifications by mail, through the server of HEART_SMTP_URL and from HEART_MAIL_FROM.

    if_silent: as of `by_webhook`.

    Raises:
        UsageError: an address or the mail server makes no sense; if_silent is given, and there is no deployment.
        UnavailableError: a server does not answer.
    """
    wrong = [address for address in addresses if address.count("@") != 1 or "," in address]
    if wrong:
        raise UsageError(f"--mail {wrong[0]}: expected an address such as you@example.org")
    block = Mail(url=SecretStr(mail_url(addresses)))

    def action(saved: UUID, told: Message) -> ActionTypes:
        run = [f"run: {told.run}"] if told.run else []
        body = "\n".join([told.reason, "", *run, f"Prefect: {told.prefect}", f"MLflow: {told.mlflow}"])
        return SendNotification(block_document_id=saved, subject=told.subject, body=body)

    with server() as client:
        return _automate(client, "heart: mail", lambda: _save(block, "heart-mail"), action, if_silent)


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


def _page() -> str:
    """The address of Prefect's page."""
    return hide(get_current_settings().ui_url or "").rstrip("/")


def _bad_end() -> Message:
    """A run that ended badly. The link to MLflow finds the run by its tag, so also if it crashed."""
    search = quote(f"tags.`{registry.FLOW_RUN}` = '", safe="") + "{{ flow_run.id }}" + quote("'", safe="")
    return Message(
        subject=HEADLINE,
        flow="{{ flow.name }}",
        run=RUN,
        state=END,
        reason=REASON,
        prefect=f"{_page()}/runs/flow-run/{{{{ flow_run.id }}}}",
        mlflow=f"{_runs(_experiment())}&searchFilter={search}",
    )


def _wrong(deployment: DeploymentResponse, state: str, reason: str) -> Message:
    """Something that is wrong with the deployment, not with one of its runs."""
    flow = RETRAIN.partition("/")[0]
    page = f"{_page()}/deployments/deployment/{deployment.id}"
    return Message(f"{RETRAIN}: {state}", flow, "", state, reason, page, _runs(registry.open_experiment()))


def _runs(experiment: str) -> str:
    """MLflow's page of an experiment's runs."""
    return f"{registry.page()}/#/experiments/{experiment}/runs?{registry.TRAINING}"


def _experiment() -> str:
    """The ID of the experiment that has the flow's runs; each is made now, if it is missing, because the link is."""
    others = {
        "heart-disease-sweep": registry.open_experiment(registry.SWEEPS, registry.ABOUT_SWEEPS),
        "heart-disease-monitor": registry.open_experiment(registry.MONITORING, registry.ABOUT_MONITORING),
    }
    return f"{{{{ {others}.get(flow.name, '{registry.open_experiment()}') }}}}"


def _json(fields: dict[str, str]) -> str:
    """A template of a JSON object; each value is itself a template."""
    texts = [f"{{% set its_{name} %}}{text}{{% endset %}}" for name, text in fields.items()]
    values = [f'"{name}": {{{{ its_{name} | string | tojson }}}}' for name in fields]
    return "".join(texts) + "{" + ", ".join(values) + "}"


def _save(block: Block, name: str) -> UUID:
    saved = block.save(name, overwrite=True)
    assert isinstance(saved, UUID)
    return saved


def _automate(
    client: SyncPrefectClient,
    name: str,
    save: Callable[[], UUID],
    action: Callable[[UUID, Message], ActionTypes],
    if_silent: timedelta | None,
) -> Made:
    """Create or change the automations of this way. Without a deployment, only bad ends can be reported."""
    deployment = kept.find(client, RETRAIN)
    if if_silent and not deployment:
        raise UsageError(
            f"--if-silent: the Prefect server has no deployment {RETRAIN} to listen to; start `heart schedule` first, "
            "or run `python -m heart_disease.operations.deploy` in the project's folder"
        )
    limit = if_silent or (silence.usual(deployment) if deployment else None)
    told = {name: (BAD_END, _bad_end(), "A run of this project's flows ended badly, made no champion, or found drift.")}
    if deployment:
        unserved = _wrong(deployment, "Unserved", silence.NOBODY)
        told[f"{name}, unserved"] = (
            silence.unserved(deployment),
            unserved,
            "Nothing takes the runs of the retraining.",
        )
    if deployment and limit:
        silent = _wrong(deployment, "Silent", silence.SILENT)
        about = f"No retrain has ended for {interval_in_words(limit)}."
        told[f"{name}, silence"] = (silence.silent(deployment, limit), silent, about)
    else:
        for gone in client.read_automations_by_name(f"{name}, silence"):
            client.delete_automation(gone.id)  # its interval was that of a schedule that is no longer active
    saved = save()
    paused = []
    for called, (trigger, message, about) in told.items():
        core = AutomationCore(name=called, description=about, trigger=trigger, actions=[action(saved, message)])
        if not _put(client, core):
            paused.append(called)
    if deployment:
        silence.start_clocks(deployment)
    why_not = "no schedule is active; give --if-silent" if deployment else f"there is no deployment {RETRAIN} yet"
    return Made(f"{_page()}/automations", paused, limit, why_not)


def _put(client: SyncPrefectClient, core: AutomationCore) -> bool:
    """Create the automation of this name, or change it. One that is paused stays paused; returns whether it is on."""
    before = client.read_automations_by_name(core.name)
    if before:
        core.enabled = before[0].enabled
        client.update_automation(before[0].id, core)
    else:
        client.create_automation(core)
    return core.enabled
