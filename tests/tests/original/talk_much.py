#!/usr/bin/python3
# -*- coding: UTF-8 -*-
"""Says everything, in every way."""

import atexit
import io
import logging
import logging.handlers
import os
import pprint
import subprocess
import sys
import traceback
import warnings

logging.basicConfig(level=logging.DEBUG, format="%(asctime)s %(message)s")
logging.addLevelName(25, "NOTICE")
log = logging.getLogger(__name__)
console = logging.StreamHandler(sys.stdout)
console.setFormatter(logging.Formatter("own format: %(message)s"))
own = logging.getLogger("own")
own.addHandler(console)
own.propagate = False
atexit.register(lambda: print("at exit"))
print("imported as", __name__)


class Tee(object):
    """Stands in the place of standard output for a while."""

    def __init__(self, out):
        self.out, self.seen = out, []

    def write(self, text):
        self.seen.append(text)
        self.out.write(text)

    def flush(self):
        self.out.flush()


class ParticipantHandler(object):

    def handle_wi(self, wid):
        log.info("module logger %s", wid.fields.word)
        self.log.log(25, "a level of its own")
        self.log.getChild("child").error("child of %s", self.log.name)
        own.warning("its own handler")
        self.log.info("%(a)s by name", {"a": "argument"})
        self.log.error("failed: %s", ValueError("text"), exc_info=False)
        try:
            {}["key"]
        except KeyError:
            traceback.print_exc()
            self.log.exception("and so")
        warnings.warn("be careful")
        pprint.pprint({"pretty": wid.fields.as_dict()["word"]})
        print("to", "stderr", sep="-", end="!\n", file=sys.stderr)
        sys.stdout.write("half ")
        sys.stdout.flush()
        print("whole")
        before, sys.stdout = sys.stdout, Tee(sys.stdout)
        print("teed %s" % wid.fields.word)
        wid.fields.teed = "".join(sys.stdout.seen)
        sys.stdout = before
        wrapped = io.TextIOWrapper(sys.stdout.detach(), encoding="utf-8", write_through=True)
        wrapped.write("detached %s\n" % wid.fields.word)
        print("and still", wid.fields.word)
        if sys.stdout.isatty() or sys.stdout.encoding.lower().replace("-", "") != "utf8":
            print("never")
        subprocess.call("echo command $0; echo its error >&2", shell=True, stdout=sys.stdout, stderr=subprocess.STDOUT)
        wid.fields.output = subprocess.Popen(["echo", "captured"], stdout=subprocess.PIPE, universal_newlines=True).communicate()[0]
        wid.fields.popen = os.popen("echo by popen").read()
        print(b"bytes", u"ünicode", "\ttab", "", end="")
        print()
        print("x" * 100000)
