"""Whether a server of this host answers that it is well: for health checks, in place of wget.

python -m deploy.healthy URL
"""

import http.client
import sys
import urllib.error
import urllib.request

_PATIENCE = 4.0  # seconds


def is_healthy(
    url: str, token: str | None = None, words: bytes = b"", patience: float = _PATIENCE
) -> bool:
    """Return whether a GET of the URL is answered with a status of success.

    token: of whoever asks. words: must be in the answer. patience: seconds until it must come.
    """
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        request = urllib.request.Request(url, headers=headers)
        with direct.open(request, timeout=patience) as answer:
            return bool(200 <= answer.status < 300) and words in answer.read()
    except urllib.error.HTTPError as error:
        error.close()
    except (OSError, http.client.HTTPException):
        pass
    return False


if __name__ == "__main__":
    sys.exit(not is_healthy(sys.argv[1]))
