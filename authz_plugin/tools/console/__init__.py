"""The console: a local web page on which the operator sees the plugin decide.

It reads the audit file and the settings, and asks a sandbox; the plugin does not know of it.
``access`` lets in who has the link, ``feed`` follows the audit file, ``app`` makes the Flask
application of the pages, ``service`` serves it.

A page is a module with a function that makes its blueprint from a ``Console``, and a template:

1. Write the work as plain data in a module without Flask, with its tests.
2. Write ``NAME_page.py`` beside it (``decision_page.py`` is an example): ``def pages(console:
   Console) -> Blueprint`` with ``Blueprint("NAME", __name__)``. Take the settings from
   ``console.load()`` for each request, because they change. A ``SetupError`` is shown as it is.
3. Write ``templates/NAME.html``, which extends ``base.html`` (blocks ``title`` and ``main``). Jinja
   escapes every value; pass a text of a request through the filter ``visible`` as well, and never
   use ``safe``. The Content-Security-Policy allows no inline script or style.
4. Add a ``Page`` to ``PAGES`` in ``app``; with a ``title`` it is in the navigation.

A form has ``{{ csrf_field() }}`` and posts by htmx or without it. A view answers a request of htmx
(``is_partial()``) with the part of the page that is replaced. A POST view changes nothing, and is
named in ``Page.asks``; one that changes something is registered only if ``console.writable`` is
true, and is named in ``Page.changes``. ``create_app`` refuses every other POST view.
"""
