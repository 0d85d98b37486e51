#!/usr/bin/python3
"""Runs a command in a folder of its own and collects what it made; several at once."""

import multiprocessing
import os
import shutil
import subprocess
import tempfile


def count(path):
    with open(path) as results:
        return os.path.basename(path), len(results.readlines())


class ParticipantHandler(object):

    def handle_wi(self, wid):
        tmpdir = tempfile.mkdtemp()
        old = os.getcwd()
        os.umask(0o027)
        os.environ["TARGET"] = str(wid.params.target or "i586")
        try:
            os.chdir(tmpdir)
            for package in wid.fields.packages:
                print("Building %s in %s" % (package, tmpdir))
                process = subprocess.Popen("echo $TARGET > %s; echo done >> %s" % (package, package), shell=True,
                                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
                process.communicate()
                if process.returncode:
                    raise subprocess.CalledProcessError(process.returncode, "build " + package)
            pool = multiprocessing.Pool(2)
            counted = pool.map(count, [os.path.join(tmpdir, name) for name in sorted(os.listdir("."))])
            pool.close()
            pool.join()
            wid.fields.counted = dict(counted)
            with open(wid.fields.packages[0]) as first:
                wid.fields.target = first.readline().strip()
            if wid.params.check:
                subprocess.check_call(["false"])
            wid.set_field("summary.packages", len(counted))
            wid.result = wid.lookup("summary.packages") == len(wid.fields.packages)
        finally:
            os.chdir(old)
            shutil.rmtree(tmpdir)
