"""The participant @NAME@."""


class ParticipantHandler(object):
    """The work. What is done around it stands in exoskeleton.py."""

    def handle_wi(self, wid):
        """Reads and changes wid.fields. An exception goes to the exoskeleton's on_error."""
        wid.fields.size = len(wid.fields.text)
        wid.result = True
