"""Measures a text."""


class ParticipantHandler(object):
    def handle_wi(self, wid):
        text = wid.fields.text
        wid.fields.size = len(text)
        wid.fields.words = len(text.split())
        self.log.info("measured %d characters", len(text))
