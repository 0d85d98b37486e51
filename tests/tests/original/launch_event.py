#!/usr/bin/python3
"""Launches the processes of an event from a store of definitions."""

from RuoteAMQP.launcher import Launcher

import os
import json
from glob import iglob


class ParticipantHandler(object):

    def __init__(self):
        self.process_store = None
        self.launcher = None
        self.botport = None

    def notify(self, msg):
        print(msg)

    def handle_wi_control(self, ctrl):
        pass

    def handle_lifecycle_control(self, ctrl):
        if ctrl.message == "start":
            self.process_store = ctrl.config.get("robogrator", "process_store")
            self.botport = ctrl.config.getint("irc", "botport") if (
                ctrl.config.has_option("irc", "botport")) else "5050"
            amqp_host = ctrl.config.get("boss", "amqp_host")
            amqp_user = ctrl.config.get("boss", "amqp_user")
            amqp_pwd = ctrl.config.get("boss", "amqp_pwd")
            amqp_vhost = ctrl.config.get("boss", "amqp_vhost")
            self.launcher = Launcher(amqp_host=amqp_host, amqp_user=amqp_user,
                                     amqp_pass=amqp_pwd, amqp_vhost=amqp_vhost)

    def handle_wi(self, wi):
        ev = wi.fields.obsEvent
        if not ev:
            print("No Event")
            return
        if ev.format > 1:
            label = ev.label
        else:
            (obs, label) = ev.type.split("_", 1)
        wi.fields.launched = self.launch(label, project=ev.project, ev=ev.as_dict(), port=self.botport)

    def get_process(self, trigger, project):
        pbase = os.path.join(self.process_store, project.replace(':', '/'), trigger)
        for filename in sorted(iglob("%s.*.pdef" % pbase)):
            with open(filename, 'r') as pdef_file:
                process = pdef_file.read()
            config = None
            try:
                with open("%s.conf" % filename[:-5], 'r') as config_file:
                    config = json.loads(config_file.read())
            except IOError as error:
                if not error.errno == 2:
                    raise
            except ValueError as error:
                print("invalid conf file %s.conf\n%s" % (filename, error))
                continue
            yield config, process

    def launch(self, name, **kwargs):
        launched = []
        self.notify("Looking to handle %s in %s" % (name, kwargs['project']))
        for config, process in self.get_process(name, kwargs['project']):
            fields = dict(kwargs)
            if config:
                for key, value in list(config.items()):
                    fields[key] = value
            self.launcher.launch(process, fields)
            launched.append(process.strip())
        return launched
