"""Which configuration would have allowed what happened, and not much more?

``floor`` is where a proposal begins: what is in force, with everything closed that names things.
``wishes`` says what a denial asks of the configuration, and ``dangers`` what is not granted unless
it is named. ``survey`` goes through an audit file, ``roots`` sums up paths and images, ``proposal``
makes a configuration of it and tries it, and ``report`` tells it.
"""
