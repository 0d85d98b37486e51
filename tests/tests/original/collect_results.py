#!/usr/bin/python3
"""Fetches results from a server, several at a time."""

import copy
import json
import multiprocessing
import pickle
import queue
import threading
import urllib.error
import urllib.request

from RuoteAMQP.workitem import DictAttrProxy as dap
from RuoteAMQP.workitem import Workitem


def summarize(pickled):
    """In a process of a pool."""
    wid = pickle.loads(pickled)
    return sum(len(result["packages"]) for result in wid.fields.results)


class ParticipantHandler(object):

    def __init__(self):
        self.server = None
        self.workers = 3
        self.pool = None

    def handle_lifecycle_control(self, ctrl):
        if ctrl.message == "start":
            self.server = ctrl.config.get("results", "server")
            self.workers = ctrl.config.getint("results", "workers")
        if ctrl.message == "stop" and self.pool:
            self.pool.terminate()

    def work(self, todo, found, errors):
        while True:
            try:
                target = todo.get_nowait()
            except queue.Empty:
                return
            try:
                print("fetching %s" % target)
                answer = urllib.request.urlopen("%s/%s.json" % (self.server, target), timeout=30)
                found.append(dap(json.loads(answer.read().decode("utf-8"))))
            except urllib.error.HTTPError as exc:
                errors.append(exc)

    def handle_wi(self, wid):
        f = wid.fields
        if not isinstance(f.targets, list):
            raise RuntimeError("Mandatory field 'targets' missing or not a list: %r" % f.targets)
        before = copy.deepcopy(wid)
        todo, found, errors = queue.Queue(), [], []
        for target in f.targets:
            todo.put(target)
        threads = [threading.Thread(target=self.work, args=(todo, found, errors)) for _ in range(self.workers)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        # Proxies stand in the list, as they were made.
        f.results = sorted(found, key=lambda result: result.target)
        f.first = f.results and f.results[0].packages
        for result in found:
            result.seen = True
        if errors and wid.params.ignore:
            f.ignored = ["%s %s" % (exc.code, exc.filename.rsplit("/", 1)[1]) for exc in errors]
        elif errors:
            f.__error__ = str(errors[0])
            raise errors[0]
        if self.pool is None:
            self.pool = multiprocessing.Pool(2)
        f.total = self.pool.map(summarize, [pickle.dumps(wid)])[0]
        f.changed = sorted(key for key in f if key not in before.fields)
        f.equal = wid == before, wid == wid.dup(), before.fields == dap(before.fields.as_dict())
        wid.set_field("deep.down.total", f.total)
        wid.result = wid.lookup("deep.down.total") == f.total and wid.lookup("deep.up") is None
