"""Functions as jobs: a call is a file in the queue, its value comes back by the share.

`calls` is what these files are, `arguments` what is stored beside them, `identity` when two calls
are the same.  `interpreter` is the process in which a worker runs calls; `executor`, `collector`
and `joblib_backend` are the side that asks for them.
"""
