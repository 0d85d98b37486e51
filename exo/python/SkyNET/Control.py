"""What a handler is told besides its workitems."""


class _Ctrl(object):
    def __init__(self, message=None):
        self.message = message

    def start(self):
        """Makes it a "start"."""
        self.message = "start"

    def stop(self):
        """Makes it a "stop"."""
        self.message = "stop"

    def die(self):
        """Makes it a "die"."""
        self.message = "die"

    def __repr__(self):
        return "<%s %s>" % (type(self).__name__, self.message)


class WorkItemCtrl(_Ctrl):
    """Concerns one workitem: message "status" or "cancel", and wid."""

    wid = None


class ParticipantCtrl(_Ctrl):
    """Concerns the participant: message "start" (with config), "stop" or "die"."""

    config = None
