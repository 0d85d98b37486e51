"""What the participants that mark things share."""

from marking.locked import Locked, TimedOut


class BuildServiceMixin(object):
    def __init__(self, *args, **kwargs):
        super(BuildServiceMixin, self).__init__(*args, **kwargs)
        self.apis = {}

    def setup_config(self, config):
        for section in config.sections():
            if section.startswith("obs:"):
                self.apis[section.split(":", 1)[1]] = dict(config.items(section))["api"]
        self.default = config.get("obs", "default") if config.has_option("obs", "default") else None

    def apiurl(self, namespace):
        return self.apis.get(namespace, self.default)


def only_for(*kinds):
    def decorate(func):
        def decorated(self, action, wid):
            if action["type"] not in kinds:
                self.log.debug("%s is not for %s", action["type"], wid.participant_name)
                return None
            return func(self, action, wid)
        return decorated
    return decorate
