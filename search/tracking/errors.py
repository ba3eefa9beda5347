"""Why MLflow did not take a request.

ServerError                  MLflow did not take a request
    UnavailableError         not now: try again later
    RefusedError             never: trying again would not help
    LostError                a run or the experiment is gone: send everything again
"""


class ServerError(Exception):
    """MLflow did not take a request."""


class UnavailableError(ServerError):
    """The server is away, slow or busy, or denies access: the request may succeed later."""


class RefusedError(ServerError):
    """The server would never take the request."""


class LostError(ServerError):
    """A run or the experiment that was there is gone."""
