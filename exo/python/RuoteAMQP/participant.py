"""The base class that participants of the original derived from. exo does all its work."""


class Participant(object):
    """For code that only imports it, or derives from it to have `workitem`."""

    workitem = None
