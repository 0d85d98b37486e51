"""What a handler is told besides its workitems."""


class _Ctrl(object):
    def __init__(self, msg=None):
        #: "start", "stop", "die", "status" or "cancel".
        self.message = msg

    def start(self):
        """Whether this is "start"."""
        return self.message == "start"

    def stop(self):
        """Whether this is "stop"."""
        return self.message == "stop"

    def die(self):
        """Whether this is "die"."""
        return self.message == "die"

    def __getattr__(self, name):
        if name == "config" and "make_config" in self.__dict__:
            self.config = self.make_config()  # when it is first asked for: few handlers do
            return self.config
        if name in ("config", "wid"):
            return None
        raise AttributeError("%s has no attribute %r" % (type(self).__name__, name))

    def __repr__(self):
        return "<%s %s>" % (type(self).__name__, self.message)


class WorkItemCtrl(_Ctrl):
    """Concerns one workitem: message "status" or "cancel", and wid, the workitem."""


class ParticipantCtrl(_Ctrl):
    """Concerns the participant: message "start" (with config, a ConfigParser), "stop" (no more work will come:
    tidy up) or "die" (the process ends in five seconds)."""


class Cancelled(BaseException):
    """Raised within handle_wi when the work on its workitem is to end at once (`skynet wi cancel --force`). It is no
    Exception, so that a handler that carries on after every Exception ends too."""
