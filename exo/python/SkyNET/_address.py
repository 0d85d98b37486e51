"""The broker's address under the names of the original. Apart from the configuration, which few handlers ask for."""


def boss(url):
    """The parts of a broker's URL under the names of the original: amqp_host, amqp_user, amqp_pwd, amqp_vhost."""
    scheme, _, rest = url.partition("://")
    place, slash, vhost = rest.rpartition("@")[2].partition("/")
    place, vhost = place.partition("?")[0], vhost.partition("?")[0]
    user, _, password = rest.rpartition("@")[0].partition(":")
    host, colon, port = place.rpartition(":")
    if not colon or port.endswith("]"):
        host, port = place, "5671" if scheme == "amqps" else "5672"
    return {"amqp_host": "%s:%s" % (host, port), "amqp_user": _plain(user) or "guest",
            "amqp_pwd": _plain(password) or "guest", "amqp_vhost": _plain(vhost) or "/"}


def _plain(text):
    if "%" in text:
        from urllib.parse import unquote
        return unquote(text)
    return text
