"""`heart notify`: report runs that end badly."""

from __future__ import annotations

import argparse

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


def run(options: argparse.Namespace) -> int:
    """Set up the notification, and say how to stop it.

    Raises:
        UsageError: an address makes no sense.
        UnavailableError: a server does not answer.
    """
    from heart_disease.operations import notify

    made = notify.by_mail(options.mail) if options.mail else notify.by_webhook(options.webhook)
    whom = ", ".join(options.mail or ["the webhook"])
    if made.enabled:
        print(f"Notifications go to {whom}. To pause or delete them:\n  {made.page}")
    else:
        print(f"Notifications are paused. To let them go to {whom}, resume them:\n  {made.page}")
    return ExitCode.DONE


COMMAND = Command(
    name="notify",
    help="report runs that end badly, by webhook or mail",
    description="Set up, or change, an automation on the Prefect server. It reports every run that fails, crashes "
    "or is cancelled, whose data is rejected, or whose model is not promoted, and says why and where to look.",
    add=add,
    run=run,
)
