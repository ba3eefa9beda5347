"""Whether a server of this host answers that it is well: for health checks, in place of wget.

python -m deploy.healthy URL
"""

import sys
import urllib.request

_PATIENCE = 4.0  # seconds


def is_healthy(url: str) -> bool:
    """Return whether a GET of the URL is answered with a status of success."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(url, timeout=_PATIENCE) as answer:
            return bool(200 <= answer.status < 300)
    except OSError:  # HTTPError is one
        return False


if __name__ == "__main__":
    sys.exit(not is_healthy(sys.argv[1]))
