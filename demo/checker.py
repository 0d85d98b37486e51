"""Accepts even numbers only."""


class ParticipantHandler(object):
    def handle_wi(self, wid):
        number = wid.fields.number
        if number % 2:
            raise ValueError("odd number: %d" % number)
        wid.fields.even = True
        self.log.info("%d is even", number)
