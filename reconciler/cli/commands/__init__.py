"""One module a command; each holds ``command``, which parses, calls one function and hands the value to a view."""
