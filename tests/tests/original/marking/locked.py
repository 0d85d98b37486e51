from contextlib import contextmanager
import fcntl


class TimedOut(Exception):
    pass


class Locked(object):
    @contextmanager
    def lock(self, path):
        marks = open(path, "a")
        try:
            fcntl.flock(marks, fcntl.LOCK_EX)
            yield marks
        finally:
            marks.close()
