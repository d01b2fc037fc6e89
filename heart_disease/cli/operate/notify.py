"""`heart notify`: report runs that end badly, and silence."""

from __future__ import annotations

import argparse

from heart_disease.cli.output import write_json
from heart_disease.cli.parser import Command
from heart_disease.model.errors import ExitCode


def add(parser: argparse.ArgumentParser) -> None:
    """Options: whom to notify, and how."""
    ways = parser.add_mutually_exclusive_group(required=True)
    ways.add_argument(
        "--webhook", nargs="?", const="", metavar="URL",
        help="POST JSON to URL (default: HEART_WEBHOOK_URL); HEART_WEBHOOK_TOKEN is sent as a bearer token",
    )  # fmt: skip
    ways.add_argument(
        "--mail", nargs="+", metavar="ADDRESS",
        help="send mail from HEART_MAIL_FROM through HEART_SMTP_URL (smtps://USER:PASSWORD@HOST, starttls://..., "
        "smtp://HOST)",
    )  # fmt: skip
    parser.add_argument(
        "--if-silent", metavar="INTERVAL",
        help="also report that no retrain has ended for this long, such as 12h or 8d (default: twice the interval "
        "of the schedule)",
    )  # fmt: skip


def run(options: argparse.Namespace) -> int:
    """Set up the notifications, and say how to stop them; the webhook's address is never shown.

    Raises:
        UsageError: an address or interval makes no sense, or --if-silent is given without a deployment.
        UnavailableError: a server does not answer.
    """
    from heart_disease.operations.deployments import interval, interval_in_words
    from heart_disease.operations.notifications import notify

    limit = interval(options.if_silent, "--if-silent") if options.if_silent is not None else None
    mail = options.mail
    made = notify.by_mail(mail, limit) if mail else notify.by_webhook(options.webhook, limit)
    if options.json:
        seconds = made.silence.total_seconds() if made.silence else None
        silence = {"silence_seconds": seconds, "no_silence_because": None if made.silence else made.why_not}
        write_json({"mail": mail, "page": made.page, "paused": made.paused} | silence)
        return ExitCode.DONE
    print(f"Notifications go to {', '.join(mail or ['the webhook'])}. To pause or delete them:\n  {made.page}")
    if made.silence:
        print(f"They also tell if no retrain has ended for {interval_in_words(made.silence)}.")
    else:
        print(f"They do not tell if no retrain ends: {made.why_not}.")
    for name in made.paused:
        print(f"'{name}' is paused and tells nothing until you resume it there.")
    return ExitCode.DONE


COMMAND = Command(
    name="notify",
    help="report runs that end badly, and silence, by webhook or mail",
    description="Set up, or change, automations on the Prefect server. They report every run that fails, crashes "
    "or is cancelled, whose data is rejected, whose model is not promoted, or that finds drift, and say why and where "
    "to look. They also report, even if no worker is up, that no retrain has ended in time, or that nothing takes the "
    "runs.",
    add=add,
    run=run,
)
