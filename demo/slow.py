"""Takes its time."""

import time


class ParticipantHandler(object):
    def handle_wi(self, wid):
        self.log.info("sleeping %s seconds", wid.fields.seconds)
        time.sleep(wid.fields.seconds)
        wid.fields.slept = wid.fields.seconds
