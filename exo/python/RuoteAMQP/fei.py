"""The flow expression id, which names a workitem."""


class FlowExpressionId(object):
    """Which expression of which process: expid, wfid, subid, engine_id; by attribute or by []."""

    CHILD_SEP = "_"

    def __init__(self, h):
        self._h = h if isinstance(h, dict) else {}

    @property
    def expid(self):
        """The expression's place in the process definition."""
        return self._h.get("expid")

    @property
    def wfid(self):
        """Workflow instance id."""
        return self._h.get("wfid")

    @property
    def subid(self):
        """Which copy of the expression; older engines call it sub_wfid."""
        own = self._h.get("subid")
        return own if own else self._h.get("sub_wfid", own)

    sub_wfid = subid

    @property
    def engine_id(self):
        """The engine that sent the workitem."""
        return self._h.get("engine_id")

    @property
    def child_id(self):
        """The expression's place within its parent: the last number of expid; None where there is none."""
        last = str(self.expid).rpartition(self.CHILD_SEP)[2]
        return int(last) if last.isdigit() else None

    @property
    def sid(self):
        """expid!subid!wfid"""
        return "%s!%s!%s" % (self.expid, self.subid or "", self.wfid)

    def to_storage_id(self):
        """expid!subid!wfid"""
        return self.sid

    def direct_child(self, other_fei):
        """Whether the other is a child of this expression, of the same process and copy."""
        other = FlowExpressionId(other_fei._h if isinstance(other_fei, FlowExpressionId) else other_fei)
        same = all(getattr(self, name) == getattr(other, name) for name in ("subid", "wfid", "engine_id"))
        return same and str(other.expid).rpartition(self.CHILD_SEP)[0] == self.expid

    def __getitem__(self, name):
        return self.subid if name in ("subid", "sub_wfid") else self._h[name]

    def __eq__(self, other):
        return isinstance(other, FlowExpressionId) and self.to_h() == other.to_h()

    def __ne__(self, other):
        return not self == other

    def __hash__(self):
        return hash(self.sid)

    def __repr__(self):
        return "<FlowExpressionId %s>" % self.sid

    def to_h(self):
        """The dict itself."""
        return self._h
