"""The logger ``rusttorch``, and which line of the user's code is running."""

from __future__ import annotations

import sys

from rusttorch import _rusttorch

_configured = False


def emit(messages: list[tuple[int, str]]) -> None:
    """Hands the engine's messages, with their levels, to the logger."""
    global _configured
    wanted = _rusttorch._log_level()
    warns = not _configured and _rusttorch._config_warnings()
    if wanted is None and "logging" not in sys.modules and not warns and all(level < 30 for level, _ in messages):
        # Nobody can be listening.
        return
    import logging

    logger = logging.getLogger("rusttorch")
    if not _configured:
        _configured = True
        if wanted is not None:
            logger.setLevel(wanted)
            if not logger.hasHandlers():
                handler = logging.StreamHandler()
                handler.setFormatter(logging.Formatter("%(name)s: %(levelname)s: %(message)s"))
                logger.addHandler(handler)
        for text in _rusttorch._config_warnings():
            logger.warning("%s", text)
    for level, text in messages:
        logger.log(level, "%s", text)


def where() -> str:
    """``file:line`` of the innermost frame that is neither ours, nor NumPy's, nor torch's."""
    here = __file__.rsplit("/", 1)[0].rsplit("\\", 1)[0]
    frame = sys._getframe(1)
    while frame is not None:
        path = frame.f_code.co_filename
        library = path.startswith(here) or any(f"{sep}{p}{sep}" in path for p in ("numpy", "torch") for sep in "/\\")
        if not library:
            return f"{path}:{frame.f_lineno}"
        frame = frame.f_back  # type: ignore[assignment]
    return "?"
