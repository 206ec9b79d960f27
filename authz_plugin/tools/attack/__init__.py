"""Send known attacks to a Docker API and report which of them it blocks.

``model`` defines an attack and ``catalogue`` lists those of ``opa-authz attack``. ``preparation``
finds or creates what they need on the daemon, ``created_objects`` removes what they create,
``rendering`` fills in their templates, ``execution`` sends one and ``verdict`` judges the answer.
``campaign`` runs them one after another and ``report`` prints the results.

The tests send tables of their own (``tests/real/attacks``) with the same modules.
"""
