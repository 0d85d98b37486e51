#!/usr/bin/python3
"""Marks what was published, in a file that several participants share.

*Workitem fields IN* :Parameters: ev.actions(list), ev.namespace(string)
*Workitem params IN* :Parameters: timeout(integer)
*Workitem fields OUT* :Returns: result(Boolean), marked(list)
"""

import errno
import fcntl
import functools
import os
import shutil
import signal
import tempfile
import time

from marking import Locked, BuildServiceMixin, TimedOut, only_for
from SkyNET import *


class Marker(BuildServiceMixin, Locked):
    """Another name than the one that SkyNET looks for; see the end."""

    config = None
    count = property(lambda self: len(self.marked))

    def __init__(self, folder=None, *args, **kwargs):
        super(Marker, self).__init__(*args, **kwargs)
        self.folder = folder or tempfile.mkdtemp(prefix="marker")
        self.marked = []

    def handle_wi_control(self, ctrl):
        """Control job thread"""
        pass

    def handle_lifecycle_control(self, ctrl):
        """Participant control thread"""
        if ctrl.start():
            self.config = ctrl.config
            self.setup_config(ctrl.config)
        elif ctrl.message == "stop":
            shutil.rmtree(self.folder)

    def alarm(self, signum, frame):
        raise TimedOut("no lock within %s s" % self.timeout)

    @only_for("submit", "maintenance_release")
    def mark(self, action, wid):
        name = "%(targetproject)s/%(targetpackage)s" % action
        if action.get("slow"):
            time.sleep(60)
        with self.lock(os.path.join(self.folder, "marks")) as marks:
            marks.write(name + "\n")
        self.marked.append(name)
        return name

    def handle_wi(self, wid):
        """Do the work"""
        wid.result = False
        f = wid.fields
        if f.msg is None:
            f.msg = []
        if not f.ev or not f.ev.actions:
            f.__error__ = "One of the mandatory fields: ev.actions does not exist."
            f.msg.append(f.__error__)
            raise RuntimeError("Missing mandatory field")
        self.timeout = int(wid.params.timeout or 5)
        before = signal.signal(signal.SIGALRM, self.alarm)
        signal.alarm(self.timeout)
        try:
            f.marked = [x for x in map(functools.partial(self.mark, wid=wid), f.ev.actions) if x]
        except TimedOut as exc:
            f.msg.append(str(exc))
            return
        except (IOError, OSError) as exc:
            if exc.errno == errno.EACCES:
                wid.error = {"class": "RuntimeError", "message": "cannot mark", "trace": []}
            raise
        finally:
            signal.alarm(0)
            signal.signal(signal.SIGALRM, before)
        f.count = self.count
        f.api = self.apiurl(f.ev.namespace)
        wid.result = bool(f.marked)


ParticipantHandler = Marker

if __name__ == "__main__":
    print("never")
    raise SystemExit(1)
