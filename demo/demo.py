#!/usr/bin/env python3
"""The main job of SkyNET, shown in one terminal and checked while it is shown.

`make demo` runs it after a build. It starts a home-directory SkyNET in a temporary folder on the embedded
broker, makes three participants from the template, sends 30 workitems, kills one participant in the middle
of its work, and shuts everything down. A missing or wrong reply, or anything left over, ends it with a clear
line and exit code 1.
"""

import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent
EACH = 10
DEADLINE = 60  # seconds until a wait is given up; nothing below takes that long


class Failed(Exception):
    """The demonstration went wrong; the text says how."""


def title(text):
    print("\n== " + text, flush=True)


class Home:
    """A SkyNET of its own in a temporary folder."""

    def __init__(self, folder, programs):
        self.folder = folder
        self.root = folder / "home"
        self.env = {
            "PATH": "%s/bin:/usr/local/bin:/usr/bin:/bin" % programs,
            "HOME": str(folder),
            "SKYNET_HOME": str(self.root),
            "LANG": "C.UTF-8",
        }

    def run(self, *words):
        """Runs a command as one would type it, shows it and what it prints, and returns that."""
        print("$ " + " ".join(words), flush=True)
        done = subprocess.run(
            words, env=self.env, cwd=str(self.folder), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, timeout=DEADLINE)
        print("\n".join("  " + line for line in done.stdout.splitlines()), flush=True)
        if done.returncode != 0:
            raise Failed("%s ended with exit code %d" % (" ".join(words), done.returncode))
        return done.stdout

    def send(self, queue, fields, wfid=None):
        """Sends a workitem; its reply arrives on the standard output of the process returned."""
        words = ["skynet", "send", queue, "--wait", "--timeout", "%ds" % DEADLINE, "--json"]
        words += [w for k, v in fields.items() for w in ("--field", "%s=%s" % (k, json.dumps(v)))]
        words += ["--wfid", wfid] if wfid else []
        return subprocess.Popen(
            words, env=self.env, cwd=str(self.folder), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True)

    def pid(self, name):
        """The pid that svstat tells for a participant; None when it is down."""
        line = subprocess.run(
            ["svstat", str(self.root / "service" / name)], env=self.env, stdout=subprocess.PIPE, text=True).stdout
        found = re.search(r"up \(pid (\d+)\)", line)
        return int(found.group(1)) if found else None

    def processes(self):
        """The processes that belong to this home, told by their environment or their working directory."""
        mark = os.fsencode(str(self.folder))
        found = []
        for entry in pathlib.Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            try:
                state = (entry / "stat").read_bytes().rsplit(b")", 1)[1].split()[0]
                ours = mark in (entry / "environ").read_bytes() or os.fsencode(os.readlink(entry / "cwd")).startswith(mark)
                if ours and state != b"Z":
                    found.append((int(entry.name), (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()))
            except OSError:
                pass  # it ended while we looked
        return found


def wait_for(what, condition):
    """Waits until `condition()` is true."""
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise Failed("waited %d seconds in vain for %s" % (DEADLINE, what))


def make_participants(home):
    title("Three participants from the template: one computes, one raises for some workitems, one is slow")
    for name in ("sizer", "checker", "slow"):
        home.run("skynet", "new", name)
        shutil.copyfile(str(HERE / (name + ".py")), str(home.folder / name / (name + ".py")))
        print("  (its handle_wi is now that of demo/%s.py)" % name)
    for name in ("sizer", "checker", "slow"):
        home.run("skynet", "enable", "./" + name)


def plan():
    """(queue, fields, what the reply must show), EACH for every participant."""
    for i in range(EACH):
        text = "word " * (i + 1)
        yield "sizer", {"text": text}, {"size": len(text), "words": i + 1}
        yield "checker", {"number": i}, {"error": "odd number: %d" % i} if i % 2 else {"even": True}
        seconds = 0.2 if i else 3  # the first one leaves time to be killed in
        yield "slow", {"seconds": seconds, "serial": i}, {"slept": seconds}


def check(item, process, out, err):
    """Compares one reply with what it must be and returns the line to print."""
    queue, fields, expected = item
    try:
        reply = json.loads(out)
    except ValueError:
        raise Failed("no reply from %s to %s: %s" % (queue, fields, err.strip() or out.strip()))
    asked = " ".join("%s=%s" % (k, json.dumps(v)) for k, v in fields.items())
    for key, value in fields.items():
        if reply["fields"].get(key) != value:
            raise Failed("the reply of %s lost or changed the field %s" % (queue, key))
    if "error" in expected:
        message = (reply.get("error") or {}).get("message", "")
        if expected["error"] not in message:
            raise Failed("expected an error with %r from %s, got %s" % (expected["error"], queue, out.strip()))
        return "%-8s %-44.44s -> error: %s" % (queue, asked, message)
    for key, value in expected.items():
        if reply["fields"].get(key) != value or reply.get("error"):
            raise Failed("expected %s from %s, got %s" % (expected, queue, out.strip()))
    got = " ".join("%s=%s" % (k, json.dumps(reply["fields"][k])) for k in expected)
    return "%-8s %-44.44s -> %s" % (queue, asked, got)


def kill_one(home):
    title("kill -9 of 'slow' in the middle of its work: supervise starts it again, its workitem is delivered again")
    pid = home.pid("slow")
    home.run("svstat", "home/service/slow")
    if pid is None:
        raise Failed("'slow' is not up")
    print("$ kill -9 %d" % pid)
    os.kill(pid, signal.SIGKILL)
    wait_for("supervise to start 'slow' again", lambda: home.pid("slow") not in (None, pid))
    home.run("svstat", "home/service/slow")


def work(home):
    title("%d workitems, %d at each queue; every reply is a line" % (3 * EACH, EACH))
    items = list(plan())
    wfid = "20261121-0900-demo-kill"
    running = []
    for item in items:
        running.append((item, home.send(item[0], item[1], wfid if len(running) < 3 else None)))
    busy = home.root / "log" / "slow" / "current"
    wait_for("'slow' to begin", lambda: busy.exists() and b"sleeping 3" in busy.read_bytes())
    kill_one(home)
    title("The replies")
    for item, process in running:
        out, err = process.communicate(timeout=DEADLINE)
        print("  " + check(item, process, out, err), flush=True)
    print("  %d workitems sent, %d replies, all as expected" % (len(items), len(running)))
    if busy.read_bytes().count(b"sleeping 3") != 2:
        raise Failed("the workitem that was interrupted should have been begun exactly twice")
    return wfid


def show_log(home, wfid):
    title("What one process (wfid) left in the logs of all participants")
    text = home.run("skynet", "log", "--wfid", wfid)
    for name in ("sizer", "checker", "slow"):
        if name not in text:
            raise Failed("the log of %s has no line of %s" % (name, wfid))


def shut_down(home):
    title("Shutting down in order")
    home.run("skynet", "local", "down")
    left = home.processes()
    if left:
        raise Failed("processes left over: %s" % left)
    print("  no process left")


def main():
    folder = pathlib.Path(tempfile.mkdtemp(prefix="skynet-demo-"))
    folder.chmod(0o755)  # when root runs this, the handlers run as another user
    programs = subprocess.check_output(
        [str(ROOT / "packaging" / "open-to-all"), str(ROOT / "target" / "skynet"), str(folder / "skynet")], text=True)
    home = Home(folder, programs.strip())
    try:
        title("A SkyNET in a home directory, on its own broker")
        home.run("skynet", "local", "up")
        make_participants(home)
        wfid = work(home)
        home.run("skynet", "status")
        show_log(home, wfid)
        shut_down(home)
    except (Failed, subprocess.TimeoutExpired) as e:
        print("\ndemo: failed: %s" % e, flush=True)
        for log in sorted(home.root.glob("log/*/current")) + sorted(home.root.glob("log/*.log")):
            print("--- last lines of %s" % log.relative_to(folder))
            print("\n".join(log.read_text(errors="replace").splitlines()[-15:]))
        return 1
    finally:
        for pid, _ in home.processes():
            os.kill(pid, signal.SIGKILL)
        shutil.rmtree(str(folder))
    print("\ndemo: done; nothing is left behind (%s is removed)" % folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
