"""The participant @NAME@."""


class ParticipantHandler(object):
    """SkyNET makes one of these and gives it workitems, one at a time. self.log is a logger."""

    def handle_wi(self, wid):
        """The work: read and change wid.fields. An exception becomes an error reply; the return value is ignored."""
        self.log.info("fields: %s", ", ".join(sorted(wid.fields)))
        wid.result = True

    def handle_wi_control(self, ctrl):
        """Somebody asks about a workitem that is being handled."""
        if ctrl.message == "cancel":
            pass  # stop the work on ctrl.wid as soon as you can
        elif ctrl.message == "status":
            pass  # return a text: how far the work on ctrl.wid has got

    def handle_lifecycle_control(self, ctrl):
        """The participant's own life."""
        if ctrl.message == "start":
            pass  # before the first workitem; settings are in ctrl.config
        elif ctrl.message == "stop":
            pass  # no more work will come: tidy up
        elif ctrl.message == "die":
            pass  # the process ends in 5 seconds
