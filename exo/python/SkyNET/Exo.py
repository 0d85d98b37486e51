"""The exoskeleton: what stands between SkyNET and a handler. Most participants never see it."""

from SkyNET.Control import ParticipantCtrl, WorkItemCtrl


class Exo(object):
    """The exoskeleton. For something clever, name a subclass in config.exo: `exoskeleton = "module:Class"`.

        class Locking(SkyNET.Exo):
            def consume(self, wid):
                with lock_of(wid.fields.project):
                    super().consume(wid)

    `name`, `queue`, `log` (a logger) and `config` (a ConfigParser) are there from the start, `handler` once it is
    made. Four methods may be overridden: make_handler, consume, on_error, on_control.
    """

    handler = None

    def __init__(self, settings, log):
        self._settings = settings
        self.name, self.queue, self.log = settings["name"], settings["queue"], log

    @property
    def config(self):
        """The configuration files as one ConfigParser."""
        if "_config" not in self.__dict__:
            from SkyNET import _config
            self._config = _config.make(self._settings)
        return self._config

    def make_handler(self, module):
        """Makes the handler, from the module that the configuration calls `code`. Called once."""
        return module.ParticipantHandler()

    def consume(self, wid):
        """Does the work on a workitem: hands it to the handler. What it raises goes to `on_error`."""
        self._announce(wid)
        self.handler.handle_wi(wid)

    def on_error(self, wid, error):
        """`consume` raised `error`. What is raised here becomes the error reply; to return sends the workitem back as
        it is now, without an error."""
        raise error

    def on_control(self, ctrl):
        """Passes a message on: a WorkItemCtrl ("status", "cancel") or a ParticipantCtrl ("start", "stop", "die").
        Returns what is to be answered to "status": a text or a dict."""
        if isinstance(ctrl, ParticipantCtrl):
            return self._tell("handle_lifecycle_control", ctrl)
        own = None
        try:
            if ctrl.message in ("status", "cancel"):
                own = self._tell(ctrl.message, ctrl.wid)
        finally:
            # Whoever is wrong in the one may be right in the other.
            told = self._tell("handle_wi_control", ctrl)
        return told if own is None else own

    def _tell(self, name, argument):
        method = getattr(self.handler, name, None)
        return method(argument) if callable(method) else None

    def _announce(self, wid):
        fields = wid.to_h()["fields"]  # not by attribute: it is asked of every workitem
        params = fields.get("params")
        params = params if isinstance(params, dict) else {}
        if fields.get("debug_trace"):
            # What every workitem has among its parameters tells nobody anything.
            said = ["%s=%r" % item for item in params.items() if item[0] not in ("if", "ref", "participant_options")]
            self.log.info("workitem %s for %s: %s; fields %s", wid.sid, wid.participant_name,
                          ", ".join(said) or "no parameters", ", ".join(sorted(map(str, fields))))
        if fields.get("debug_dump") or params.get("debug_dump"):
            self.log.info("%s", wid.dump())


__all__ = ["Exo", "ParticipantCtrl", "WorkItemCtrl"]
