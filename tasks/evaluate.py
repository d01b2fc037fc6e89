"""Evaluate: Networks -> Report, each figure with an interval, beside the champion and two baselines."""

from __future__ import annotations

import logging
from dataclasses import replace

from heart_disease.evaluation.contest import Contest, Report
from heart_disease.reporting.landscape import of_training
from heart_disease.training.engine import Networks

log = logging.getLogger("heart")


def evaluate_networks(contest: Contest, networks: Networks, title: str, landscape: str | None = None) -> Report:
    """See `Contest.report` and `Contest.influences`.

    landscape: the device on which the shipped network is trained once more to draw its landscape; None for no picture.
    title: the run, in words, for that picture.
    """
    report, members = contest.report(networks), contest.recipe.members
    report = replace(report, influences=contest.influences(networks, report.members))
    log.info("evaluate  %s", report.description)
    if report.averaging:
        words = "helps" if report.members > 1 else "does not help enough; one network is shipped"
        log.info("          averaging %d %s: log loss %s", members, words, report.averaging.signed)
    if landscape is not None:
        report = replace(report, landscape=of_training(contest, landscape, title))
        log.info("          the loss landscape is drawn")
    return report
