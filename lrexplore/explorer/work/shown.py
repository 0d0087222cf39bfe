"""Errors of handlers, on screen: a kernel would swallow them."""

from functools import wraps


def shown(handler):
    """The method, with what it raises given to its object's `show_error` instead of to the kernel."""

    @wraps(handler)
    def wrapped(self, *args, **kwargs):
        try:
            return handler(self, *args, **kwargs)
        except Exception as error:
            self.show_error(error)

    return wrapped


def error_text(error: BaseException) -> str:
    """What a person should read of an error: our own words as they are, others with their kind."""
    text = str(error)
    ours = isinstance(error, (ValueError, TypeError)) or text.startswith("`")
    return text if ours else f"{type(error).__name__}: {text}"
