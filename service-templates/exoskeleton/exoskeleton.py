"""What happens around the work of @NAME@: an exoskeleton of its own (config.exo names it).

Override what you need; each method does what SkyNET does unless you say otherwise.
"""

import time

from SkyNET import Exo


class Exoskeleton(Exo):
    """Says how long each workitem took, and answers a missing field instead of failing."""

    def make_handler(self, module):
        """Makes the handler from the module that config.exo calls `code`."""
        return module.ParticipantHandler()

    def consume(self, wid):
        """One workitem."""
        begun = time.monotonic()
        super().consume(wid)
        self.log.info("took %.3f s", time.monotonic() - begun)

    def on_error(self, wid, error):
        """consume raised. To return sends the workitem back as it is; to raise sends an error."""
        if isinstance(error, TypeError):
            wid.fields.problem = "the field text is missing"
            wid.result = False
            return
        raise error
