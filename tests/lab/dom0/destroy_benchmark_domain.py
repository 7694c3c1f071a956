"""Destroys the empty domain of a running benchmark or agent, and prints its domid."""

from xengt.recovery import domain_owner
from xenlib_cffi.ctrl import Ctrl

with Ctrl() as ctrl:
    (domid,) = [domain.domid for domain in ctrl.domains() if domain_owner.is_ours(domain.uuid)]
    ctrl.destroy(domid)
    print(domid)
