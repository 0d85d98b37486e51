#!/usr/bin/python3
"""Fills a template from the workitem's fields and appends it to a spool file."""

import datetime
import os
import smtplib
from email.mime.text import MIMEText


class ForgivingDict(dict):
    """Resolves unknown keys to empty texts."""

    def __missing__(self, key):
        return ""


def general_map(value, dicts=dict, lists=list):
    if hasattr(value, 'items'):
        return dicts((k, general_map(v, dicts, lists)) for (k, v) in list(value.items()))
    if isinstance(value, list):
        return lists(general_map(v, dicts, lists) for v in value)
    return value


class ParticipantHandler(object):

    def __init__(self):
        self.server = None
        self.spool = None

    def handle_lifecycle_control(self, ctrl):
        if ctrl.message == "start":
            config = ctrl.config
            self.server = (config.get("notify", "smtp_server"), config.getint("notify", "smtp_port"))
            self.spool = config.get("notify", "spool", raw=True)
            self.subject = config.get("notify", "subject", True)

    def handle_wi(self, wid):
        if not wid.params.template:
            raise RuntimeError("Mandatory parameter 'template' not provided")
        values = general_map(wid.fields.as_dict(), dicts=ForgivingDict)
        msg = MIMEText(wid.params.template % values, _charset="utf-8")
        msg["Subject"] = self.subject % {"name": wid.fields.ev.name or "nobody"}
        msg["To"] = ", ".join(wid.params.to or [])
        if wid.params.spool:
            with open(self.spool, "a") as spool:
                spool.write(msg["Subject"] + "\n" + msg.get_payload(decode=True).decode("utf-8") + "\n")
        else:
            smtplib.SMTP(self.server[0], self.server[1], timeout=10).sendmail("boss", msg["To"], msg.as_string())
        wid.fields.notified = datetime.date(2011, 2, 16).isoformat()
        wid.fields.spooled = os.path.getsize(self.spool)
